#!/usr/bin/env bash
# The attacks of ../shared/corpora, sent through the door to a real server: what leaked, what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
CORPORA=../shared/corpora
[ -d "$CORPORA" ] || { echo "the corpora are not here (../shared/corpora): nothing to attack with"; exit 0; }
PORTCULLIS=${PORTCULLIS_BINARY:-}
if [ -z "$PORTCULLIS" ]; then
  cargo build --quiet --profile ci --package portcullis
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  PORTCULLIS=$target/ci/portcullis
fi
WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-live.XXXXXX")
chmod 755 "$WORK"
trap 'pg_stop; rm -rf "$WORK"' EXIT
pg_start "$WORK/pg" "" max_prepared_transactions=10
psql -XqAt -h "$PG_SOCKET" -p "$PG_PORT" -U postgres -d postgres -c 'CREATE DATABASE fixture' >/dev/null
psql -XqAt -h "$PG_SOCKET" -p "$PG_PORT" -U postgres -d fixture -f "$CORPORA/fixture_schema.sql" >/dev/null 2>&1 || true
.portcullis/venv/bin/python scripts/live.py "$PORTCULLIS" "$PG_PORT" "$WORK" "$@"
