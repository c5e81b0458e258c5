"""Makes 200,000 calls a second, until it is killed.

Of each thousand calls of `step` the end is marked by one of a function of its own, `thousand_1`, `thousand_2`, …: so
who sees a part of all calls knows which part it is. Each of these is a new code object, where an older one was freed.
Prints, now and then, how many thousands there were, and the sum of the numbers that `step` has returned.
"""

import sys
import time


def step(n):
    return n


def named(name):
    names = {"co_name": name}
    if sys.version_info >= (3, 11):
        names["co_qualname"] = name
    return type(step)(step.__code__.replace(**names), {})


def main():
    total = thousands = 0
    due = time.monotonic()
    while True:
        for n in range(1000 * thousands, 1000 * (thousands + 1)):
            total += step(n)
        thousands += 1
        end = named("thousand_%d" % thousands)
        end(0)
        if thousands % 20 == 0:
            print(thousands, total, flush=True)
        due += 0.005
        time.sleep(max(0, due - time.monotonic()))


main()
