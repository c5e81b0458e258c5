"""Statements of every kind, to count the executions of each line. Every run is the same."""

import asyncio
import contextlib
import functools
import threading


def straight():
    a = 1
    b = 2; c = 3
    return (a + b
            + c)


def branches(numbers):
    even = odd = 0
    for number in numbers:
        if number % 2:
            odd += 1
        elif number == 4:
            continue
        else:
            even += 1
    else:
        even += 10
    return (even
            if even > odd
            else odd)


def loops():
    left = 5
    while left:
        left -= 1
        if left == 1:
            break
    for outer in range(3):
        for inner in range(2):
            pass
    for short in range(4): left += short
    while True:
        left += 1
        if left > 9: break
    return left


def one_line_loop():
    total = 0
    for number in range(5): total += number
    while total > 3: total -= 1
    return total


def over_several_lines(*arguments, **options):
    table = {
        "a": len(arguments),
        "b": [
            len(options),
            sum(
                range(3),
            ),
        ],
    }
    text = (
        "one "
        f"{table['a']} "
        "three"
    )
    assert (
        len(text) > 3
        and table
    ), "never"
    return max(
        plus_one(1),
        plus_one(
            2
        ),
        key=lambda value: (
            value
        ),
    )


def plus_one(value):
    return value + 1


def comprehensions():
    squares = [n * n for n in range(4)]
    odd = {
        n
        for n in squares
        if n % 2
    }
    names = {str(n): n for n in odd}
    pairs = [
        (a, b)
        for a in range(2)
        for b in range(3)
        if a != b
    ]
    lazy = (
        plus_one(n)
        for n in range(3)
    )
    nested = [[m for m in range(n)] for n in range(3)]
    return len(names) + len(pairs) + sum(lazy) + len(nested)


def count_up(limit):
    for number in range(limit):
        received = yield number
        if received:
            yield -received
    return limit


def delegate():
    result = yield from count_up(3)
    yield result


def generators():
    total = sum(count_up(4))
    running = count_up(3)
    total += next(running)
    total += running.send(5)
    running.close()
    for value in delegate():
        total += value
    thrown = count_up(2)
    next(thrown)
    try:
        thrown.throw(ValueError("stop"))
    except ValueError:
        total += 1
    return total


def finally_after(value):
    try:
        if value == 1:
            return "early"
        if value == 2:
            raise KeyError(value)
        value += 1
    except KeyError as error:
        value = error
    else:
        value += 1
    finally:
        noted = [value]
    return noted


def nested_finally():
    for turn in range(3):
        try:
            try:
                if turn == 0:
                    continue
                if turn == 2:
                    break
            finally:
                turn += 1
        finally:
            turn += 2
    return turn


def deep(depth):
    if depth == 0:
        raise RuntimeError("deep")
    deep(depth - 1)


def exceptions():
    caught = 0
    for depth in range(3):
        try:
            deep(depth)
        except (
            OSError,
            RuntimeError,
        ):
            caught += 1
    try:
        try:
            int("x")
        except ValueError as error:
            raise LookupError from error
    except LookupError:
        caught += 1
    with contextlib.suppress(ZeroDivisionError):
        caught += 1
        caught /= 0
        caught += 1
    return caught


class Door:
    opened = 0

    def __enter__(self):
        self.opened += 1
        return self

    def __exit__(self, *failure):
        return failure[0] is KeyError


@contextlib.contextmanager
def gate(name):
    try:
        yield name
    finally:
        name = None


def contexts():
    with Door() as door:
        door.opened += 1
    with Door() as one, Door() as two:
        one.opened += two.opened
    with Door():
        raise KeyError
    with gate(
        "name"
    ) as name:
        length = len(name)
    with Door() as kept:
        return kept.opened + length


def traced(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


def times(count):
    def decorate(function):
        def wrapper(*arguments):
            for _ in range(count):
                result = function(*arguments)
            return result
        return wrapper
    return decorate


@traced
@times(
    3
)
def decorated(value):
    return value * 2


def decorators():
    @traced
    def local(value):
        return decorated(value) + 1

    @property
    @traced
    def unused(self):
        pass

    return local(1) + local(2)


def recursion(number):
    return number if number < 2 else recursion(number - 1) + recursion(number - 2)


def closures():
    count = 0

    def add():
        nonlocal count
        count += 1
        return lambda: count

    handles = [add() for _ in range(3)]
    return sum(handle() for handle in handles) + (lambda a, b=2: a + b)(1)


class Base:
    """A class with a body."""

    kinds = [kind for kind in ("a", "b")]

    def __init__(self, name):
        self.name = name

    @staticmethod
    def plain(value):
        return value

    @classmethod
    def of(cls, name):
        return cls(name)

    @property
    def length(self):
        return len(self.name)


class Derived(
    Base,
):
    def __init__(self, name):
        super().__init__(
            name
        )


def classes():
    return Derived.of("ab").length + Base.plain(1)


async def ticks(count):
    for tick in range(count):
        await asyncio.sleep(0)
        yield tick


class Lock:
    async def __aenter__(self):
        await asyncio.sleep(0)

    async def __aexit__(self, *failure):
        await asyncio.sleep(0)


async def worker(number):
    total = 0
    async for tick in ticks(number):
        total += tick
    async with Lock():
        total += 1
    return total + sum([tick async for tick in ticks(2)])


async def all_workers():
    results = await asyncio.gather(
        worker(1),
        worker(2),
    )
    return sum(results)


def coroutines():
    return asyncio.run(all_workers())


def in_thread(out):
    for number in range(3):
        out.append(number)


def threads():
    out = []
    thread = threading.Thread(target=in_thread, args=(out,))
    thread.start()
    thread.join()
    return len(out)


def odd_ends():
    global shared
    shared = 1
    del shared
    def inner(a=plus_one(1), *, b: int = plus_one(2)) -> int:
        "Doc."
        return a + b
    x = y = inner()
    x, \
        y = y, x
    if (n := x) and (
        y
        or n
    ): pass
    pass
    exec("a = 1\nb = 2")
    return not (x
                and y)


def main():
    straight()
    branches(range(6))
    loops()
    one_line_loop()
    over_several_lines(1, 2, c=3)
    comprehensions()
    generators()
    for value in range(4):
        finally_after(value)
    nested_finally()
    exceptions()
    contexts()
    decorators()
    recursion(6)
    closures()
    classes()
    coroutines()
    threads()
    odd_ends()


if __name__ == "__main__":
    main()
