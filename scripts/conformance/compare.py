"""Compares what the suites gave directly and through the door, and counts refusals in the ledger.

usage: compare.py OUTPUT LEDGER MAJOR     exit 1 if the door lost a test
"""

import collections
import difflib
import json
import pathlib
import re
import sys

OUTPUT, LEDGER = map(pathlib.Path, sys.argv[1:3])
MAJOR = sys.argv[3]


def outcomes(path):
    pairs = (line.rsplit(" ", 1) for line in path.read_text().splitlines() if " " in line)
    return {name: outcome for name, outcome in pairs}


def refusals():
    """Decisions and denials per stage, and what was denied why."""
    decisions, denied, why, examples = 0, 0, collections.Counter(), {}
    for segment in sorted(LEDGER.glob("*.jsonl")):
        for line in segment.open(encoding="utf-8"):
            record = json.loads(line)
            if record["kind"] != "decision":
                continue
            decisions += 1
            if record["decision"] == "allow":
                continue
            denied += 1
            key = (record["action"], " + ".join(r.get("message", r["code"]) for r in record["reasons"])[:120])
            why[key] += 1
            examples.setdefault(key, str(record.get("statement"))[:100].replace("\n", " "))
    return decisions, denied, why, examples


# What differs from run to run even on the same server.
NOISE = [
    (re.compile(r"(?<=port \")\d+(?=\")|(?<=port )\d+"), "PORT"),
    # The servers of the two ways listen on ports of their own.
    (re.compile(r"(?<= port )( +\| )\d+"), r"\1PORT"),
    # \conninfo of psql 18 is a table.
    (re.compile(r"(?<=Server Port          \| )\d+"), "PORT"),
    (re.compile(r"(?<=Backend PID          \| )\d+"), "PID"),
    (re.compile(r"\b\d+ (bytes|kB|MB)\b"), "SIZE"),
]


def known():
    """Tests that the door is meant to lose with this server: major version, suite and test, then why."""
    lines = pathlib.Path("scripts/conformance-known.txt").read_text(encoding="utf-8").splitlines()
    named = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name.split(":", 1)[1]: why for name, why in named.items() if name.startswith(f"{MAJOR}:")}


def text(path):
    found = path.read_text(encoding="utf-8", errors="replace")
    for pattern, word in NOISE:
        found = pattern.sub(word, found)
    return found.splitlines()


def files(suite):
    """Files that both ways must give alike: what the server said, not how long it took."""
    folder = OUTPUT / "direct" / suite
    if suite == "psql":
        return sorted(folder.glob("*.out"), key=lambda path: int(path.stem))
    if suite == "dump":
        return sorted(folder.glob("*.sql"))
    if suite == "regress":
        return sorted((folder / "results").glob("*.out"))
    if suite == "pipeline":
        return sorted(folder.glob("*.trace"))
    return []


def main():
    decisions, denied, why, examples = refusals()
    print(f"Refused by the door: {denied} of {decisions} decisions ({100 * denied / max(decisions, 1):.4f}%)")
    for key, count in why.most_common(20):
        print(f"  {count:6d}  {key[0]}: {key[1]}\n          {examples[key]}")
    print(f"\n{'suite':9} {'tests':>6} {'direct ok':>10} {'door ok':>8} {'lost':>5} {'gained':>7} {'texts':>6} {'differ':>7}")
    lost_all, report = [], []
    for path in sorted((OUTPUT / "direct").glob("*.list")):
        suite = path.stem
        direct, door = outcomes(path), outcomes(OUTPUT / "door" / path.name)
        lost = [n for n, v in direct.items() if v == "ok" and door.get(n) != "ok"]
        gained = [n for n, v in door.items() if v == "ok" and direct.get(n) != "ok"]
        both = [n for n, v in direct.items() if v != "ok" and n not in gained]
        compared, differ = files(suite), []
        for one in compared:
            other = OUTPUT / "door" / one.relative_to(OUTPUT / "direct")
            if not other.exists():
                differ.append((one.name, ["missing"]))
            elif (a := text(one)) != (b := text(other)) and (suite != "regress" or sorted(a) != sorted(b)):
                # Rows that no ORDER BY orders come as the heap has them.
                differ.append((one.name, list(difflib.unified_diff(a, b, "direct", "door", lineterm="", n=1))))
        if suite in ("psql", "dump"):
            # There the text is the test.
            lost += [name for name, _ in differ if name not in lost]
        print(f"{suite:9} {len(direct):6} {sum(v == 'ok' for v in direct.values()):10} "
              f"{sum(v == 'ok' for v in door.values()):8} {len(lost):5} {len(gained):7} {len(compared):6} {len(differ):7}")
        meant = known()
        for name in lost:
            if why := meant.get(f"{suite}:{name}"):
                report.append(f"{suite}: {name} is lost as known: {why}")
            else:
                lost_all.append(f"{suite}: {name}")
        if gained:
            report.append(f"{suite}: ok only through the door: {', '.join(gained)}")
        if both:
            report.append(f"{suite}: not ok either way: {', '.join(both)}")
        for name, lines in differ:
            report.append(f"{suite}: {name} differs:\n" + "\n".join(f"    {line[:160]}" for line in lines[:14]))
    print("\nThe door loses " + (f"{len(lost_all)} tests:" if lost_all else "no test."))
    for name in lost_all:
        print(f"  {name}")
    if report:
        print("\n" + "\n".join(report))
    return 1 if lost_all else 0


sys.exit(main())
