"""Ends in the way of its arguments, after one call of `work`.

    python endings.py status N | now N | signal N | raise | daemon
"""

import os
import signal
import sys
import threading


def work():
    return sum(range(10))


def waits_forever():
    threading.Event().wait()


def main():
    work()
    how, number = sys.argv[1], int((sys.argv + ["0"])[2])
    if how == "status":
        sys.exit(number)
    if how == "now":
        os._exit(number)
    if how == "signal":
        os.kill(os.getpid(), number)
        signal.pause()
    if how == "raise":
        raise RuntimeError("the end")
    if how == "daemon":
        threading.Thread(target=waits_forever, daemon=True).start()


main()
