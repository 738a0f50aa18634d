# Sourced by ../conformance.sh: the suites. Each suite_NAME FOLDER runs against 127.0.0.1:$PORT, prints
# lines "test ok" or "test FAILED", and leaves in FOLDER what compare.py compares.

export PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=20
at_port() { PGHOST=127.0.0.1 PGPORT=$PORT "$@"; }

# PostgreSQL's regression tests. The server writes files beside the results, and one over a result, so both are
# of one user.
suite_regress() {
  local out=$1
  mkdir -p "$WORK/regress/testtablespace" "$WORK/regress/results" "$WORK/regress/sql" "$WORK/regress/expected"
  chmod -R 777 "$WORK/regress"
  at_port psql -Xq -c 'CREATE DATABASE regression TEMPLATE template0' >&2
  (cd "$SOURCE/src/test/regress" && pg_as ./pg_regress --inputdir=. --outputdir="$WORK/regress" --dlpath="$PWD" \
    --bindir="$CLIENTS" --schedule=parallel_schedule --max-concurrent-tests=20 \
    --host=127.0.0.1 --port="$PORT" --user=postgres --use-existing --dbname=regression) >"$out/log" 2>&1 || true
  # Since 16 it says so in TAP.
  sed -nE -e 's/^(test|    ) +([a-z0-9_.-]+) +\.\.\. (ok|FAILED).*/\2 \3/p' \
    -e 's/^ok +[0-9]+ +[-+] +([a-z0-9_.-]+) .*/\1 ok/p' -e 's/^not ok +[0-9]+ +[-+] +([a-z0-9_.-]+) .*/\1 FAILED/p' "$out/log"
  cp -r "$WORK/regress/results" "$out/"
  cp "$WORK/regress/regression.diffs" "$out/" 2>/dev/null || true
  rm -rf "$WORK/regress"
}

# libpq_pipeline, with the message traces that it compares for some tests.
suite_pipeline() {
  local out=$1 program=$SOURCE/src/test/modules/libpq_pipeline/libpq_pipeline test options
  export LD_LIBRARY_PATH=$SOURCE/src/interfaces/libpq
  for test in $("$program" tests); do
    options=(-r 700)
    [ ! -e "${program%/*}/traces/$test.trace" ] || options+=(-t "$out/$test.trace")
    if timeout 60 "$program" "${options[@]}" "$test" "host=127.0.0.1 port=$PORT dbname=postgres" \
      >"$out/$test.log" 2>&1; then
      if [ ! -e "$out/$test.trace" ] || diff "${program%/*}/traces/$test.trace" "$out/$test.trace" >"$out/$test.diff"; then
        echo "$test ok"
        continue
      fi
    fi
    echo "$test FAILED"
  done
  unset LD_LIBRARY_PATH
}

# asyncpg's suite, in its mode for a server that runs already.
suite_asyncpg() {
  local out=$1
  (cd "$ASYNCPG" && PYTHONPATH=$CACHE/python PGHOST=127.0.0.1 PGPORT=$PORT timeout 600 "$PYTHON" -m unittest discover -v -t . -s tests) >"$out/log" 2>&1 || true
  "$PYTHON" scripts/conformance/unittest_list.py "$out/log"
}

# psql's meta-commands over a database with something of everything in it.
suite_psql() {
  local out=$1 number=0 command
  at_port psql -Xq -c 'CREATE DATABASE shown TEMPLATE template0' >&2
  PGDATABASE=shown at_port psql -Xq -v ON_ERROR_STOP=1 -f scripts/conformance/shown.sql >"$out/shown.log" 2>&1 ||
    { echo "shown FAILED"; return; }
  while read -r command; do
    number=$((number + 1))
    if PGDATABASE=shown at_port timeout 20 psql -X >"$out/$number.out" 2>&1 <<<"$command"; then
      echo "$(printf '%s' "$command" | tr ' ' '_') ok"
    else
      echo "$(printf '%s' "$command" | tr ' ' '_') FAILED"
    fi
  done <scripts/conformance/meta.txt
}

