"""Calls `tick` in several threads of several processes. Each thread writes the number of its calls
into its own file after each call.

    python numbered.py FOLDER THREADS CHILDREN forever|now|daemon

A file holds the pid, the thread id and the number. The threads are daemons and never end. The main
thread waits forever, or ends after 50 ms: by os._exit (now), or by returning (daemon).
"""

import itertools
import mmap
import os
import sys
import threading
import time


def tick():
    pass


def count(folder, name):
    with open(os.path.join(folder, name), "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        # A mapped file keeps the number when the process is killed, without system calls.
        words = memoryview(mmap.mmap(file.fileno(), mmap.PAGESIZE))[:24].cast("q")
    words[0], words[1] = os.getpid(), threading.get_native_id()
    for number in itertools.count(1):
        tick()
        words[2] = number


def main(folder, threads, children, end):
    for _ in range(children):
        if os.fork() == 0:
            break
    for n in range(threads):
        threading.Thread(target=count, args=(folder, f"{os.getpid()}-{n}"), daemon=True).start()
    while end == "forever":
        time.sleep(60)
    time.sleep(0.05)
    if end == "now":
        os._exit(0)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
