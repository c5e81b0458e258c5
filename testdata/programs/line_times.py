"""Slow lines, which the program itself times.

Prints a JSON list of `[first line, last line, nanoseconds, kind]`. The kind is `own` for time in the
lines, `called` for time in callees, or `again` for the outermost execution of a recursive line.
"""

import asyncio
import json
import sys
from time import perf_counter_ns as now, sleep

TOOK = {}
SINCE = now()


def took(kind=None, back=1, lines=1):
    """Adds the time since the last call to the lines `back` before the caller's, if there is a kind."""
    global SINCE
    passed, line = now() - SINCE, sys._getframe(1).f_lineno - back
    if kind:
        key = (line, line + lines - 1, kind)
        TOOK[key] = TOOK.get(key, 0) + passed
    SINCE = now()


def pause():
    sleep(0.01)
    return 1


def calls():
    took()
    pause()
    took("called")
    sleep(0.01)
    took("own")
    max(
        pause(),
        pause(),
    )
    took("called", 4, 4)
    (lambda: pause())()
    took("called")
    [pause() for _ in range(2)]
    took("called")
    sum(pause() for _ in range(2))
    took("called")


def produce():
    pause()
    yield 1
    sleep(0.01)
    yield 2
    pause()


def loops():
    took()
    for value in produce():
        took("called")
        sleep(0.01)
        took("own")
    took("called", 4)
    while pause() > 1:
        pass
    took("called", 2)


class Slow:
    def __enter__(self):
        sleep(0.01)

    def __exit__(self, *failure):
        sleep(0.01)


def blocks():
    took()
    try:
        pause()
        took("called")
        fail()
    except ValueError:
        took("called", 2)
        sleep(0.01)
        took("own")
    finally:
        took()
        pause()
        took("called")
    with Slow():
        pass
    took("called", 2, 2)


def fail():
    pause()
    raise ValueError


def traced(function):
    def wrapper():
        return function()
    return wrapper


@traced
def wrapped():
    sleep(0.01)


def decorated():
    took()
    wrapped()
    took("called")


async def work():
    sleep(0.01)


async def wait():
    took()
    await work()
    took("called")


def recurse(depth):
    sleep(0.01)
    if depth:
        since, line = now(), sys._getframe().f_lineno + 1
        recurse(depth - 1)
        TOOK[line, line, "again"] = now() - since  # The outermost call assigns last.


def main():
    calls()
    loops()
    blocks()
    decorated()
    asyncio.run(wait())
    took()
    recurse(2)
    took("called")
    print(json.dumps([[first, last, passed, kind] for (first, last, kind), passed in TOOK.items()]))


if __name__ == "__main__":
    main()
