"""Threads, made in every way."""

import concurrent.futures
import threading


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
