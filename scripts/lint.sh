#!/usr/bin/env bash
# Everything that needs no running program: the same here and in CI. The first argument names
# the profile, so that tests that follow find the build.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-ci}
cargo fmt --all --check
cargo clippy --workspace --all-targets --profile "$profile" --quiet -- -D warnings
RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items \
  --profile "$profile" --quiet
cargo run --quiet --package xtask --profile "$profile" -- deps
cargo run --quiet --package xtask --profile "$profile" -- words
