#!/usr/bin/env bash
# PostgreSQL's own suites, run directly and through the door with policies/transparent.yaml, compared
# test by test. Exit 1 if the door loses one.
#
#   PG                   major version of the server: 15 (this Debian's own, the default), 16, 17 or 18
#   CONFORMANCE_SUITES   "regress pipeline asyncpg psql dump pgbench"
#   CONFORMANCE_OUTPUT   folder that keeps everything that the suites wrote (.portcullis/conformance/last)
#   PORTCULLIS_BINARY    the binary to test (else the ci profile is built)
#
# The argument `quick` leaves out the two long suites, regress and asyncpg. A test that the door is meant to
# lose stands in scripts/conformance-known.txt with the reason.
#
# Needs, for 15, Debian's PostgreSQL; for 16 and 17, npm; for 18, bison and flex. The first time it fetches the
# suites: see conformance/sources.sh. What cannot be run against a version is named, and why.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
. scripts/conformance/sources.sh
. scripts/conformance/suites.sh

[ "${1:-}" != quick ] || CONFORMANCE_SUITES=${CONFORMANCE_SUITES:-pipeline psql dump pgbench}
SUITES=${CONFORMANCE_SUITES:-regress pipeline asyncpg psql dump pgbench}
MAJOR=${PG:-15}
case $MAJOR in
  15 | 16 | 17 | 18) ;;
  *) echo "PG is \`$MAJOR\`: use 15, 16, 17 or 18" >&2; exit 2 ;;
esac
OUTPUT=${CONFORMANCE_OUTPUT:-$PWD/.portcullis/conformance/last}
PORTCULLIS=${PORTCULLIS_BINARY:-}
PYTHON=$PWD/.portcullis/venv/bin/python
unset PORTCULLIS_BINARY
sources_ready "$MAJOR"
export PATH=$CLIENTS:$PATH
if [ -z "$SOURCE" ]; then
  for suite in regress pipeline; do
    case " $SUITES " in *" $suite "*) echo "$suite is left out: no source package of PostgreSQL $MAJOR" >&2 ;; esac
    SUITES=$(printf '%s' " $SUITES " | sed "s/ $suite / /")
  done
fi
echo "server $("$PROGRAMS/postgres" --version), client programs $(psql --version)" >&2
if [ -z "$PORTCULLIS" ]; then
  cargo build --quiet --profile ci --package portcullis
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  PORTCULLIS=$target/ci/portcullis
fi

WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-conformance.XXXXXX")
chmod 755 "$WORK"
DOOR=
finish() {
  [ -z "$DOOR" ] || kill "$DOOR" 2>/dev/null || true
  pg_stop
  rm -rf "$WORK"
}
trap finish EXIT
rm -rf "$OUTPUT"
mkdir -p "$OUTPUT"

# open_door: in front of the server that runs; sets PORT.
open_door() {
  PORT=$(pg_free_port)
  "$PORTCULLIS" proxy --listen "127.0.0.1:$PORT" --upstream "127.0.0.1:$PG_PORT" --admin off --view off \
    --policies policies/transparent.yaml --ledger-dir "$WORK/ledger" --key-file "$WORK/key" \
    >"$OUTPUT/door.log" 2>&1 &
  DOOR=$!
  for _ in $(seq 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then return 0; fi
    sleep 0.05
  done
  cat "$OUTPUT/door.log" >&2
  return 1
}

close_door() {
  kill -TERM "$DOOR"
  wait "$DOOR" || true
  DOOR=
}

# Every way gets a server of its own: the suites leave roles and settings behind.
for way in direct door; do
  mkdir -p "$OUTPUT/$way"
  rm -rf "$WORK/server"
  mkdir "$WORK/server"
  chmod 755 "$WORK/server"
  PG_BIN=$PROGRAMS pg_start "$WORK/server/pg" "" max_prepared_transactions=10 max_connections=100 shared_buffers=128MB
  PORT=$PG_PORT
  [ "$way" = direct ] || open_door
  for suite in $SUITES; do
    mkdir -p "$OUTPUT/$way/$suite"
    began=$SECONDS
    # A suite says in its list how each test went; its own exit status says nothing more.
    "suite_$suite" "$OUTPUT/$way/$suite" >"$OUTPUT/$way/$suite.list" 2>"$OUTPUT/$way/$suite.err" || true
    printf '%-9s %-6s %4d ok of %d, %d s\n' "$suite" "$way" \
      "$(grep -c ' ok$' "$OUTPUT/$way/$suite.list" || true)" "$(wc -l <"$OUTPUT/$way/$suite.list")" \
      $((SECONDS - began)) >&2
  done
  [ "$way" = direct ] || close_door
  pg_stop
done
"$PORTCULLIS" verify-log "$WORK/ledger" --key-file "$WORK/key" >"$OUTPUT/verify.txt" ||
  { cat "$OUTPUT/verify.txt" >&2; exit 1; }
"$PYTHON" scripts/conformance/compare.py "$OUTPUT" "$WORK/ledger" "$MAJOR"
