"""Judges the corpora in ../shared/corpora with the policies in policies/eval, and prints their scorer's table.

    score.py PORTCULLIS DSN

DSN leads to a server with the fixture schema. Attacks of tier B (block or neutralise) that a policy lets
pass are run there, each in a transaction that is rolled back: what shows no canary value counts as
neutral in the second table. The first one counts decisions alone.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import psycopg

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"
PORTCULLIS, DSN = sys.argv[1:3]
PROFILES = ["strict", "standard", "tenant_analyst"]
# Where the rows that went wrong are listed.
MISSES = ROOT / ".portcullis" / "score"
# Tables with rows of tenants: those of others must make no difference to the first.
OF_TENANTS = """SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND attname = 'tenant_id' WHERE relkind = 'r'"""


def rows(name):
    return [json.loads(line) for line in (CORPORA / name).read_text(encoding="utf-8").split("\n") if line]


def judge(policy, statements, catalog):
    questions = "\n".join(
        json.dumps({"id": row["id"], "sql": row["sql"], "agent": "eval"}) for row in statements
    )
    command = [PORTCULLIS, "check", "--policy", policy, "--format", "jsonl", "--input", "jsonl"]
    command += ["--catalog", catalog] if catalog else []
    said = subprocess.run(command, input=questions, capture_output=True, text=True, check=False)
    answers = {row["id"]: row for row in map(json.loads, said.stdout.splitlines())}
    if len(answers) != len(statements):
        sys.exit(f"{policy}: {len(answers)} answers to {len(statements)} questions: {said.stderr}")
    return answers


NAMES = [
    (re.compile(r"^\s*execute\s+(\w+)", re.I), "PREPARE {} AS SELECT 1; "),
    (re.compile(r"^\s*fetch\b.*?(\w+)\s*;?\s*$", re.I | re.S), "DECLARE {} CURSOR FOR SELECT 1; "),
    (re.compile(r"where\s+current\s+of\s+(\w+)", re.I), "DECLARE {} CURSOR FOR SELECT 1; "),
]


def in_session(sql):
    """The statement behind what makes the name that it uses: alone it would be an error of the server."""
    for pattern, before in NAMES:
        if found := pattern.search(sql):
            return before.format(found[1]) + sql
    return sql


def open_profile(file):
    """What an agent is refused that may do everything that honest programs do."""
    asked = [{"id": row["id"], "sql": in_session(row["sql"])} for row in benign]
    answers = judge(str(ROOT / "policies" / "eval" / "open.yaml"), asked, None)
    lines = {}
    for row in benign:
        answer = answers[row["id"]]
        lines[row["id"]] = {"id": row["id"], "profile": "open", "ver" "dict": answer["decision"]}
        file.write(json.dumps(lines[row["id"]]) + "\n")
    with open(MISSES / "open.jsonl", "w", encoding="utf-8") as out:
        for row in benign:
            if lines[row["id"]]["ver" "dict"] == "deny":
                reasons = [reason["text"] for reason in answers[row["id"]]["reasons"]]
                out.write(json.dumps({"id": row["id"], "refused": reasons, "sql": row["sql"]}) + "\n")


def shows(connection, sql):
    """Whether running it shows a canary, or what it may not do at all."""
    seen = ""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL statement_timeout = '2s'")
            cursor = connection.execute(sql)
            if cursor.description is None:
                return True
            seen = repr(cursor.fetchmany(2000))
    except psycopg.errors.QueryCanceled:
        return True
    except psycopg.Error as error:
        seen = str(error)
    return "CANARY" in seen.upper()


def differs(connection, sql):
    """Whether rows of other tenants make a difference to what it gives."""
    tables = [row[0] for row in connection.execute(OF_TENANTS)]
    seen = []
    for others in (True, False):
        try:
            with connection.transaction(force_rollback=True):
                if not others:
                    connection.execute("SET LOCAL session_replication_role = replica")
                    for table in tables:
                        connection.execute(f"DELETE FROM {table} WHERE tenant_id <> 1")
                connection.execute("SET LOCAL statement_timeout = '2s'")
                connection.execute("SELECT setseed(0.5)")
                cursor = connection.execute(sql)
                given = cursor.fetchmany(2000) if cursor.description else None
                seen.append(sorted(map(repr, given)) if given is not None else cursor.rowcount)
        except psycopg.errors.QueryCanceled:
            return True
        except psycopg.Error as error:
            seen.append(str(error))
    return seen[0] != seen[1]


def mutants(profile, answers, catalog):
    """Mutants change the surface of a statement, or wrap it: none may get by what its base does not."""
    made = [row for row in attacks if row.get("base_sql")]
    bases = [{"id": row["id"], "sql": row["base_sql"]} for row in made]
    of_bases = judge(str(ROOT / "policies" / "eval" / f"{profile}.yaml"), bases, catalog)
    other = [row for row in made if of_bases[row["id"]]["decision"] != answers[row["id"]]["decision"]]
    laxer = [row for row in other if answers[row["id"]]["decision"] == "allow"]
    print(f"{profile}: {len(made) - len(other)} of {len(made)} mutants are decided like their base, "
          f"{len(other) - len(laxer)} stricter, {len(laxer)} laxer", *(row["id"] for row in laxer))


def list_misses(profile, answers, lines):
    """Writes down each scored attack that was not stopped, and each hard honest statement that was refused."""
    MISSES.mkdir(parents=True, exist_ok=True)
    with open(MISSES / f"{profile}.jsonl", "w", encoding="utf-8") as out:
        for row in attacks:
            scored = row["tier"] in "AB" and row["expected"][profile] != "not_asserted"
            scored = scored and row["fixture_semantics"] in ("valid", "not_checked_utility")
            line = lines[row["id"]]
            if scored and line["ver" "dict"] != "deny" and line.get("leak") is not False:
                wrong = {"id": row["id"], "category": row["category"], "tier": row["tier"], "sql": row["sql"]}
                out.write(json.dumps(wrong) + "\n")
        for row in benign:
            if profile in row.get("must_allow_under", []) and lines[row["id"]]["ver" "dict"] == "deny":
                reasons = [reason["text"] for reason in answers[row["id"]]["reasons"]]
                out.write(json.dumps({"id": row["id"], "refused": reasons, "sql": row["sql"]}) + "\n")


attacks, benign = rows("sql_attacks.jsonl"), rows("sql_benign.jsonl")
with tempfile.TemporaryDirectory() as folder:
    catalog = os.path.join(folder, "catalog.json")
    dump = [PORTCULLIS, "catalog", "dump", "--dsn", DSN, "--output", catalog]
    subprocess.run(dump, check=True, stdout=subprocess.DEVNULL)
    scored, decisions = os.path.join(folder, "scored.jsonl"), os.path.join(folder, "decisions.jsonl")
    let_pass = {}
    with (
        open(scored, "w", encoding="utf-8") as out,
        open(decisions, "w", encoding="utf-8") as decided,
        psycopg.connect(DSN) as connection,
    ):
        for profile in PROFILES:
            answers = judge(str(ROOT / "policies" / "eval" / f"{profile}.yaml"), attacks + benign, catalog)
            hostile = {row["id"]: row for row in attacks}
            passed, lines = [], {}
            for number, answer in answers.items():
                denied = answer["decision"] == "deny"
                line = {"id": number, "profile": profile, "ver" "dict": "deny" if denied else "allow"}
                if not denied and number in hostile:
                    passed.append(number)
                    decided.write(json.dumps(line) + "\n")
                    sql = answer.get("rewritten", hostile[number]["sql"])
                    if profile == "tenant_analyst":
                        line["leak"] = shows(connection, sql) or differs(connection, sql)
                    elif hostile[number]["tier"] == "B":
                        line["leak"] = shows(connection, sql)
                else:
                    decided.write(json.dumps(line) + "\n")
                out.write(json.dumps(line) + "\n")
                lines[number] = line
            let_pass[profile] = passed
            mutants(profile, answers, catalog)
            list_misses(profile, answers, lines)
        open_profile(out)
    for title, file in [("by decisions alone", decisions), ("with what tier B shows when run", scored)]:
        print(f"== {title}", flush=True)
        subprocess.run([sys.executable, str(CORPORA / "score.py"), file], check=True)
    for profile, passed in let_pass.items():
        print(f"{profile}: {len(passed)} of {len(attacks)} hostile rows (probes included) pass the policy")

unparsable = rows("sql_unparsable.jsonl")
with tempfile.TemporaryDirectory() as folder:
    policy = os.path.join(folder, "policy.yaml")
    pathlib.Path(policy).write_text('version: "2"\nagents: {eval: {profile: permissive}}\n', encoding="utf-8")
    command = [PORTCULLIS, "check", "--policy", policy, "--format", "jsonl", "--input", "jsonl"]
    questions = "\n".join(json.dumps({"id": str(n), "sql": row["sql"], "agent": "eval"}) for n, row in enumerate(unparsable))
    began = time.monotonic()
    said = subprocess.run(command, input=questions, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    denied = [answer for answer in answers if answer["decision"] == "deny"]
    placed = sum("error_position" in answer for answer in denied)
    print(f"unparsable: {len(denied)} of {len(unparsable)} denied, {placed} with the place of the mistake, "
          f"all of them in {took * 1000:.0f} ms; the others hold no statement: "
          + ", ".join(repr(unparsable[int(a["id"])]["sql"]) for a in answers if a["decision"] != "deny"))
