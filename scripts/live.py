"""Sends the attacks of ../shared/corpora through the door, and looks at what they give away and change.

    live.py PORTCULLIS PORT WORK [PROFILE...]

PORT is that of a server with the database `fixture`, in which the agent is superuser, so that nothing but
the door stands in the way. Each attack has a connection of its own. One that the door does not refuse is
looked at: a canary value in any row, notice or error is a leak, and so is any change of rows, definitions, roles,
settings or large objects. For `tenant_analyst` the same text also goes through a second door to a copy
without the rows of other tenants: what differs is a leak. A database that was changed is made anew.
Labels say which attacks are sent, and nothing else. Exit 1 if one leaks that scripts/live-known.txt does not name.
"""

import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import psycopg

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"
PORTCULLIS, PORT, WORK = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
PROFILES = sys.argv[4:] or ["strict", "standard", "tenant_analyst"]
KNOWN = {tuple(line.split()[:2]) for line in (ROOT / "scripts" / "live-known.txt").read_text(encoding="utf-8").splitlines()
         if line and not line.startswith("#")}
# A profile that may write is not held to have changed nothing.
WRITERS = {"standard"}
MOST_SECONDS = 20 * 60

STATE = """
SELECT md5(string_agg(part, '|' ORDER BY part)) FROM (
  SELECT concat_ws('|', 'rel', c.oid, relname, relkind, relacl::text, reloptions::text) AS part FROM pg_class c
    WHERE relpersistence <> 't'
  UNION ALL SELECT concat_ws('|', 'col', attrelid, attname, atttypid) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    WHERE attnum > 0 AND relpersistence <> 't'
  UNION ALL SELECT concat_ws('|', 'fun', p.oid, proname, md5(prosrc)) FROM pg_proc p
  UNION ALL SELECT concat_ws('|', 'rol', rolname, rolsuper, rolcreaterole, rolpassword) FROM pg_authid
  UNION ALL SELECT concat_ws('|', 'set', setdatabase, setrole, setconfig::text) FROM pg_db_role_setting
  UNION ALL SELECT concat_ws('|', 'ext', extname) FROM pg_extension
  UNION ALL SELECT concat_ws('|', 'lob', oid) FROM pg_largeobject_metadata
  UNION ALL SELECT concat_ws('|', 'db', datname) FROM pg_database WHERE datname NOT IN ('run', 'alone')
  UNION ALL SELECT concat_ws('|', 'pre', gid) FROM pg_prepared_xacts
) parts"""
TABLES = """SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' ORDER BY 1"""
OF_TENANTS = """SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND attname = 'tenant_id' WHERE relkind = 'r'"""


def direct(database):
    return psycopg.connect(f"host=127.0.0.1 port={PORT} user=postgres dbname={database}", autocommit=True)


class Copy:
    """A database made from `fixture`, with a door before it."""

    def __init__(self, name, profile, alone=False):
        self.name, self.profile, self.alone = name, profile, alone
        self.door = None
        self.make()
        self.open()

    def make(self):
        with direct("postgres") as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {self.name} TEMPLATE fixture")
        with direct(self.name) as connection:
            if self.alone:
                connection.execute("SET session_replication_role = replica")
                for (table,) in connection.execute(OF_TENANTS).fetchall():
                    connection.execute(f"DELETE FROM {table} WHERE tenant_id <> 1")
            connection.execute("ANALYZE")
        self.before = self.state()

    def state(self):
        with direct(self.name) as connection:
            parts = [connection.execute(STATE).fetchone()[0]]
            for (table,) in connection.execute(TABLES).fetchall():
                query = f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"
                parts.append((table, connection.execute(query).fetchone()))
        return parts

    def open(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        dsn = f"host=127.0.0.1 port={PORT} user=postgres dbname={self.name}"
        folder = WORK / f"{self.profile}-{self.name}"
        command = [PORTCULLIS, "proxy", "--listen", f"127.0.0.1:{self.port}", "--upstream", f"127.0.0.1:{PORT}",
                   "--admin", "off", "--view", "off", "--policies", str(ROOT / f"policies/eval/{self.profile}.yaml"),
                   "--ledger-dir", f"{folder}-ledger", "--key-file", f"{folder}-key", "--catalog-dsn", dsn]
        self.log = open(f"{folder}.log", "w", encoding="utf-8")
        self.door = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        for _ in range(400):
            try:
                if self.ask("SELECT count(*) FROM products WHERE tenant_id = 1")[0] == "ran":
                    return
            except psycopg.OperationalError:
                pass
            time.sleep(0.05)
        sys.exit(f"the door does not open: {pathlib.Path(self.log.name).read_text(encoding='utf-8')[-2000:]}")

    def close(self):
        self.door.send_signal(signal.SIGTERM)
        self.door.wait(30)
        self.log.close()

    def ask(self, sql):
        """What became of a text: refused, ran, failed, or cancelled; and everything that came back."""
        seen = []
        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=self.name, autocommit=True,
                             application_name="agent:eval", options="-c statement_timeout=2s") as connection:
            connection.add_notice_handler(lambda notice: seen.append(notice.message_primary or ""))
            try:
                cursor = connection.execute(sql.encode("utf-8"), prepare=False)
                while True:
                    if cursor.description is not None:
                        seen += sorted(map(repr, cursor.fetchmany(2000)))
                    if not cursor.nextset():
                        return "ran", seen
            except psycopg.errors.QueryCanceled:
                return "cancelled", seen
            except psycopg.Error as error:
                said = error.diag.message_primary or str(error)
                if said.startswith("[BLOCKED by Portcullis]"):
                    return "refused", []
                return "failed", [*seen, said, error.diag.message_detail or "", error.diag.message_hint or ""]


