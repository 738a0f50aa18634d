"""Median microseconds to append 1 KiB to a file in the folder given, and fdatasync it."""

import os
import sys
import time

path = os.path.join(sys.argv[1], "fsync")
file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
times = []
for _ in range(400):
    began = time.perf_counter()
    os.write(file, b"x" * 1024)
    os.fdatasync(file)
    times.append(time.perf_counter() - began)
os.unlink(path)
print(round(sorted(times)[len(times) // 2] * 1e6))
