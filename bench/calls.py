"""Calls an empty function as fast as it can: python calls.py THREADS PROCESSES CALLS. Prints its processor time."""

import os
import sys
import threading
import time


def nothing():
    pass


def loop(calls):
    for _ in range(calls):
        nothing()


threads, processes, calls = map(int, sys.argv[1:])
for _ in range(processes - 1):
    if os.fork() == 0:
        break
start = time.process_time()
working = [threading.Thread(target=loop, args=(calls // threads // processes,)) for _ in range(threads)]
for thread in working:
    thread.start()
for thread in working:
    thread.join()
# One write of all, so that processes do not mix.
os.write(1, f"{time.process_time() - start}\n".encode())
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
