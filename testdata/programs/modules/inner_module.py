"""Imported by `outer_module.py`."""


def value():
    return 3


VALUE = value()
