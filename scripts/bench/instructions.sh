#!/usr/bin/env bash
# Instructions under callgrind for one judged statement, facts and decision together, with the catalog of a
# real server that has 1,000 relations: at first sight, and where the session has sent the same text before.
# Set-up is left out: each figure is the difference of two counts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/postgres.sh
command -v valgrind >/dev/null || { echo "valgrind is missing: sudo apt-get install valgrind" >&2; exit 1; }
cargo build --quiet --release --package portcullis-server --example judge
cargo build --quiet --release --package portcullis
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
WORK=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-instructions.XXXXXX")
chmod 755 "$WORK"
trap 'pg_stop; rm -rf "$WORK"' EXIT
pg_start "$WORK/pg"
PSQL=(psql -XqAt -h "$PG_SOCKET" -p "$PG_PORT" -U postgres -d postgres)
"${PSQL[@]}" <<'SQL'
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, tenant_id int, %s)', i,
  (SELECT string_agg(format('c%s text', j), ', ') FROM generate_series(1, 8) j)) FROM generate_series(1, 996) i \gexec
SQL
"$target/release/portcullis" catalog dump --dsn "host=127.0.0.1 port=$PG_PORT user=postgres dbname=postgres" --output "$WORK/catalog.json" >/dev/null
cat >"$WORK/policy.yaml" <<'YAML'
version: "2"
agents:
  bench:
    profile: permissive
    blocked_tables: [public.t1, "vault.*"]
    columns:
      public.pgbench_accounts: {deny: [filler]}
      public.t2: [id]
    functions: {deny: ["lib.*"]}
detections: {pii_column_guard: {enabled: false}, missing_where: {enabled: false}}
YAML
for pair in {select,prepared,join,insert,update}:{first,seen}; do
  name=${pair%:*} sight=${pair#*:}
  count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$target/release/examples/judge" \
      "$WORK/catalog.json" "$WORK/policy.yaml" "$name" "$sight" "$1" 2>"$WORK/said" ||
      { cat "$WORK/said" >&2; return 1; }
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$WORK/said"
  }
  few=$(count 100)
  many=$(count 300)
  echo "$name $sight $(((many - few) / 200))"
done
