#!/usr/bin/env bash
# Makes the catalog that is built in, from untouched servers of every major version.
#
# scripts/builtins.sh          writes crates/sql/src/catalog/builtin/pg_catalog.txt
# scripts/builtins.sh --check  fails if the file is not what the servers give
#
# The servers are Debian's where there is one, else the pinned builds that the testkit fetches.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh

file=crates/sql/src/catalog/builtin/pg_catalog.txt
work=$(mktemp -d)
chmod 755 "$work"
trap 'pg_stop; rm -rf "$work"' EXIT

cargo build --quiet --profile ci --package portcullis --package portcullis-sql --bins --examples
programs=${CARGO_TARGET_DIR:-target}/ci
dumps=()
for major in 14 15 16 17 18; do
  mkdir "$work/$major"
  pg_start "$work/$major/server" "$major"
  "$programs/portcullis" catalog dump -o "$work/$major.json" \
    --dsn "postgres://postgres@127.0.0.1:$PG_PORT/postgres"
  pg_stop
  dumps+=("$work/$major.json")
done
"$programs/examples/builtins" "${dumps[@]}" >"$work/pg_catalog.txt"
if [ "${1:-}" = --check ]; then
  cmp "$work/pg_catalog.txt" "$file"
else
  cp "$work/pg_catalog.txt" "$file"
  wc -c "$file"
fi
