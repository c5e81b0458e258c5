"""Imported by `matrix.py`. Imports another module twice, the second time from `sys.modules`."""

import inner_module


def total():
    import inner_module as again

    return inner_module.VALUE + again.value()
