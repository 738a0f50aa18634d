"""Turns the verbose log of unittest into lines "test ok" or "test FAILED"; skipped tests are left out.

Other output may stand between a test's name and its outcome, so outcomes are looked for after the last name.
"""

import re
import sys

NAME = re.compile(r"^(\w+) \(([\w.]+)\)")
seen = {}
name = None
for line in open(sys.argv[1], encoding="utf-8", errors="replace"):
    if found := NAME.match(line):
        method, place = found.groups()
        # Python 3.11 names the method in the place too.
        name = place if place.endswith("." + method) else f"{place}.{method}"
    if line.startswith("====") or line.startswith("Ran "):
        break
    if found := re.search(r"\b(ok|FAIL|ERROR|skipped '.*'|skipped \".*\"|expected failure)$", line.rstrip()):
        if name and not found[1].startswith("skipped"):
            seen[name] = "ok" if found[1] in ("ok", "expected failure") else "FAILED"
        name = None
for name, outcome in sorted(seen.items()):
    print(name, outcome)
