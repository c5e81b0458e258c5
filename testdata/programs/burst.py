"""Calls `leaf` as fast as it can.

    python burst.py CALLS [THREADS]
"""

import os
import sys
import threading
import time


def leaf():
    pass


def burst(calls):
    for _ in range(calls):
        leaf()


def main(calls, threads=1):
    pool = [threading.Thread(target=burst, args=(calls,)) for _ in range(threads - 1)]
    for thread in pool:
        thread.start()
    burst(calls)
    for thread in pool:
        thread.join()
    # join() returns shortly before the native thread ends. An exit at that moment would kill the thread.
    while len(os.listdir("/proc/self/task")) > 1:
        time.sleep(0.001)


main(*map(int, sys.argv[1:]))
