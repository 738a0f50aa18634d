"""The aims beside the figures: aims.py RESULTS STRICT IDLE_KIB INSTRUCTIONS."""

import sys

results = {}
for line in open(sys.argv[1], encoding="utf-8"):
    mode, clients, name, *figures = line.split()
    results[mode, int(clients), name] = [float(f) if f != "-" else None for f in figures]
strict = [[float(figure) for figure in line.split()] for line in open(sys.argv[2], encoding="utf-8")]
print("\naims")


def aim(what, figure, met):
    print(f"  {'met   ' if met else 'MISSED'}  {what}: {figure}")


cells = sorted({(mode, clients) for mode, clients, _ in results})
ratios = {c: results[*c, "portcullis"][3] / results[*c, "copier"][3] for c in cells if results[*c, "copier"][3]}
for cell, ratio in ratios.items():
    aim(f"CPU per transaction <= 1.3 of the copier's, {cell[0]} {cell[1]}", f"{ratio:.2f}", ratio <= 1.3)
for cell in cells:
    if cell[1] >= 8 and (*cell, "pgbouncer") in results:
        ratio = results[*cell, "portcullis"][0] / results[*cell, "pgbouncer"][0]
        aim(f"throughput >= PgBouncer's, {cell[0]} {cell[1]}", f"{ratio:.2f}", ratio >= 1)
one = {n: results[k][2] for n in ("direct", "copier", "portcullis") if (k := ("prepared", 1, n)) in results}
if len(one) == 3:
    added, floor = one["portcullis"] - one["direct"], one["copier"] - one["direct"]
    aim("median added, prepared 1, <= 1.2 of what the copier adds", f"{added:.0f} us of {floor:.0f} us", added <= 1.2 * floor)
for clients, tps, ideal in strict:
    aim(f"strict >= 60% of clients / (fsync + direct latency), {clients:.0f}", f"{100 * tps / ideal:.0f}%", tps >= 0.6 * ideal)
aim("memory of an idle connection <= 64 KiB", f"{sys.argv[3]} KiB", float(sys.argv[3]) <= 64)
print(f"          instructions per judged statement (callgrind; no aim): {sys.argv[4]}")
