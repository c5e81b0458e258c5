"""Does what several reports measure, and prints its own measurements as JSON."""

import gc
import json
import os
import sys
import threading
import time

KNOWN = {"pauses": [0, 0, 0], "objects": 0, "naps": [], "threads": {}}


class Ring:
    def __init__(self):
        self.me = self


def count(phase, info):
    if phase == "stop":
        KNOWN["pauses"][info["generation"]] += 1
        KNOWN["objects"] += info["collected"] + info["uncollectable"]


def sweep():
    for number in range(100):
        Ring()
    gc.collect(0)
    gc.collect(1)
    for number in range(3):
        gc.collect(2)


def bring():
    import outer_module

    return outer_module


def announce(name):
    sys.audit(name, 1)


def first():
    for number in range(3):
        announce("pyrec.first")


def second():
    announce("pyrec.second")


def nap(seconds):
    before = time.time()
    time.sleep(seconds)
    KNOWN["naps"].append([before, time.time() - before])


def work():
    # `get_native_id` exists from 3.8 on.
    KNOWN["threads"][threading.current_thread().name] = threading.get_native_id()
    nap(0.005)


def main():
    gc.collect()
    gc.disable()
    gc.callbacks.append(count)
    sweep()
    gc.callbacks.remove(count)
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules"))
    bring()
    first()
    second()
    for seconds in (0.01, 0.06, 0.03):
        nap(seconds)
    for name in ("one", "two"):
        thread = threading.Thread(target=work, name=name)
        thread.start()
        thread.join()
    print(json.dumps(KNOWN))


main()
