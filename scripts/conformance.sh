#!/usr/bin/env bash
# PostgreSQL's own suites, directly and through the door with policies/transparent.yaml; what
# comes back has to be the same.
#
#   1 pg_dump and pg_restore: byte for byte     2 pgbench: every script and mode
#   3 the regression suite, test by test (needs the server's Debian source package)
#
# The argument `quick` leaves the third out. Differences that the door is meant to make stand in
# scripts/conformance-known.txt with their reason; any other one fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh
PORTCULLIS=${PORTCULLIS_BINARY:-}
unset PORTCULLIS_BINARY
if [ -z "$PORTCULLIS" ]; then
  cargo build --quiet --release --package portcullis
  PORTCULLIS=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/portcullis
fi
CACHE=$PWD/.portcullis/conformance
ROOT=$PWD
mkdir -p "$CACHE"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-conformance.XXXXXX")
chmod 755 "$WORK"
DOOR=
finish() {
  [ -z "$DOOR" ] || { kill "$DOOR" 2>/dev/null && wait "$DOOR"; } || true
  pg_stop
  [ -n "${KEEP:-}" ] || rm -rf "$WORK"
}
trap finish EXIT
FAILED=0
pass() { printf '  ok    %s\n' "$*"; }
miss() { printf '  FAIL  %s\n' "$*"; FAILED=1; }

pg_start "$WORK/pg" "" max_connections=100 max_prepared_transactions=2
for program in pg_dump pg_restore pgbench psql; do
  command -v $program >/dev/null || { echo "$program is missing: sudo apt-get install postgresql postgresql-client" >&2; exit 1; }
done
PORT=$(pg_free_port)
"$PORTCULLIS" proxy --listen "127.0.0.1:$PORT" --upstream "127.0.0.1:$PG_PORT" --admin off --view off \
  --policies policies/transparent.yaml --ledger-dir "$WORK/ledger" --key-file "$WORK/key" >"$WORK/door.log" 2>&1 &
