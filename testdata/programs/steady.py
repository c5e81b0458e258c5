"""Makes 200,000 calls a second, until it is killed.

After each thousand calls of `step` it calls a new function, `thousand_1`, `thousand_2`, …, to number
the calls. Each of these functions is a new code object, often in the memory of a freed one.
Sometimes prints the number of thousands, and the sum of the numbers that `step` has returned.
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
