"""Threads, started in every way."""

import concurrent.futures
import os
import threading
import time


def work(n):
    return sum(step(i) for i in range(n))


def step(n):
    return n


class Worker(threading.Thread):
    def run(self):
        work(100)
        nested = threading.Thread(target=work, args=(10,), name="nested")
        nested.start()
        nested.join()


workers = [Worker(name=f"worker-{i}") for i in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()

timer = threading.Timer(0, work, (5,))
timer.start()
timer.join()

with concurrent.futures.ThreadPoolExecutor(2, "pool") as pool:
    list(pool.map(work, range(10)))

# join() returns shortly before the kernel's thread ends. If the program exited then, the thread would be killed.
while len(os.listdir("/proc/self/task")) > 1:
    time.sleep(0.001)
