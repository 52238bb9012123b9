#!/bin/bash
# mutants.sh [MUTANT…]: shows that the proofs can fail. Each patch of Tests/Mutants breaks one promise in today's code, and its proof
# must notice: not by any failure, but by naming the invariant that the patch declares. All of them run unless told others; the
# table at the end has a line for each, and the exit code is 1 when one was not noticed.
#
# The head of a patch, before its first `---`:
#
#     # Settles entries that another consumer may hold by now.           one sentence: what the mutant does
#     # proof: soak kill --seconds 30 --events 20000                     `soak` with arguments, or `test` with a --filter
#     # broken: no event is settled twice                                what the proof must say
#
# soak   an output line `BROKEN <broken>: <count>…` (of soak itself, or of `shop verify`). A line that says "none, so this run proves
#        nothing about it" is no notice.
# test   the named test fails: <broken> is its display name or, of a parameterised test, the argument's, as on a line with ✘. The
#        filter should choose that test alone: `test ConformanceTests/memory`, `test RelayTests`.
#
# Patches change one place with one line of context (diff -U1), so that the code around them can change. MutantTests assert that each
# has such a head and applies. The code that is under proof must hold: `make soak` and `make test` say whether it does.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
work=.build-mutants
tree=$work/tree
# The longest that a proof takes, in seconds: a mutant can also make it wait for ever.
limit=1200
mkdir -p "$work"
known=()
for patch in Tests/Mutants/*.patch; do known+=("$(basename "$patch" .patch)"); done
mutants=("$@")
[ $# -gt 0 ] || mutants=("${known[@]}")

header() { sed -n "/^---/q; s/^# $2: //p" "$1" | head -n 1; }
# Today's code with the mutant's change alone.
plant() {
  rm -rf "$tree" && mkdir -p "$tree" &&
    git ls-files -z | xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' sh | tar c --null -T - | tar x -C "$tree" &&
    patch -s -p1 -F0 -d "$tree" <"$1"
}
build() { swift build --package-path "$tree" -q "$@" >&2; }
prove() { # WHAT ARGUMENT…
  local what=$1 product
  shift
  case $what in
  soak)
    local programs=(soak)
    # A proof of the whole shop runs its programs.
    [[ ${1:-} != shop* ]] || programs+=(shop order-worker customer-worker payment-worker)
    for product in "${programs[@]}"; do
      build --scratch-path "$work/build" -c release --product "$product" || return 125
    done
    timeout "$limit" "$work/build/release/soak" "$@"
    ;;
  test)
    build --scratch-path "$work/tests" --build-tests || return 125
    timeout "$limit" swift test --package-path "$tree" --scratch-path "$work/tests" --skip-build --filter "$@" 2>&1
    ;;
  *) echo "no such proof: $what" && return 125 ;;
  esac
}
# The line with which a proof names the invariant; fails when there is none.
named() { # OUTPUT WHAT BROKEN
  if [ "$2" = test ]; then
    grep -a '✘' "$1" | grep -a -m1 -F "$3"
  else
    BROKEN=$3 awk 'match($0, /^ *BROKEN +/) {
      text = substr($0, RLENGTH + 1)
      if (index(text, ENVIRON["BROKEN"]) == 1 && text !~ /none, so this run proves nothing/) { print; found = 1; exit }
    } END { exit !found }' "$1"
  fi
}

rows=()
missed=0
for mutant in "${mutants[@]}"; do
  patch=Tests/Mutants/$mutant.patch output=$work/$mutant.txt result='' line=''
  read -ra proof <<<"$(header "$patch" proof 2>/dev/null)"
  broken=$(header "$patch" broken 2>/dev/null)
  start=$SECONDS
  if [ ${#proof[@]} -lt 2 ] || [ -z "$broken" ]; then
    result='NO HEAD' line='no such patch, or not of the form in scripts/mutants.sh'
  elif ! plant "$patch" >"$output" 2>&1; then
    result='DOES NOT APPLY' line=$(tail -n 1 "$output")
  else
    prove "${proof[@]}" >"$output" 2>&1
    status=$?
    if line=$(named "$output" "${proof[0]}" "$broken"); then
      result=noticed
    elif [ $status = 0 ]; then
      result=SURVIVED line=${proof[*]}
    elif [ $status = 125 ]; then
      result='DOES NOT BUILD' line=$(grep -a -m1 -E 'error' "$output" || tail -n 1 "$output")
    else
      result='NOT NAMED' line="exit $status, and not: $broken"
    fi
  fi
  [ "$result" = noticed ] || missed=$((missed + 1))
  rows+=("$(printf '%-15s %-36s %5d s  %s' "$result" "$mutant" $((SECONDS - start)) "$(sed 's/^ *//' <<<"$line" | cut -c1-120)")")
  printf '%s\n' "${rows[-1]}" >&2
done
printf '\n%-15s %-36s %7s  %s\n' RESULT MUTANT TIME 'WHAT THE PROOF SAID'
printf '%s\n' "${rows[@]}"
echo "${#rows[@]} mutants, $((${#rows[@]} - missed)) noticed by name"
[ $missed = 0 ]
