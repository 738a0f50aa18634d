#!/usr/bin/env bash
# What the door costs: pgbench -S directly, through a proxy that only copies bytes, through
# PgBouncer (session mode) and through Portcullis with a full policy and a ledger (promise: group).
#
#   BENCH_SECONDS   of each run (5)          BENCH_CLIENTS   "1 8 32"
#   BENCH_MODES     "simple extended prepared"   BENCH_PROFILE   of the build (dist)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh

SECONDS_EACH=${BENCH_SECONDS:-5}
CLIENTS=${BENCH_CLIENTS:-1 8 32}
MODES=${BENCH_MODES:-simple extended prepared}
PROFILE=${BENCH_PROFILE:-dist}
PORTCULLIS=${PORTCULLIS_BINARY:-} XTASK=${XTASK_BINARY:-}
unset PORTCULLIS_BINARY XTASK_BINARY

if [ -z "$PORTCULLIS" ] || [ -z "$XTASK" ]; then
  cargo build --quiet --profile "$PROFILE" --package portcullis --package xtask
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  PORTCULLIS=$target/$PROFILE/portcullis XTASK=$target/$PROFILE/xtask
fi
command -v pgbench >/dev/null || PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
command -v pgbench >/dev/null || { echo "pgbench is missing: sudo apt-get install postgresql" >&2; exit 1; }

WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-bench.XXXXXX")
chmod 755 "$WORK"
STARTED=()
finish() {
  local process
  for process in "${STARTED[@]}"; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  pg_stop
  rm -rf "$WORK"
}
trap finish EXIT

pg_start "$WORK/pg" "" max_connections=200 shared_buffers=128MB
PGBENCH=(pgbench -h 127.0.0.1 -U postgres)
"${PGBENCH[@]}" -p "$PG_PORT" -i -s 10 -q postgres >/dev/null 2>&1
cat >"$WORK/policies.yaml" <<'YAML'
version: "2"
default_policy: deny
blocked_functions: [pg_read_file, pg_sleep, set_config, dblink]
agents:
  bench:
    profile: standard
    blocked_tables: [public.users, public.payments, "vault.*"]
    missions:
      measure:
        tables: [public.pgbench_accounts, public.pgbench_branches, public.pgbench_tellers]
unidentified:
  policy: deny
YAML
export PGAPPNAME=agent:bench:mission:measure

# wait_for PORT: until something listens there.
wait_for() {
  for _ in $(seq 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
    sleep 0.05
  done
  echo "nothing listens on port $1" >&2
  return 1
}

declare -A PORT PROCESS
NAMES=(direct copier)
PORT[direct]=$PG_PORT PROCESS[direct]=
PORT[copier]=$(pg_free_port)
"$XTASK" copier "127.0.0.1:${PORT[copier]}" "127.0.0.1:$PG_PORT" &
PROCESS[copier]=$!
STARTED+=($!)
if command -v pgbouncer >/dev/null; then
  NAMES+=(pgbouncer)
  PORT[pgbouncer]=$(pg_free_port)
  mkdir "$WORK/pgbouncer"
  cat >"$WORK/pgbouncer/pgbouncer.ini" <<INI
[databases]
postgres = host=127.0.0.1 port=$PG_PORT dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${PORT[pgbouncer]}
auth_type = any
pool_mode = session
default_pool_size = 100
max_client_conn = 200
log_connections = 0
log_disconnections = 0
INI
  [ "$(id -u)" != 0 ] || chown -R 65534:65534 "$WORK/pgbouncer"
  (cd / && exec $([ "$(id -u)" != 0 ] || echo setpriv --reuid=65534 --regid=65534 --clear-groups) \
    pgbouncer -q "$WORK/pgbouncer/pgbouncer.ini") >"$WORK/pgbouncer.log" 2>&1 &
  PROCESS[pgbouncer]=$!
  STARTED+=($!)
else
  echo "PgBouncer is not installed and is left out: sudo apt-get install pgbouncer" >&2
fi
NAMES+=(portcullis)
PORT[portcullis]=$(pg_free_port)
"$PORTCULLIS" proxy --listen "127.0.0.1:${PORT[portcullis]}" --upstream "127.0.0.1:$PG_PORT" --admin off \
  --view off --promise group --policies "$WORK/policies.yaml" --ledger-dir "$WORK/ledger" \
  --key-file "$WORK/key" >"$WORK/door.log" 2>&1 &
PROCESS[portcullis]=$!
STARTED+=($!)
for name in "${NAMES[@]}"; do wait_for "${PORT[$name]}"; done

# cpu PROCESS: microseconds of processor time it has used so far.
cpu() {
  [ -n "$1" ] || { echo 0; return; }
  local hertz
  hertz=$(getconf CLK_TCK)
  sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$hertz" '{ printf "%d\n", ($12 + $13) * 1000000 / hz }'
}

printf '%s, %s cores, %s s each, pgbench -S -s 10, profile %s\n\n' \
  "PostgreSQL $(psql -XAtq -h "$PG_SOCKET" -p "$PG_PORT" -U postgres -d postgres -c 'SHOW server_version')" \
  "$(nproc)" "$SECONDS_EACH" "$PROFILE"
printf '%-9s %7s  %-11s %10s %9s %12s %11s\n' mode clients through tps "of direct" "latency, us" "CPU/tx, us"
for mode in $MODES; do
  for clients in $CLIENTS; do
    direct=
    for name in "${NAMES[@]}"; do
      before=$(cpu "${PROCESS[$name]}")
      "${PGBENCH[@]}" -p "${PORT[$name]}" -S -n -M "$mode" -c "$clients" -j "$((clients < 2 ? clients : 2))" \
        -T "$SECONDS_EACH" postgres >"$WORK/run" 2>"$WORK/run.err" || { cat "$WORK/run.err" "$WORK/door.log" >&2; exit 1; }
      after=$(cpu "${PROCESS[$name]}")
      tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$WORK/run")
      count=$(sed -n 's/.*actually processed: \([0-9]*\).*/\1/p' "$WORK/run")
      latency=$(sed -n 's/^latency average = \([0-9.]*\) ms/\1/p' "$WORK/run")
      direct=${direct:-$tps}
      awk -v m="$mode" -v c="$clients" -v n="$name" -v t="$tps" -v d="$direct" -v l="$latency" \
        -v cpu="$((after - before))" -v k="$count" 'BEGIN {
          printf "%-9s %7d  %-11s %10.0f %8.0f%% %12.0f %11s\n", m, c, n, t, 100 * t / d, 1000 * l,
            (cpu > 0 ? sprintf("%.1f", cpu / k) : "-") }'
    done
  done
done
kill -TERM "${PROCESS[portcullis]}"
wait "${PROCESS[portcullis]}" || true
"$PORTCULLIS" verify-log "$WORK/ledger" --key-file "$WORK/key" >"$WORK/found" || { cat "$WORK/found"; exit 1; }
printf '\nThe ledger verifies: %s\n' "$(sed -n 's/^chain [^:]*: \([0-9]* records\).*/\1/p' "$WORK/found" | head -1)"
