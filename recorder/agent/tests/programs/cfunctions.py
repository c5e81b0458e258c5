"""Every way to call a C function. `--count` counts the calls in `work` by sys.setprofile and prints the counts."""

import collections
import functools
import sys
import time


class List(list):
    def extend(self, items):
        super().extend(items)


class Meta(type):
    def __getattribute__(cls, name):
        raise SystemExit("the agent ran code of a metaclass")


class Strange(collections.deque, metaclass=Meta):
    pass


def nothing():
    pass


def generate():
    yield len("ab")


def work(strange):
    len("abc")
    time.time()
    items = List([3, 1, 2])
    items.append(4)
    items.extend([5])
    append = items.append
    for number in range(5):
        append(number)
    list.append(items, 6)
    sorted(items, key=abs)
    max(*items)
    max(*items, **{"key": abs})
    dict.fromkeys("ab")
    dict().fromkeys("ab")
    str.maketrans("a", "b")
    "-".join(map(str, items))
    "{:d}".format(7)
    collections.deque([1]).append(2)
    strange.append(3)
    sum(generate())
    nothing()
    functools.partial(len, "abc")()
    for failing in (lambda: int.from_bytes(1, "big"), lambda: len(3), lambda: [].index(1), lambda: iter(4)):
        try:
            failing()
        except (TypeError, ValueError):
            pass
    getattr(items, "clear")()


def counted(strange):
    counts = collections.Counter()
    inside = []

    def profile(frame, event, argument):
        if frame.f_code is work.__code__ and event in ("call", "return"):
            inside[:] = [1] if event == "call" else []
        elif inside and event.startswith("c_"):
            counts[argument.__name__, event == "c_call"] += 1

    sys.setprofile(profile)
    work(strange)
    sys.setprofile(None)
    for (name, starts), count in counts.items():
        print(name, int(starts), count)


if "--count" in sys.argv:
    counted(Strange())
else:
    work(Strange())
