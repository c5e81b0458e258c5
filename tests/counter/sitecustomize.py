"""Counts the calls of a Python program, by `sys.setprofile`, to have something to compare a trace with.

    PYTHONPATH=tests/counter COUNTER_FILE=counts.jsonl COUNTER_ROOTS=/a:/b python …

Python imports this file by itself when it starts, in every process that inherits the environment. Each process
appends one line to COUNTER_FILE, the JSON list of `[file, first line, name, calls]`, for the code whose file name
starts with one of COUNTER_ROOTS. A generator counts once per resume, as CPython's profile events do.

Counting starts where user code starts, so that the importing of `site` does not count. Where `sys.setprofile`
sees less than there is, this file does more:

- threads: each new thread sets its own hook, and has its own counts, so that no lock is needed and none is lost;
- a forked child starts from zero;
- `os._exit` and `os.exec*`, which run no exit handlers, write the counts first.
"""

import _thread
import atexit
import os
import sys

ROOTS = tuple(os.environ["COUNTER_ROOTS"].split(os.pathsep))
THREADS = []


def new_hook():
    counts = {}
    THREADS.append(counts)

    def hook(frame, event, argument):
        if event == "call":
            code = frame.f_code
            if code.co_filename.startswith(ROOTS):
                key = (code.co_filename, code.co_firstlineno, code.co_name)
                counts[key] = counts.get(key, 0) + 1

    return hook


def start(event, arguments):
    if event.startswith("cpython.run_") and not THREADS:
        sys.setprofile(new_hook())


def reset():
    for counts in THREADS:
        counts.clear()


def write():
    sys.setprofile(None)
    import json

    total = {}
    for counts in THREADS:
        for key, calls in counts.items():
            total[key] = total.get(key, 0) + calls
    line = json.dumps([[*key, calls] for key, calls in sorted(total.items())]) + "\n"
    file = os.open(os.environ["COUNTER_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
    reset()


def writing_first(function):
    def wrapper(*arguments):
        write()
        return function(*arguments)

    return wrapper


def hooking_first(start_thread):
    def wrapper(function, *arguments, **options):
        def run(*arguments, **options):
            sys.setprofile(new_hook())
            return function(*arguments, **options)

        return start_thread(run, *arguments, **options)

    return wrapper


sys.addaudithook(start)
atexit.register(write)
os.register_at_fork(after_in_child=reset)
for name in ("_exit", "execv", "execve"):
    setattr(os, name, writing_first(getattr(os, name)))
for name in ("start_new_thread", "start_joinable_thread"):
    if hasattr(_thread, name):
        setattr(_thread, name, hooking_first(getattr(_thread, name)))
        if "threading" in sys.modules:  # a .pth file has imported it already
            setattr(sys.modules["threading"], "_" + name, getattr(_thread, name))
