"""Calls `leaf` as fast as it can.

    python burst.py CALLS [THREADS]
"""

import sys
import threading


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


main(*map(int, sys.argv[1:]))
