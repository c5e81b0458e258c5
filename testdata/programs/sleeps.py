"""Sleeps for known times: `outer` 20 ms by itself, `inner` 40 ms in each of two calls."""

import time


def inner():
    time.sleep(0.040)


def outer():
    inner()
    time.sleep(0.020)
    inner()


outer()
