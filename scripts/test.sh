#!/usr/bin/env bash
# Runs every test in one build. The first argument names the profile.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-ci}
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --no-fail-fast --workspace --cargo-profile "$profile" --no-tests=pass
  cargo test --workspace --profile "$profile" --doc --quiet
else
  cargo test --workspace --profile "$profile" --quiet
fi
