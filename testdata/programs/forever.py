"""Calls `tick` until it is killed, and writes the number of calls into a file after each one.

    python forever.py FILE [CALLS]
"""

import itertools
import mmap
import sys


def tick():
    pass


def main(path, calls):
    with open(path, "wb") as file:
        file.truncate(mmap.PAGESIZE)
    with open(path, "r+b") as file:
        # A mapped file keeps the number when the process is killed, without system calls.
        number = memoryview(mmap.mmap(file.fileno(), mmap.PAGESIZE))[:8].cast("q")
    for n in range(1, calls + 1) if calls else itertools.count(1):
        tick()
        number[0] = n


main(sys.argv[1], int((sys.argv + ["0"])[2]))
