#!/usr/bin/env bash
# Fuzzes each target for so many seconds: scripts/fuzz.sh [SECONDS [TARGET…]]
# Uses `cargo fuzz` if it is there. Otherwise the same instrumentation is asked for by hand, which
# needs no nightly compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(pg_frames pg_session sql_analyze policy_text audit_segment)
if cargo +nightly fuzz --version >/dev/null 2>&1; then
  for target in "${targets[@]}"; do
    cargo +nightly fuzz run "$target" -- "-max_total_time=$seconds" -rss_limit_mb=2048
  done
  exit 0
fi
flags=(--cfg=fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1)
host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-target}/fuzz
RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$target_dir \
  cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" --bins
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  echo "fuzzing $target for $seconds s"
  "$target_dir/$host/release/$target" "fuzz/corpus/$target" "-max_total_time=$seconds" \
    -rss_limit_mb=2048 "-artifact_prefix=fuzz/artifacts/$target/" -print_final_stats=1 -verbosity=1
done
