"""Every way in which CPython enters and leaves a frame, each with a known number of calls.

    python matrix.py [PART…]

Nothing depends on time, the order of threads, or the time of collections, so that two runs of one
Python make the same calls. Parts that start processes come last. Each part may be run alone.
"""

import asyncio
import functools
import gc
import multiprocessing
import os
import queue
import subprocess
import sys
import threading

PARTS = {}


def part(function):
    PARTS[function.__name__] = function
    return function


@part
def recursion():
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    def deep(n):
        if n:
            deep(n - 1)

    assert fib(15) == 610
    assert even(100)
    deep(900)


class Counter:
    """Has a method of the same name as `Ledger`."""

    def __init__(self):
        self.count = 0

    def add(self, n):
        self.count += n


class Ledger:
    def __init__(self):
        self.entries = []

    def add(self, n):
        self.entries.append(n)

    @property
    def total(self):
        return sum(self.entries)

    @staticmethod
    def empty():
        return Ledger()

    @classmethod
    def of(cls, *entries):
        ledger = cls()
        for entry in entries:
            ledger.add(entry)
        return ledger

    def __getitem__(self, index):
        return self.entries[index]

    def __eq__(self, other):
        return self.entries == other.entries

    def __call__(self, n):
        self.add(n)


@part
def methods():
    counter, ledger = Counter(), Ledger()
    for n in range(10):
        counter.add(n)
        if n % 2:
            ledger.add(n)
    ledger(11)
    assert ledger.total == 36 and counter.count == 45
    assert Ledger.empty() != Ledger.of(1, 2, 3)
    assert ledger[0] == 1


@part
def generators():
    def count(n):
        for i in range(n):
            yield i

    def chain(*ns):
        for n in ns:
            yield from count(n)

    def echo():
        received = None
        while True:
            try:
                received = yield received
            except KeyError as error:
                received = error.args[0]

    assert sum(count(10)) == 45
    assert list(chain(1, 2, 3)) == [0, 0, 1, 0, 1, 2]
    ears = echo()
    next(ears)
    assert ears.send("a") == "a"
    assert ears.throw(KeyError("b")) == "b"
    ears.close()
    never_started = count(3)
    never_started.close()
    half_way = chain(2, 2)
    next(half_way)
    next(half_way)
    half_way.close()
    # Not a local variable, since before 3.11 profilers in Python keep locals alive.
    next(count(3))
    squares = (n * n for n in range(5))
    assert max(squares) == 16


@part
def throws():
    def stubborn():
        try:
            yield 1
        finally:
            after()

    def after():
        pass

    def outer():
        try:
            yield from stubborn()
        except ValueError:
            yield 2

    generator = outer()
    assert next(generator) == 1
    assert generator.throw(ValueError()) == 2
    try:
        generator.throw(IndexError())
    except IndexError:
        pass
    fresh = stubborn()
    try:
        fresh.throw(OSError())
    except OSError:
        pass


@part
def exceptions():
    def fails(depth):
        if depth == 0:
            raise LookupError("bottom")
        fails(depth - 1)

    def cleans(depth):
        try:
            fails(depth)
        finally:
            tidy()

    def tidy():
        pass

    def retries():
        for attempt in range(4):
            try:
                cleans(attempt)
            except LookupError:
                continue

    class Guard:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return True

    retries()
    with Guard():
        cleans(5)
    try:
        int("x")
    except ValueError:
        tidy()


@part
def comprehensions():
    def double(n):
        return 2 * n

    assert [double(n) for n in range(5)] == [0, 2, 4, 6, 8]
    assert {double(n) for n in range(3)} == {0, 2, 4}
    assert {n: double(n) for n in range(3)} == {0: 0, 1: 2, 2: 4}
    assert [[double(m) for m in range(n)] for n in range(3)] == [[], [0], [0, 2]]
    assert sum(double(n) for n in range(4)) == 12


@part
def lambdas():
    numbers = sorted([3, 1, 2], key=lambda n: -n)
    assert list(map(lambda n: n + 1, numbers)) == [4, 3, 2]
    twice = [(lambda: 1), (lambda: 2)]
    assert sum(one() for one in twice) == 3
    assert functools.reduce(lambda a, b: a * b, range(1, 6)) == 120


