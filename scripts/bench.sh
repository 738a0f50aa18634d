#!/usr/bin/env bash
# What the door costs: pgbench -S directly, through a proxy that only copies bytes, through
# PgBouncer (session mode) and through Portcullis with a full policy and a ledger (promise: group);
# then the promise strict, memory of idle connections and instructions per judged statement.
# Ends with the aims, each met or missed.
#
#   BENCH_SECONDS   of each run (4)          BENCH_CLIENTS   "1 8 32"
#   BENCH_MODES     "simple extended prepared"   BENCH_PROFILE   of the build (dist)
#   BENCH_IDLE      idle connections (200)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh

SECONDS_EACH=${BENCH_SECONDS:-4}
CLIENTS=${BENCH_CLIENTS:-1 8 32}
MODES=${BENCH_MODES:-simple extended prepared}
PROFILE=${BENCH_PROFILE:-dist}
IDLE=${BENCH_IDLE:-200}
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

pg_start "$WORK/pg" "" max_connections=$((IDLE + 100)) shared_buffers=128MB
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
# open_door NAME PROMISE: a door with a ledger of its own; its admin port goes to ADMIN.
open_door() {
  local name=$1
  PORT[$name]=$(pg_free_port) ADMIN=$(pg_free_port)
  "$PORTCULLIS" proxy --listen "127.0.0.1:${PORT[$name]}" --upstream "127.0.0.1:$PG_PORT" \
    --admin "127.0.0.1:$ADMIN" --view off --promise "$2" --policies "$WORK/policies.yaml" \
    --ledger-dir "$WORK/ledger-$name" --key-file "$WORK/key" >"$WORK/door-$name.log" 2>&1 &
  PROCESS[$name]=$!
  STARTED+=($!)
  wait_for "${PORT[$name]}"
}
NAMES+=(portcullis)
open_door portcullis group
for name in "${NAMES[@]}"; do wait_for "${PORT[$name]}"; done

# cpu PROCESS: microseconds of processor time it has used so far.
cpu() {
  [ -n "$1" ] || { echo 0; return; }
  local hertz
  hertz=$(getconf CLK_TCK)
  sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$hertz" '{ printf "%d\n", ($12 + $13) * 1000000 / hz }'
}

# rss PROCESS: kibibytes of memory it holds.
rss() { awk '$1 == "VmRSS:" { print $2; found = 1 } END { exit !found }' "/proc/$1/status"; }

# metric NAME: of the door opened last.
metric() {
  exec 3<>"/dev/tcp/127.0.0.1/$ADMIN"
  printf 'GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  sed -n "s/^$1\(_total\)\? \([0-9]*\).*/\2/p" <&3
  exec 3>&-
}

# run NAME MODE CLIENTS: sets TPS, COUNT, LATENCY (us, mean), MEDIAN (us, - unless one client) and CPU (us per transaction).
run() {
  local name=$1 mode=$2 clients=$3 before after log=()
  rm -f "$WORK"/log.*
  [ "$clients" != 1 ] || log=(-l "--log-prefix=$WORK/log")
  before=$(cpu "${PROCESS[$name]}")
  "${PGBENCH[@]}" -p "${PORT[$name]}" -S -n -M "$mode" -c "$clients" -j "$((clients < 2 ? clients : 2))" \
    "${log[@]}" -T "$SECONDS_EACH" postgres >"$WORK/run" 2>"$WORK/run.err" ||
    { cat "$WORK/run.err" "$WORK"/door-*.log >&2; exit 1; }
  after=$(cpu "${PROCESS[$name]}")
  TPS=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$WORK/run")
  COUNT=$(sed -n 's/.*actually processed: \([0-9]*\).*/\1/p' "$WORK/run")
  LATENCY=$(sed -n 's/^latency average = \([0-9.]*\) ms/\1/p' "$WORK/run" | awk '{ print 1000 * $1 }')
  MEDIAN=-
  [ "$clients" != 1 ] || MEDIAN=$(cut -d' ' -f3 "$WORK"/log.* | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
  CPU=$(awk -v a="$((after - before))" -v n="$COUNT" 'BEGIN { printf "%.1f", a / n }')
}

printf '%s, %s cores, %s s each, pgbench -S -s 10, profile %s, load before %s\n\n' \
  "PostgreSQL $(psql -XAtq -h "$PG_SOCKET" -p "$PG_PORT" -U postgres -d postgres -c 'SHOW server_version')" \
  "$(nproc)" "$SECONDS_EACH" "$PROFILE" "$(cut -d' ' -f1 /proc/loadavg)"
printf '%-9s %7s  %-11s %9s %9s %9s %11s %10s %10s\n' mode clients through tps "of direct" "mean, us" "median, us" "CPU/tx, us" "of copier"
for mode in $MODES; do
  for clients in $CLIENTS; do
    direct='' copier=''
    for name in "${NAMES[@]}"; do
      run "$name" "$mode" "$clients"
      direct=${direct:-$TPS}
      [ "$name" != copier ] || copier=$CPU
      echo "$mode $clients $name $TPS $LATENCY $MEDIAN $CPU" >>"$WORK/results"
      awk -v m="$mode" -v c="$clients" -v n="$name" -v t="$TPS" -v d="$direct" -v l="$LATENCY" -v md="$MEDIAN" \
        -v cpu="$CPU" -v f="${copier:-0}" 'BEGIN {
          printf "%-9s %7d  %-11s %9.0f %8.0f%% %9.0f %11s %10s %10s\n", m, c, n, t, 100 * t / d, l, md,
            (cpu > 0 ? cpu : "-"), (cpu > 0 && f > 0 ? sprintf("%.2f", cpu / f) : "-") }'
    done
  done
