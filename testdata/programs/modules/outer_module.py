"""Imported by `matrix.py`; imports a neighbour twice, of which the second finds it."""

import inner_module


def total():
    import inner_module as again

    return inner_module.VALUE + again.value()
