#!/bin/bash
# Changes workers for those of another version under load: the old ones are those of the last commit that knew only version 1 of
# order.placed. Builds them once, in .build-rolling.
set -euo pipefail
cd "$(dirname "$0")/.."
old=${OLD:-1f56403}
tree=.build-rolling/$old
bin=.build-release/release
if [ ! -d "$tree" ]; then
  mkdir -p "$tree"
  git archive "$old" | tar x -C "$tree"
fi
for product in shop order-worker customer-worker payment-worker; do
  swift build --package-path "$tree" --scratch-path .build-rolling/build -c release --product $product -q >&2
done
for store in sqlite postgres; do
  $bin/soak rolling --old "$PWD/.build-rolling/build/release" --store $store "$@"
done
