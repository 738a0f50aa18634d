"""Judges the corpora in ../shared/corpora with the policies in policies/eval, and prints their scorer's table.

    score.py PORTCULLIS DSN

DSN leads to a server with the fixture schema. Attacks of tier B (block or neutralise) that a policy lets
pass are run there, each in a transaction that is rolled back: what shows no canary value counts as
neutral in the second table. The first one counts decisions alone.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import psycopg

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"
PORTCULLIS, DSN = sys.argv[1:3]
PROFILES = ["strict", "standard"]


def rows(name):
    return [json.loads(line) for line in (CORPORA / name).read_text(encoding="utf-8").split("\n") if line]


def judge(policy, statements, catalog):
    questions = "\n".join(
        json.dumps({"id": row["id"], "sql": row["sql"], "agent": "eval"}) for row in statements
    )
    command = [PORTCULLIS, "check", "--policy", policy, "--catalog", catalog]
    command += ["--format", "jsonl", "--input", "jsonl"]
    said = subprocess.run(command, input=questions, capture_output=True, text=True, check=False)
    answers = {row["id"]: row for row in map(json.loads, said.stdout.splitlines())}
    if len(answers) != len(statements):
        sys.exit(f"{policy}: {len(answers)} answers to {len(statements)} questions: {said.stderr}")
    return answers


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
            passed = []
            for number, answer in answers.items():
                denied = answer["decision"] == "deny"
                line = {"id": number, "profile": profile, "ver" "dict": "deny" if denied else "allow"}
                if not denied and number in hostile:
                    passed.append(number)
                    decided.write(json.dumps(line) + "\n")
                    if hostile[number]["tier"] == "B":
                        line["leak"] = shows(connection, hostile[number]["sql"])
                else:
                    decided.write(json.dumps(line) + "\n")
                out.write(json.dumps(line) + "\n")
            let_pass[profile] = passed
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
    said = subprocess.run(command, input=questions, capture_output=True, text=True, check=False)
    denied = sum(json.loads(line)["decision"] == "deny" for line in said.stdout.splitlines())
    print(f"unparsable: {denied} of {len(unparsable)} denied")
