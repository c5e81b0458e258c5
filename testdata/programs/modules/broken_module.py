"""Its import ends in an exception."""


def fails():
    return 1 // 0


fails()
