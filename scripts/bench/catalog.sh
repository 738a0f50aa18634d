#!/usr/bin/env bash
# What a catalog costs: how long a big one takes to load, at the start and after a definition, and what
# `catalog_mode: strict` adds to a statement.
#
#   CATALOG_RELATIONS  tables of ten columns each (10000)     CATALOG_SECONDS  of each run (4)
#   PORTCULLIS_BINARY  a build to measure; else the profile BENCH_PROFILE (dist) is built
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/postgres.sh

RELATIONS=${CATALOG_RELATIONS:-10000} SECONDS_EACH=${CATALOG_SECONDS:-4}
PORTCULLIS=${PORTCULLIS_BINARY:-}
unset PORTCULLIS_BINARY
if [ -z "$PORTCULLIS" ]; then
  cargo build --quiet --profile "${BENCH_PROFILE:-dist}" --package portcullis
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  PORTCULLIS=$target/${BENCH_PROFILE:-dist}/portcullis
fi
command -v pgbench >/dev/null || PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)

WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-catalog.XXXXXX")
chmod 755 "$WORK"
DOOR= WRITER=
stop_door() { [ -z "$DOOR" ] || { kill "$DOOR" 2>/dev/null || true; wait "$DOOR" 2>/dev/null || true; }; DOOR=; }
stop_writer() { [ -z "$WRITER" ] || { kill "$WRITER" 2>/dev/null || true; wait "$WRITER" 2>/dev/null || true; }; WRITER=; }
finish() { stop_writer; stop_door; pg_stop; rm -rf "$WORK"; }
trap finish EXIT

pg_start "$WORK/pg" "" shared_buffers=256MB max_connections=100
SQL=(psql -XAtq -h 127.0.0.1 -p "$PG_PORT" -U postgres)
"${SQL[@]}" -d postgres -c "CREATE DATABASE small" -c "CREATE DATABASE big"
for database in small big; do
  pgbench -h 127.0.0.1 -p "$PG_PORT" -U postgres -i -s 1 -q "$database" >/dev/null 2>&1
  "${SQL[@]}" -d "$database" -c "CREATE TABLE elsewhere (a int); INSERT INTO elsewhere VALUES (1)"
done
"${SQL[@]}" -d big >/dev/null <<SQL
DO \$\$
BEGIN
  FOR i IN 1..$RELATIONS LOOP
    EXECUTE format('CREATE TABLE t%s (%s)', i,
      (SELECT string_agg(format('column_%s int', c), ', ') FROM generate_series(1, 10) c));
    IF i % 500 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
VACUUM ANALYZE;
SQL
cat >"$WORK/policies.yaml" <<'YAML'
version: "2"
agents:
  bench:
    columns:
      public.pgbench_accounts: {deny: [filler]}
YAML
echo "$("${SQL[@]}" -d postgres -c "SHOW server_version"), $(nproc) cores, load before $(cut -d' ' -f1 /proc/loadavg)"

# open_door DATABASE MODE: PORT, DOOR
open_door() {
  PORT=$(pg_free_port)
  "$PORTCULLIS" proxy --listen "127.0.0.1:$PORT" --upstream "127.0.0.1:$PG_PORT" --admin off --view off \
    --policies "$WORK/policies.yaml" --ledger-dir "$WORK/ledger-$1-$2-$PORT" --key-file "$WORK/key" \
    --catalog-dsn "postgres://postgres@127.0.0.1:$PG_PORT/$1" --catalog-mode "$2" --catalog-poll 10h \
    --catalog-max-age 10h --log-format json >"$WORK/door.log" 2>&1 &
  DOOR=$!
  for _ in $(seq 400); do
    if grep -q "catalog loaded" "$WORK/door.log"; then return 0; fi
    sleep 0.05
  done
  cat "$WORK/door.log" >&2
  return 1
}

echo
echo "database  relations  load, ms  again, ms  SELECT after CREATE TABLE, ms  memory of the door at most, MiB"
for database in small big; do
  for _ in 1 2 3; do
    open_door "$database" polled
    felt=$(PGAPPNAME=agent:bench psql -XAtq -h 127.0.0.1 -p "$PORT" -U postgres -d "$database" \
      -c "CREATE TABLE felt (a int)" -c "\\timing on" -c "SELECT aid FROM pgbench_accounts WHERE aid = 1" \
      -c "DROP TABLE felt" | sed -n 's/^Time: \([0-9]*\).*/\1/p' | head -1)
    ms=$(grep -o '"elapsed_ms":[0-9]*' "$WORK/door.log" | head -1 | cut -d: -f2)
    again=$(grep -o '"elapsed_ms":[0-9]*' "$WORK/door.log" | sed -n 2p | cut -d: -f2)
    relations=$(grep -o '"relations":[0-9]*' "$WORK/door.log" | head -1 | cut -d: -f2)
    memory=$(awk '/VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$DOOR/status")
    printf '%-8s %10s %9s %10s %29s %14s\n' "$database" "$relations" "$ms" "$again" "$felt" "$memory"
    stop_door
  done
done

echo
echo "pgbench -S, one client        mode      polled: us  strict: us"
for database in small big; do
  for writes in quiet written; do
    for mode in simple prepared; do
      for catalog in polled strict; do
        open_door "$database" "$catalog"
        if [ $writes = written ]; then
          (while :; do echo "UPDATE elsewhere SET a = a + 1; SELECT pg_sleep(0.005);"; done) |
            "${SQL[@]}" -d "$database" >/dev/null 2>&1 &
          WRITER=$!
        fi
        latency=$(PGAPPNAME=agent:bench pgbench -h 127.0.0.1 -p "$PORT" -U postgres -n -S -M $mode -c 1 \
          -T "$SECONDS_EACH" "$database" 2>/dev/null | sed -n 's/^latency average = \([0-9.]*\) ms/\1/p')
        stop_writer
        stop_door
        eval "$catalog=\$(awk 'BEGIN { printf \"%.0f\", $latency * 1000 }')"
      done
      printf '%-8s %-20s %-9s %10s %11s\n' "$database" "$writes" "$mode" "$polled" "$strict"
    done
  done
done