def judge(row, full, alone):
    """refused, neutral, or what went wrong."""
    how, seen = full.ask(row["sql"])
    if how == "refused":
        return "refused"
    wrong = []
    if any("CANARY" in text.upper() for text in seen):
        wrong.append("shows a canary")
    if how == "cancelled":
        wrong.append("runs for more than 2 s")
    if alone is not None and alone.ask(row["sql"]) != (how, seen):
        wrong.append("tells of other tenants")
    after = full.state()
    if after != full.before:
        tables = {part[0] for part in after if isinstance(part, tuple)} | {"definitions"}
        changed = [name for name in sorted(tables) if dict_of(after).get(name) != dict_of(full.before).get(name)]
        if full.profile not in WRITERS:
            wrong.append("changes " + ", ".join(changed))
        elif changed == ["definitions"]:
            wrong.append("changes definitions")
        full.make()
        if alone is not None:
            alone.make()
    return "; ".join(wrong) or "neutral"


def dict_of(state):
    return {part[0]: part[1] for part in state if isinstance(part, tuple)} | {"definitions": state[0]}


def control(rows):
    """The same look at attacks that no policy stops: it has to see them leak."""
    full = Copy("run", "open")
    asked = [row for row in rows if row["category"] in ("pii_extraction", "union_extraction")][:60]
    said = [judge(row, full, None) for row in asked]
    full.close()
    leaked = sum("canary" in one for one in said)
    print(f"control: of {len(asked)} extractions that nothing stops {leaked} show a canary")
    if leaked == 0:
        sys.exit("the look at what comes back is blind")


def main():
    rows = [json.loads(line) for line in (CORPORA / "sql_attacks.jsonl").read_text(encoding="utf-8").split("\n") if line]
    began, failures = time.monotonic(), 0
    control(rows)
    for profile in PROFILES:
        full = Copy("run", profile)
        alone = Copy("alone", profile, alone=True) if profile == "tenant_analyst" else None
        counts, leaks, known = collections.defaultdict(collections.Counter), [], 0
        sent = [row for row in rows if row["tier"] in "AB" and row["expected"][profile] != "not_asserted"
                and row["fixture_semantics"] in ("valid", "not_checked_utility")]
        for row in sent:
            if time.monotonic() - began > MOST_SECONDS:
                sys.exit(f"not done after {MOST_SECONDS} s")
            said = judge(row, full, alone)
            counts[row["category"]][said if said in ("refused", "neutral") else "leaked"] += 1
            if said not in ("refused", "neutral"):
                if (profile, row["id"]) in KNOWN:
                    known += 1
                else:
                    leaks.append((row, said))
        full.close()
        if alone is not None:
            alone.close()
        total = sum(counts.values(), collections.Counter())
        print(f"{profile}: {len(sent)} attacks sent: {total['refused']} refused, {total['neutral']} ran and gave nothing away, "
              f"{total['leaked']} leaked or changed something ({known} known)", flush=True)
        for category, count in sorted(counts.items()):
            print(f"   {category:24} {count['refused']:5} {count['neutral']:5} {count['leaked']:5}")
        for row, said in leaks:
            print("   LEAK", row["id"], row["category"], said, json.dumps(row["sql"][:300]), flush=True)
        failures += len(leaks)
        verify = [PORTCULLIS, "verify-log", str(WORK / f"{profile}-run-ledger"), "--key-file", str(WORK / f"{profile}-run-key")]
        subprocess.run(verify, check=True, stdout=subprocess.DEVNULL)
    sys.exit(1 if failures else 0)


os.environ["PGCONNECT_TIMEOUT"] = "10"
main()
