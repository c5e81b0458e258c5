"""Makes CALLS calls in a pattern that does not repeat, and an extra one after PLACE calls.

python irregular_calls.py CALLS [PLACE]
"""

import sys

made = 0


def leaf():
    pass


def extra():
    global place
    place = sys.maxsize


def branch(seed, depth):
    global made
    for _ in range(seed % 4):
        seed = (seed * 1103515245 + 12345) % 2**31
        made += 1
        if depth:
            branch(seed >> 7, depth - 1)
        else:
            leaf()
    if made >= place:
        extra()


def main():
    global made
    seed = 1
    while made < calls:
        seed = (seed * 69069 + 1) % 2**32
        made += 1
        branch(seed >> 9, 6)


calls = int(sys.argv[1])
place = int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize
main()