done

close_door() {
  kill -TERM "${PROCESS[$1]}"
  wait "${PROCESS[$1]}" || true
  "$PORTCULLIS" verify-log "$WORK/ledger-$1" --key-file "$WORK/key" >"$WORK/found" || { cat "$WORK/found"; exit 1; }
  printf 'The ledger of %s verifies: %s\n' "$1" "$(sed -n 's/^chain [^:]*: \([0-9]* records\).*/\1/p' "$WORK/found" | head -1)"
}
echo
close_door portcullis

# Idle connections: each has answered ReadyForQuery and then says nothing; in a new door, so that no
# memory of sessions that ended is used again.
open_door idle group
python3 scripts/bench/idle.py "${PORT[idle]}" "$IDLE" "$WORK/idle" &
HOLDER=$!
BEFORE=$(rss "${PROCESS[idle]}")
echo go >"$WORK/idle.go"
for _ in $(seq 300); do [ -e "$WORK/idle" ] && break; sleep 0.1; done
[ -e "$WORK/idle" ] || { echo "$IDLE idle sessions could not be opened" >&2; exit 1; }
AFTER=$(rss "${PROCESS[idle]}")
kill "$HOLDER" 2>/dev/null || true
wait "$HOLDER" 2>/dev/null || true
IDLE_KIB=$(awk -v a="$AFTER" -v b="$BEFORE" -v n="$IDLE" 'BEGIN { printf "%.1f", (a - b) / n }')
close_door idle

# strict: nothing is forwarded before its record is on the disk.
open_door strict strict
FSYNC_US=$(python3 scripts/bench/fsync.py "$WORK")
printf '\nstrict, prepared, one fsync of 1 KiB takes %s us here\n%7s %9s %14s %15s\n' "$FSYNC_US" clients tps "of ideal" "fsyncs/record"
for clients in $CLIENTS; do
  synced=$(metric portcullis_ledger_fsyncs) records=$(metric portcullis_ledger_records)
  run strict prepared "$clients"
  synced=$(($(metric portcullis_ledger_fsyncs) - synced)) records=$(($(metric portcullis_ledger_records) - records))
  base=$(awk -v c="$clients" '$1 == "prepared" && $2 == c && $3 == "direct" { print $5 }' "$WORK/results")
  ideal=$(awk -v c="$clients" -v f="$FSYNC_US" -v d="${base:-0}" 'BEGIN { print 1000000 * c / (f + d) }')
  echo "$clients $TPS $ideal" >>"$WORK/strict"
  awk -v c="$clients" -v t="$TPS" -v i="$ideal" -v s="$synced" -v n="$records" \
    'BEGIN { printf "%7d %9.0f %13.0f%% %15.3f\n", c, t, 100 * t / i, s / n }'
done
close_door strict

INSTRUCTIONS=
if command -v valgrind >/dev/null; then
  # instructions COUNT: that check executes for so many statements, none of them equal.
  instructions() {
    python3 scripts/bench/statements.py "$1" >"$WORK/$1.jsonl"
    # Exit status 1 says that something was denied, which is meant.
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$PORTCULLIS" check --policy "$WORK/policies.yaml" \
      --agent bench --mission measure --format jsonl "$WORK/$1.jsonl" 2>"$WORK/callgrind" >"$WORK/judged" || [ $? = 1 ]
    [ "$(wc -l <"$WORK/judged")" = "$1" ] || { echo "check did not judge $1 statements" >&2; return 1; }
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$WORK/callgrind"
  }
  more=$(instructions 4000)
  INSTRUCTIONS=$(((more - $(instructions 2000)) / 2000))
fi

python3 scripts/bench/aims.py "$WORK/results" "$WORK/strict" "$IDLE_KIB" "${INSTRUCTIONS:--}"
