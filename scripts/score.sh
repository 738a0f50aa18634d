#!/usr/bin/env bash
# The corpora in ../shared/corpora, judged with policies/eval: what is stopped, what is refused by mistake.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
CORPORA=../shared/corpora
[ -d "$CORPORA" ] || { echo "the corpora are not here (../shared/corpora): nothing to score"; exit 0; }
PORTCULLIS=${PORTCULLIS_BINARY:-}
if [ -z "$PORTCULLIS" ]; then
  cargo build --quiet --profile ci --package portcullis
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  PORTCULLIS=$target/ci/portcullis
fi
WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-score.XXXXXX")
chmod 755 "$WORK"
trap 'pg_stop; rm -rf "$WORK"' EXIT
pg_start "$WORK/pg"
psql -XqAt -h "$PG_SOCKET" -p "$PG_PORT" -U postgres -d postgres -f "$CORPORA/fixture_schema.sql" >/dev/null 2>&1 || true
.portcullis/venv/bin/python scripts/score.py "$PORTCULLIS" "host=127.0.0.1 port=$PG_PORT user=postgres dbname=postgres"
