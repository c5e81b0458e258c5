"""Creates objects in every way that calls a class, and counts them by class and line. Prints JSON:
a list of [class, line, made, failed], and the number of calls of `__del__`."""

import abc
import collections
import dataclasses
import functools
import gc
import json
import sys
import threading

MADE = collections.Counter()
FAILED = collections.Counter()
DELETED = [0]


def made(name, counts=MADE):
    counts[name, sys._getframe(1).f_lineno] += 1


def fails(name):
    FAILED[name, sys._getframe(1).f_lineno] += 1


class Plain:
    pass


class Point:
    def __init__(self, x=0, *others, **more):
        self.x = x


class Slotted:
    __slots__ = ("x",)

    def __new__(cls, x):
        return super().__new__(cls)

    def __init__(self, x):
        self.x = x


class Outer:
    class Inner(Point):
        def __init__(self):
            super().__init__(1)

        @classmethod
        def default(cls):
            made("Outer.Inner"); return cls()


class Counting(type):
    def __call__(cls, *arguments):
        return super().__call__(*arguments)


class Counted(metaclass=Counting):
    def __init__(self):
        made("Plain"); self.part = Plain()


class Broken:
    def __init__(self):
        made("Plain"); Plain()
        raise ValueError


class Abstract(abc.ABC):
    @abc.abstractmethod
    def work(self):
        pass


class Tree:
    def __init__(self, depth):
        self.parts = []
        for _ in range(2 if depth else 0):
            made("Tree"); self.parts.append(Tree(depth - 1))


class Closing:
    def __del__(self):
        DELETED[0] += 1


@dataclasses.dataclass
class Data:
    x: int
    y: int = 2


Pair = collections.namedtuple("Pair", "a b")


def every_way_to_call():
    one, named = (1,), {"x": 1}
    for number in range(7):
        made("Plain"); Plain()
        made("Point"); Point(number)
        made("Point"); Point(x=number)
        made("Point"); Point(*one)
        made("Point"); Point(**named)
        made("Point"); Point(*one, **{"y": 2})
        made("Slotted"); Slotted(number)
    made("Point"); made("Point"); [Point(n) for n in (1, 2)]
    made("Point"); (lambda: Point())()
    made("Data"); Data(1)
    made("Pair"); Pair(1, 2)
    made("Counted"); Counted()
    made("Tree"); Tree(4)
    Outer.Inner.default()


def ways_that_are_not_seen():
    list(map(Point, (1, 2)))
    functools.partial(Point, 1)()
    Point.__new__(Point)


def failures():
    for _ in range(3):
        for name, broken, arguments in ("Broken", Broken, ()), ("Abstract", Abstract, ()), ("Slotted", Slotted, ()):
            try:
                fails(name); broken(*arguments)
            except (TypeError, ValueError):
                pass
    try:
        fails("Broken"); Broken()
    except ValueError:
        pass


def classes_come_and_go():
    for number in range(300):
        name = "Made{}".format(number % 7)
        cls = type(name, (), {})
        made(name); cls()
        del cls
        gc.collect(0)
    # CPython stops assigning version tags to a class after many changes.
    for number in range(1200):
        Plain.number = number
        if number % 100 == 0:
            made("Plain"); Plain()


def in_a_generator():
    for _ in range(3):
        made("Point"); yield Point()


def main():
    class Local:
        pass

    made("main.<locals>.Local"); Local()
    every_way_to_call()
    ways_that_are_not_seen()
    failures()
    classes_come_and_go()
    list(in_a_generator())
    for _ in range(5):
        made("Closing"); Closing()
    threads = [threading.Thread(target=every_way_to_call) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()


main()
keys = sorted(set(MADE) | set(FAILED))
rows = [["__main__." + name, line, MADE[name, line], FAILED[name, line]] for name, line in keys]
print(json.dumps({"made": rows, "deleted": DELETED[0]}))
