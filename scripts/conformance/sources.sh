# Sourced by ../conformance.sh: fetches and builds what the suites need, once, under .portcullis/conformance.
#
# sources_ready  sets SOURCE (PostgreSQL 15's tree, with regress.so, pg_regress and libpq_pipeline built)
#                and ASYNCPG (asyncpg's unpacked sdist)

CACHE=$PWD/.portcullis/conformance
SOURCE=$CACHE/src
ASYNCPG=$CACHE/asyncpg

# Asks for source packages of wherever the machine's packages come from, with lists of our own, so that
# the machine's are left as they are.
fetch_postgres() {
  local lists=$CACHE/apt file wanted
  mkdir -p "$lists/lists/partial" "$lists/parts"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$file" ] || continue
    sed -e 's/^deb /deb-src /' -e 's/^Types:.*/Types: deb-src/' "$file" >"$lists/parts/$(basename "$file")"
  done
  mv "$lists/parts/sources.list" "$lists/parts/machine.list" 2>/dev/null || true
  local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$lists/parts"
    -o "Dir::State::lists=$lists/lists")
  # As root, apt would fetch as a user that cannot write here.
  [ "$(id -u)" != 0 ] || options+=(-o APT::Sandbox::User=root)
  # A source without source packages is no reason to stop.
  apt-get "${options[@]}" -qq update || true
  # The version of the server there is; a mirror may list a newer one that it does not hold.
  wanted=$(dpkg-query -W -f '${Version}' postgresql-15)
  (cd "$CACHE" && apt-get "${options[@]}" -qq source --download-only "postgresql-15=$wanted")
}

build_postgres() {
  local patch
  rm -rf "$SOURCE"
  mkdir -p "$SOURCE"
  tar xf "$CACHE"/postgresql-15_*.orig.tar.bz2 -C "$SOURCE" --strip-components=1
  tar xf "$CACHE"/postgresql-15_*.debian.tar.xz -C "$SOURCE"
  while read -r patch; do
    (cd "$SOURCE" && patch -p1 -s <"debian/patches/$patch")
  done < <(grep -v '^#' "$SOURCE/debian/patches/series")
  (cd "$SOURCE" && ./configure --quiet --without-readline --without-zlib CFLAGS=-O1) 2>/dev/null
  make -s -C "$SOURCE/src/backend" generated-headers
  make -s -j2 -C "$SOURCE/src/test/regress" all
  make -s -j2 -C "$SOURCE/src/test/modules/libpq_pipeline" all
  touch "$SOURCE/built"
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
  if [ ! -e "$SOURCE/built" ]; then
    echo "fetching and building PostgreSQL's suites (a minute or two, once)" >&2
    compgen -G "$CACHE/postgresql-15_*.orig.tar.bz2" >/dev/null || fetch_postgres
    build_postgres >"$CACHE/build.log" 2>&1 || { tail -5 "$CACHE/build.log" >&2; return 1; }
  fi
  [ -e "$ASYNCPG/tests" ] || fetch_asyncpg
}
