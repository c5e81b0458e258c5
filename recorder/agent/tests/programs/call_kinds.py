"""Every kind of call within one thread."""

import contextlib
import functools


def recursion(n):
    return n if n < 2 else recursion(n - 1) + recursion(n - 2)


def generator(n):
    for i in range(n):
        sent = yield i
        if sent == "stop":
            return "stopped"


def delegating(n):
    result = yield from generator(n)
    return result


def catching():
    try:
        yield 1
    except KeyError:
        yield 2


def refusing():
    try:
        yield 1
    finally:
        cleanup()


def cleanup():
    pass


def raising(n):
    if n == 0:
        raise ValueError(n)
    raising(n - 1)


def reraising():
    try:
        raising(2)
    except ValueError as error:
        raise LookupError from error


def decorator(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@decorator
@decorator
def decorated(a, *, b=2):
    return a + b


@functools.lru_cache
def cached(n):
    return n


@contextlib.contextmanager
def managed():
    yield 1


class Class:
    attribute = [i for i in range(3)]

    def __init__(self, value=1):
        self.value = value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return True

    def __iter__(self):
        return iter([self.value])

    def __call__(self):
        return self.method()

    def __eq__(self, other):
        return self.value == other.value

    def __del__(self):
        cleanup()

    @property
    def double(self):
        return self.value * 2

    @classmethod
    def made(cls):
        return cls(3)

    @staticmethod
    def static():
        return 4

    def method(self):
        return super().__hash__

    class Nested:
        def method(self):
            return [j for i in range(3) for j in range(i)]


class Meta(type):
    def __new__(mcs, name, bases, namespace):
        return super().__new__(mcs, name, bases, namespace)


class Made(metaclass=Meta):
    pass


def comprehensions():
    numbers = [i for i in range(3)]
    return {i for i in numbers}, {i: i for i in numbers}, sum(i for i in numbers), [lambda: i for i in numbers]


def closures():
    total = 0

    def add(n):
        nonlocal total
        total += n
        return total

    return add


recursion(12)
list(generator(5))
list(delegating(4))
g = generator(9)
next(g)
with contextlib.suppress(StopIteration):
    g.send("stop")
g = catching()
next(g)
g.throw(KeyError)
g = catching()
next(g)
with contextlib.suppress(OSError):
    g.throw(OSError)
g = refusing()
next(g)
g.close()
g = refusing()
next(g)
del g
g = generator(3)
next(g)
g.close()
generator(3)
for function in (functools.partial(raising, 3), reraising):
    with contextlib.suppress(ValueError, LookupError):
        function()
decorated(1)
decorated(1, b=3)
cached(1), cached(1), cached(2)
with managed(), Class() as c:
    raising(1)
c()
c.double, c.static(), Class.made() == c, list(c), Class.Nested().method()
[f() for f in comprehensions()[3]]
add = closures()
add(1), add(2)
sorted([3, 1, 2], key=lambda n: -n)
list(map(lambda n: n, range(3)))
exec(compile("def made(): return 1\nmade()", __file__, "exec"))
eval(compile("(lambda: 5)()", __file__, "eval"))
sum(Class(i).double for i in range(100))
del c
