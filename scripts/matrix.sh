#!/usr/bin/env bash
# matrix.sh [NAME…]: the whole test suite on other servers and on another hiredis, one run after the other; then a
# table. `make matrix` calls it; the names are below, and all of them are meant when none is given.
#
# Everything goes to .build-matrix: what fetch-servers.sh unpacks, a second build against the other hiredis, and the
# logs of the last runs. FILTER=… runs only the tests that it matches (as `swift test --filter`). Exits 1 unless all
# that was asked for was run and passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

all=(installed redis-8.2 redis-8.6 valkey-8.0 valkey-9.1 hiredis-1.2)
names=("${@:-${all[@]}}")
base=$PWD/.build-matrix
limit=1200  # seconds for one run

for name in "${names[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || { echo "no such run: $name (there are ${all[*]})" >&2; exit 64; }
done
mkdir -p "$base/logs"

table=()
failed=0
# Adds a row: name, what it ran on, passed, failed, skipped, seconds, result.
row() {
    local parts
    IFS=$'\t' read -ra parts <<<"${2//, /$'\t'}"
    table+=("$1|${parts[0]:--}|${parts[1]:--}|${parts[2]:--}|${parts[3]:--}|$3|$4|$5|$6|$7")
    [ "$7" = ok ] || failed=1
}

# Builds the tests with these options of SwiftPM: 0, or 1 and a word about it.
build() {
    local name=$1
    shift
    swift build --build-tests "$@" >"$base/logs/build-$name.log" 2>&1 && return
    echo "$name: the build failed (.build-matrix/logs/build-$name.log):"
    grep -E 'error:|undefined reference' "$base/logs/build-$name.log" | head -n 10
    return 1
}

# The processes of a session, whatever became of their parents, names and environments.
members() { cat /proc/[0-9]*/stat 2>/dev/null | awk -v id="$1" '{ pid = $1; sub(/.*\) /, ""); if ($4 == id && $1 != "Z") print pid }'; }

# Ends what is left of a run, by ids: one that is killed leaves its servers behind.
sweep() {
    local ids
    for _ in {1..20}; do
        ids=$(members "$1")
        [ -n "$ids" ] || return 0
        kill -KILL $ids 2>/dev/null
        sleep 0.2
    done
}
session=
trap '[ -z "$session" ] || sweep "$session"' EXIT
trap 'exit 130' INT TERM

# One run: name, server ('' for the installed one), options of SwiftPM.
suite() {
    local name=$1 server=$2 what status start seconds counts
    shift 2
    local log=$base/logs/$name.log report=$base/logs/$name.xml
    local xml=${report%.xml}-swift-testing.xml
    local environment=(env -u REDIS_SERVER)
    [ -z "$server" ] || environment=(env "REDIS_SERVER=$server")
    what=$("${environment[@]}" "$(swift build "$@" --show-bin-path)/tested-on") || { row "$name" "" - - - - "no server"; return; }
    echo "$name: $what"
    rm -f "$xml"
    start=$SECONDS
    # In a session of its own, by which what it started is found again.
    "${environment[@]}" setsid timeout -s KILL "$limit" swift test --skip-build "$@" ${FILTER:+--filter "$FILTER"} \
        --experimental-maximum-parallelization-width 8 --xunit-output "$report" >"$log" 2>&1 </dev/null &
    session=$!
    { wait "$session"; } 2>/dev/null
    status=$?
    seconds=$((SECONDS - start))
    if [ -n "$(members "$session")" ]; then
        echo "$name: left processes behind, which are ended (cuts of the network too? iptables -S INPUT)"
        sweep "$session"
    fi
    session=
    counts=$(awk '
        match($0, /<testsuite .* tests="[0-9]+"/) { split($0, a, / (tests|skipped)="/); tests = a[2] + 0; skipped = a[3] + 0 }
        /<testcase / { fresh = 1 }
        /<failure/ && fresh { failed++; fresh = 0 }
        END { if (tests != "") print tests, failed + 0, skipped }' "$xml" 2>/dev/null)
    what=${what#tested on }
    if [ -z "$counts" ]; then
        tail -n 5 "$log"; echo
        row "$name" "$what" - - - "$seconds" "$([ $status = 137 ] && echo "killed after $limit s" || echo "no report ($status)")"
        return
    fi
    read -r ran failures skipped <<<"$counts"
    grep -E '^✘ Test .* (failed|recorded an issue)' "$log"
    grep -E '^➜ Test .* skipped' "$log"
    row "$name" "$what" $((ran - failures)) "$failures" "$skipped" "$seconds" \
        "$([ $status = 0 ] && [ "$failures" = 0 ] && echo ok || echo FAILED)"
}

built=
for name in "${names[@]}"; do
    if [ "$name" != installed ] && ! scripts/fetch-servers.sh "$base/servers" "$name"; then
        row "$name" "" - - - - "not fetched"
        continue
    fi
    case $name in
    hiredis-*)
        # Found before the system's: headers, then the library, at link time and at run time.
        folder=$base/servers/$name
        options=(--scratch-path "$base/$name" -Xcc "-I$folder/include" -Xlinker "-L$folder/lib" -Xlinker "-rpath=$folder/lib")
        build "$name" "${options[@]}" || { row "$name" "" - - - - "not built"; continue; }
        suite "$name" "" "${options[@]}"
        ;;
    *)
        [ -n "$built" ] || { build installed && built=yes || built=no; }
        [ "$built" = yes ] || { row "$name" "" - - - - "not built"; continue; }
        server=
        [ "$name" = installed ] || server=$base/servers/$name/redis-server
        suite "$name" "$server"
        ;;
    esac
done

echo
{
    echo "run|server|hiredis|swift|system|passed|failed|skipped|seconds|result"
    printf '%s\n' "${table[@]}"
} | column -t -s '|' | tee "$base/logs/table.txt"
[ -z "${FILTER:-}" ] || echo "Only the tests that $FILTER matches."
exit $failed
