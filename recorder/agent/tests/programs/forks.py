"""Forks in functions, in threads, and in forked children."""

import os
import threading


def child(n):
    for i in range(n):
        step(i)


def step(n):
    return n


def fork(n):
    pid = os.fork()
    if pid == 0:
        child(n)
        if n > 5:
            fork(n - 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


child(3)
for n in range(3, 8):
    fork(n)
threads = [threading.Thread(target=fork, args=(4,))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
child(2)
