"""Calls for which every version of CPython fires the same markers, to compare tools."""


def start():
    outer(2)
    Box(3).double()
    try:
        fails(1)
    except ValueError:
        pass


def outer(depth):
    if depth:
        outer(depth - 1)
    return inner(depth)


def inner(value):
    return value


class Box:
    def __init__(self, value):
        self.value = value

    def double(self):
        return inner(self.value) * 2


def fails(depth):
    if depth == 0:
        raise ValueError
    fails(depth - 1)


def main():
    start()


if __name__ == "__main__":
    main()