def traced(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


def repeated(times):
    def decorate(function):
        def wrapper(*arguments):
            return [function(*arguments) for _ in range(times)]

        return wrapper

    return decorate


@part
def decorators():
    @traced
    @repeated(3)
    def shout(word):
        return word.upper()

    @functools.lru_cache(maxsize=None)
    def cached(n):
        return n if n < 2 else cached(n - 1) + cached(n - 2)

    assert shout("a") == ["A"] * 3
    assert cached(30) == 832040


@part
def classes():
    class Meta(type):
        def __new__(meta, name, bases, body):
            return super().__new__(meta, name, bases, body)

        def __call__(cls, *arguments):
            return super().__call__(*arguments)

    class Base(metaclass=Meta):
        def __init_subclass__(cls, **options):
            super().__init_subclass__(**options)

    class Described:
        def __set_name__(self, owner, name):
            self.name = name

        def __get__(self, instance, owner):
            return self.name

    for _ in range(3):

        class Derived(Base):
            field = Described()
            squares = [n * n for n in range(3)]

            def method(self):
                return self.field

        assert Derived().method() == "field"


@part
def evaluated():
    space = {}
    exec(compile("def made(n):\n    return n + 1\n", "<made>", "exec"), space)
    assert [space["made"](n) for n in range(4)] == [1, 2, 3, 4]
    assert eval("(lambda n: n * 2)(21)") == 42


@part
def imports():
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules"))
    import outer_module

    assert outer_module.total() == 6
    try:
        import no_such_module  # noqa: F401
    except ImportError:
        pass
    try:
        import broken_module  # noqa: F401
    except ZeroDivisionError:
        pass


@part
def collections():
    """Explicit collections. Freed objects and a callback run Python code."""
    freed = []

    class Ring:
        def __init__(self):
            self.me = self

        def __del__(self):
            freed.append(1)

    def seen(phase, info):
        pass

    gc.disable()
    for _ in range(5):
        Ring()
    gc.callbacks.append(seen)
    gc.collect()
    gc.callbacks.remove(seen)
    gc.enable()
    assert len(freed) == 5


@part
def coroutines():
    async def leaf(n):
        await asyncio.sleep(0)
        return n

    async def branch(n):
        return await leaf(n) + await leaf(n)

    async def ticks(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    class Context:
        async def __aenter__(self):
            return await leaf(1)

        async def __aexit__(self, *exception):
            await leaf(2)

    async def cancelled():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await leaf(3)
            raise

    async def whole():
        assert sum(await asyncio.gather(*(branch(n) for n in range(5)))) == 20
        assert [tick async for tick in ticks(4)] == [0, 1, 2, 3]
        async with Context() as one:
            assert one == 1
        task = asyncio.ensure_future(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(whole())


def work(n):
    return sum(step(i) for i in range(n))


def step(i):
    return i


@part
def threads():
    results = queue.Queue()

    def run(n):
        results.put(work(n))

    class Own(threading.Thread):
        def run(self):
            results.put(work(10))

    pool = [threading.Thread(target=run, args=(n,), name="worker-%d" % n) for n in range(20, 24)] + [Own()]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    assert sum(results.get() for _ in pool) == sum(sum(range(n)) for n in (10, 20, 21, 22, 23))


@part
def forks():
    """A child returns from frames that its parent entered, and forks again."""

    def child(depth):
        work(5)
        if depth:
            parent(depth - 1)

    def parent(depth):
        pid = os.fork()
        if pid == 0:
            child(depth)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0

    parent(2)
    work(3)


@part
def executed():
    """A child that executes another program by `exec`."""
    pid = os.fork()
    if pid == 0:
        work(4)
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), "lambdas"])
    assert os.waitpid(pid, 0)[1] == 0


def square(n):
    return work(n) * 0 + n * n


def processes(method):
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=square, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


@part
def spawned_processes():
    processes("spawn")


@part
def subprocesses():
    program = [sys.executable, os.path.abspath(__file__)]
    subprocess.run(program + ["recursion", "generators"], check=True)
    subprocess.run(["/bin/sh", "-c", 'exec "$@"', "sh"] + program + ["methods"], check=True)


@part
def forked_processes():
    processes("fork")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(square, range(6)) == [0, 1, 4, 9, 16, 25]
        pool.close()
        pool.join()


def main():
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
