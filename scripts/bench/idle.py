"""Holds idle sessions: idle.py PORT COUNT FILE. Waits for FILE.go, logs in COUNT times, makes FILE, stays."""

import os
import socket
import struct
import sys
import time

PORT, COUNT, FILE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
PARAMETERS = b"user\0postgres\0database\0postgres\0application_name\0agent:bench:mission:measure\0\0"
START = struct.pack("!ii", len(PARAMETERS) + 8, 196608) + PARAMETERS
while not os.path.exists(FILE + ".go"):
    time.sleep(0.05)
held = []
for _ in range(COUNT):
    session = socket.create_connection(("127.0.0.1", PORT))
    session.sendall(START)
    answer = b""
    # ReadyForQuery, idle, is the last thing a login says.
    while not answer.endswith(b"Z\0\0\0\5I"):
        part = session.recv(4096)
        if not part:
            sys.exit("a login was ended")
        answer += part
    held.append(session)
time.sleep(1)
open(FILE, "w").close()
time.sleep(60)
