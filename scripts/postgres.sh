# Sourced by other scripts: a throw-away PostgreSQL.
#
# pg_start FOLDER [MAJOR] [SETTING…]  starts one in FOLDER; sets PG_PORT, PG_SOCKET, PG_BIN_USED
# pg_stop                             ends it
#
# The server ends with the script, even if that is killed: it listens to the script's pipe.

pg_programs() {
  local folder
  if [ -n "${1:-}" ] && [ -x "/usr/lib/postgresql/$1/bin/initdb" ]; then
    echo "/usr/lib/postgresql/$1/bin"
    return
  fi
  if [ -z "${1:-}" ]; then
    for folder in "${PG_BIN:-}" "$(dirname "$(readlink -f "$(command -v postgres || echo /)")")" \
      $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do
      if [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
        echo "$folder"
        return
      fi
    done
  fi
  # The pinned build; the testkit knows how to fetch it.
  cargo run --quiet --package portcullis-testkit --example programs -- ${1:-18}
}

pg_free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null ||
    echo $((20000 + RANDOM % 20000))
}

PG_PID=
pg_as() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
  else
    "$@"
  fi
}

pg_start() {
  local folder=$1 programs setting
  programs=$(pg_programs "${2:-}") || return 1
  shift $(($# > 2 ? 2 : $#))
  PG_BIN_USED=$programs PG_SOCKET=$folder PG_PORT=$(pg_free_port)
  mkdir -p "$folder"
  [ "$(id -u)" != 0 ] || chown 65534:65534 "$folder"
  (cd / && LC_ALL=C pg_as "$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 \
    --locale=C -N >"${folder%/*}/initdb.log" 2>&1) || { cat "${folder%/*}/initdb.log" >&2; return 1; }
  local arguments=(-D "$folder/data" -p "$PG_PORT" -k "$folder" -c listen_addresses=127.0.0.1 -c fsync=off)
  for setting in "$@"; do arguments+=(-c "$setting"); done
  (cd / && pg_as "$programs/postgres" "${arguments[@]}" >"${folder%/*}/postgres.log" 2>&1) &
  for _ in $(seq 300); do
    if [ "$(sed -n 8p "$folder/data/postmaster.pid" 2>/dev/null | tr -d ' ')" = ready ]; then
      PG_PID=$(head -1 "$folder/data/postmaster.pid")
      # Whoever holds the other end of this pipe is us; when we are gone, so is the server.
      exec {PG_PIPE}> >(trap '' INT TERM HUP; cat >/dev/null; kill -QUIT "$PG_PID" 2>/dev/null)
      return 0
    fi
    sleep 0.05
  done
  cat "${folder%/*}/postgres.log" >&2
  return 1
}

pg_stop() {
  [ -n "$PG_PID" ] || return 0
  kill -QUIT "$PG_PID" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$PG_PID" 2>/dev/null || break
    sleep 0.05
  done
  PG_PID=
}