# pg_dump in its formats, then restored, then dumped again: every dump must be the same text.
suite_dump() {
  local out=$1 format step
  PGDATABASE=shown
  at_port psql -XAtq -c 'SELECT 1' >/dev/null 2>&1 || PGDATABASE=postgres
  step() { local name=$1; shift; if "$@" >"$out/$name.log" 2>&1; then echo "$name ok"; else echo "$name FAILED"; fi; }
  export PGHOST=127.0.0.1 PGPORT=$PORT PGDATABASE
  # \restrict carries a random word.
  plain() { pg_dump "${@:2}" | grep -v '^\\\(un\)\?restrict' >"$1"; }
  step plain plain "$out/plain.sql"
  step inserts plain "$out/inserts.sql" --column-inserts
  step schema plain "$out/schema.sql" --schema-only
  step globals bash -c "pg_dumpall --globals-only | grep -v '^.\(un\)\?restrict' >'$out/globals.sql'"
  for format in plain custom directory tar; do
    step "create_$format" psql -Xq -d postgres -c "CREATE DATABASE back_$format TEMPLATE template0"
    if [ "$format" = plain ]; then
      step restore_plain psql -Xq -v ON_ERROR_STOP=1 -d back_plain -f "$out/plain.sql"
    else
      step "dump_$format" pg_dump --format="$format" --file="$WORK/back_$format"
      step "restore_$format" pg_restore --exit-on-error -d "back_$format" "$WORK/back_$format"
    fi
    step "again_$format" env PGDATABASE="back_$format" bash -c "pg_dump | grep -v '^.\(un\)\?restrict' >'$out/again_$format.sql'"
    step "same_$format" diff "$out/plain.sql" "$out/again_$format.sql"
    rm -rf "$WORK/back_$format"
  done
  # Jobs are connections that share a snapshot.
  step jobs pg_dump --format=directory --jobs=3 --file="$WORK/jobs"
  rm -rf "$WORK/jobs"
  export PGDATABASE=postgres
  unset PGHOST PGPORT
}

# pgbench: no transaction may fail, in no query mode.
suite_pgbench() {
  local out=$1 mode script
  at_port psql -Xq -c 'CREATE DATABASE bench' >&2
  if PGDATABASE=bench at_port pgbench -i -s 2 -q >"$out/init.log" 2>&1; then echo "init ok"; else echo "init FAILED"; fi
  for mode in simple extended prepared; do
    for script in tpcb-like simple-update select-only; do
      if PGDATABASE=bench at_port timeout 60 pgbench -n -M "$mode" -b "$script" -c 8 -j 2 -t 200 >"$out/$mode-$script.log" 2>&1 &&
        grep -q 'actually processed: 1600/1600' "$out/$mode-$script.log"; then
        echo "$mode-$script ok"
      else
        echo "$mode-$script FAILED"
      fi
    done
  done
  # A connection per transaction.
  if PGDATABASE=bench at_port timeout 60 pgbench -n -C -S -c 4 -t 50 >"$out/connect.log" 2>&1 &&
    grep -q 'actually processed: 200/200' "$out/connect.log"; then echo "connect ok"; else echo "connect FAILED"; fi
  cat >"$out/pipeline.pgbench" <<'SQL'
\startpipeline
SELECT 1;
SELECT abalance FROM pgbench_accounts WHERE aid = 1;
UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1;
\endpipeline
SQL
  for mode in extended prepared; do
    if PGDATABASE=bench at_port timeout 60 pgbench -n -M "$mode" -f "$out/pipeline.pgbench" -c 4 -t 200 >"$out/$mode-pipeline.log" 2>&1 &&
      grep -q 'actually processed: 800/800' "$out/$mode-pipeline.log"; then echo "$mode-pipeline ok"; else echo "$mode-pipeline FAILED"; fi
  done
}
