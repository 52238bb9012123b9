#!/bin/bash
# Shows that the proofs can fail: each mutant of Tests/Mutants breaks delivery or records in one place, and its proof must notice.
# A mutant's first line names the proof: "# soak kill --seconds 30".
set -euo pipefail
cd "$(dirname "$0")/.."
tree=.build-mutants/tree
rm -rf "$tree"
mkdir -p "$tree"
survivors=0
build() {
  swift build --package-path "$tree" --scratch-path .build-mutants/build -c release --product "$1" -q >&2
}
for mutant in Tests/Mutants/*.patch; do
  [ $# = 0 ] || [[ " $* " == *" $(basename "$mutant" .patch) "* ]] || continue
  git ls-files -z Package.swift Sources Tests | tar c --null -T - | tar x -C "$tree"
  patch -s -p1 -d "$tree" < "$mutant"
  proof=$(sed -n 's/^# soak //p' "$mutant" | head -1)
  build soak
  # A proof of the whole shop runs its programs.
  if [[ $proof = shop* ]]; then
    for product in shop order-worker customer-worker payment-worker; do build $product; done
  fi
  # shellcheck disable=SC2086
  if .build-mutants/build/release/soak $proof > .build-mutants/output 2>&1; then
    echo "SURVIVED $(basename "$mutant" .patch): soak $proof"
    survivors=$((survivors + 1))
  else
    echo "noticed  $(basename "$mutant" .patch): $( (grep -m1 BROKEN .build-mutants/output || tail -1 .build-mutants/output) | cut -c1-160)"
  fi
done
[ $survivors = 0 ]
