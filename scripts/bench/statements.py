"""JSON lines with COUNT short statements, of the kinds that applications send, none equal to another."""

import json
import sys

KINDS = [
    "SELECT abalance FROM pgbench_accounts WHERE aid = {n}",
    "SELECT a.aid, b.bbalance FROM pgbench_accounts a JOIN pgbench_branches b USING (bid) WHERE a.aid = {n} LIMIT 10",
    "UPDATE pgbench_tellers SET tbalance = tbalance + {n} WHERE tid = 7",
    "INSERT INTO pgbench_branches (bid, bbalance) VALUES ({n}, 0)",
    "SELECT count(*), max(abalance) FROM public.pgbench_accounts WHERE bid = 1 AND abalance > {n} GROUP BY bid",
    "SELECT * FROM users WHERE id = {n}",
    "BEGIN /* {n} */",
    "DELETE FROM pgbench_tellers WHERE tid = {n} RETURNING tid",
]
for number in range(int(sys.argv[1])):
    print(json.dumps({"id": str(number), "sql": KINDS[number % len(KINDS)].format(n=number)}))