DOOR=$!
for _ in $(seq 200); do (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break; sleep 0.05; done
export PGHOST=127.0.0.1 PGUSER=postgres
printf 'PostgreSQL %s on port %s, the door on port %s\n' "$(psql -XAtq -p "$PG_PORT" -d postgres -c 'SHOW server_version')" "$PG_PORT" "$PORT"

echo "pgbench"
createdb -p "$PG_PORT" bench
pgbench -p "$PORT" -i -q -s 2 bench >"$WORK/log" 2>&1 && pass "initialise (COPY)" || miss "initialise"
for mode in simple extended prepared; do
  for script in "" -N -S -C; do
    if pgbench -p "$PORT" -n -M $mode $script -c 4 -j 2 -t 100 bench >"$WORK/log" 2>&1 &&
      grep -q 'actually processed: 400/400' "$WORK/log"; then
      pass "$mode ${script:-tpcb}"
    else
      miss "$mode ${script:-tpcb}: $(tail -1 "$WORK/log")"
    fi
  done
done
cat >"$WORK/pipeline.sql" <<'SQL'
\startpipeline
SELECT 1;
SELECT count(*) FROM pgbench_branches;
SELECT abalance FROM pgbench_accounts WHERE aid = 1;
\endpipeline
SQL
pgbench -p "$PORT" -n -M prepared -f "$WORK/pipeline.sql" -c 2 -t 200 bench >"$WORK/log" 2>&1 && pass "pipelines" || miss "pipelines: $(tail -1 "$WORK/log")"

echo "pg_dump, pg_restore"
# dump PORT DATABASE: without the words of a dump that are random from 15.14 on.
dump() { pg_dump -p "$1" "$2" | sed '/^\\\(un\)\?restrict /d'; }
same_dump() { cmp -s <(dump "$1" "$2") <(dump "$3" "$4"); }
same_dump "$PG_PORT" bench "$PORT" bench && pass "plain dump" || miss "plain dump"
pg_dump -p "$PORT" -Fc bench >"$WORK/bench.dump" && createdb -p "$PORT" copy &&
  pg_restore -p "$PORT" -d copy "$WORK/bench.dump" && same_dump "$PG_PORT" bench "$PG_PORT" copy &&
  pass "restore of a custom dump" || miss "restore of a custom dump"

regression() {
  local major source headers suite=$CACHE/suite
  major=$("$PG_BIN_USED/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  source=$CACHE/source-$major
  if [ ! -e "$source/src/test/regress/regress.so" ]; then
    echo "  fetching the source package of PostgreSQL $major"
    mkdir -p "$CACHE/lists/partial" "$source"
    echo "deb-src http://deb.debian.org/debian $(. /etc/os-release && echo "$VERSION_CODENAME") main" >"$CACHE/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$CACHE/sources.list" -o Dir::Etc::sourceparts=/dev/null
      -o "Dir::State::lists=$CACHE/lists" -o APT::Sandbox::User=root)
    (cd "$CACHE" && "${apt[@]}" update && "${apt[@]}" source --download-only "postgresql-$major" &&
      apt-get -qq download "postgresql-server-dev-$major") >"$CACHE/log" 2>&1 || { tail -3 "$CACHE/log"; return 1; }
    tar xjf "$(ls "$CACHE/postgresql-${major}"_*.orig.tar.bz2)" -C "$source" --strip-components 1
    headers=$CACHE/headers-$major
    dpkg -x "$(ls "$CACHE/postgresql-server-dev-${major}"_*.deb | head -1)" "$headers"
    gcc -O1 -fPIC -shared -I"$headers/usr/include/postgresql/$major/server" \
      -o "$source/src/test/regress/regress.so" "$source/src/test/regress/regress.c" || return 1
    for module in autoinc refint; do
      gcc -O1 -fPIC -shared -I"$headers/usr/include/postgresql/$major/server" \
        -o "$source/src/test/regress/$module.so" "$source/contrib/spi/$module.c" || return 1
    done
  fi
  local runner=${PG_BIN_USED%/bin}/lib/pgxs/src/test/regress/pg_regress
  [ -x "$runner" ] || runner=$(ls /usr/lib/postgresql/"$major"/lib/pgxs/src/test/regress/pg_regress)
  local regress=$source/src/test/regress way port
  for way in direct door; do
    suite=$WORK/$way
    mkdir -p "$suite/testtablespace"
    cp -r "$regress/sql" "$regress/expected" "$regress/data" "$regress/parallel_schedule" "$regress"/*.so "$suite/"
    [ "$(id -u)" != 0 ] || chown -R 65534:65534 "$suite"
    chmod -R a+rX "$suite"
    port=$PG_PORT
    [ $way = direct ] || port=$PORT
    # The paths that scripts see are the same both times.
    rm -f "$WORK/now" && ln -s "$suite" "$WORK/now"
    (cd "$WORK/now" && "$runner" --bindir="$PG_BIN_USED" --dlpath="$WORK/now" --inputdir="$WORK/now" --outputdir="$WORK/now" \
      --host=127.0.0.1 --port="$port" --user=postgres --dbname=regression --max-concurrent-tests=20 \
      --schedule="$WORK/now/parallel_schedule") >"$WORK/$way.log" 2>&1 || true
    tail -12 "$WORK/$way.log" | grep -E 'tests (passed|failed)|All' | sed "s/^/  $way: /" || true
    psql -XAtq -p "$PG_PORT" -d postgres -c 'DROP DATABASE IF EXISTS regression' >/dev/null 2>&1 || true
    psql -XAtq -p "$PG_PORT" -d postgres -c 'DROP TABLESPACE IF EXISTS regress_tblspace' >/dev/null 2>&1 || true
    for role in $(psql -XAtq -p "$PG_PORT" -d postgres -c "SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress%'"); do
      psql -XAtq -p "$PG_PORT" -d postgres -c "DROP ROLE \"$role\"" >/dev/null 2>&1 || true
    done
  done
  local file name same=0 other=()
  for file in "$WORK"/direct/results/*.out; do
    name=$(basename "$file" .out)
    if cmp -s "$file" "$WORK/door/results/$name.out"; then same=$((same + 1)); else other+=("$name"); fi
  done
  echo "  $same tests say the same, ${#other[@]} differ"
  for name in "${other[@]}"; do
    if grep -q "^$name " "$ROOT/scripts/conformance-known.txt"; then
      printf '  known %s\n' "$(grep "^$name " "$ROOT/scripts/conformance-known.txt")"
    else
      miss "$name"
      diff "$WORK/direct/results/$name.out" "$WORK/door/results/$name.out" | head -12 | cut -c1-160 | sed 's/^/          /' || true
    fi
  done
  return 0
}
if [ "${1:-}" != quick ]; then
  echo "the regression suite"
  regression || miss "the regression suite could not be run"
fi

kill -TERM "$DOOR" && wait "$DOOR" || miss "the door did not end in order"
DOOR=
"$PORTCULLIS" verify-log "$WORK/ledger" --key-file "$WORK/key" >"$WORK/found" && pass "the ledger verifies: $(sed -n 's/^chain [^:]*: \([0-9]* records\).*/\1/p' "$WORK/found" | head -1)" || miss "the ledger does not verify"
exit $FAILED
