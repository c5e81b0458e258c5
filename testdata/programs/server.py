"""Runs until it is killed, like a server: a thread waits, a thread works, and some children run.

    python server.py FILE

Before each round it writes into FILE the number of rounds and what tracers change: the tools of
sys.monitoring, the garbage collector's callbacks, the importer's type, and some modules.
"""

import gc
import importlib
import os
import sys
import threading
import time


def leaf(n):
    return n + 1


def work(calls):
    total = 0
    for n in range(calls):
        total += leaf(n)
    return total


def wait(event):
    event.wait()


def serve():
    while True:
        work(20)
        time.sleep(0.001)


def child():
    pid = os.fork()
    if pid == 0:
        work(5)
        os._exit(0)
    os.waitpid(pid, 0)


def seen():
    tools = [sys.monitoring.get_tool(tool) for tool in range(6)]
    importer = type(importlib._bootstrap._find_and_load).__name__
    return f"{tools} {len(gc.callbacks)} {importer} {sorted(set(sys.modules) & {'pyrec_agent', '_ctypes'})}"


def main(path):
    threading.Thread(target=wait, args=(threading.Event(),), name="waits", daemon=True).start()
    threading.Thread(target=serve, name="serves", daemon=True).start()
    round = 0
    while True:
        round += 1
        with open(path + ".new", "w") as file:
            file.write(f"{round} {seen()}")
        os.replace(path + ".new", path)
        work(200)
        child()
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
