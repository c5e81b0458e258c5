"""Counts how often each line of a program is come to, to have something to compare a trace with.

    python tests/counter/lines.py PROGRAM [main] [marker | calls]

prints the JSON list of `[line, hits]`: up to Python 3.11 what `sys.settrace` tells of, from 3.12 on what
`sys.monitoring` does. With `main`, the program is imported first, and what its `main` comes to counts. With `marker`,
the differences are made up for that CPython's own rules make between `sys.settrace` and the static marker `line`. With `calls`, it
prints `[line, entries, returns]`, which `sys.setprofile` tells of.
"""

import dis
import importlib
import json
import os
import runpy
import sys
import threading

PROGRAM, *OPTIONS = sys.argv[1:]
HITS = {}
CALLS = {}
VERSION = sys.version_info[:2]


def hit(line):
    HITS[line] = HITS.get(line, 0) + 1


class Frame:
    """Counts the lines of a frame, from its start or resumption on."""

    def tell(self, frame, event, argument):
        if event == "line":
            hit(frame.f_lineno)
        return self.tell


class MarkedFrame39(Frame):
    """3.9 traces a line once more where an exception is caught in its middle. The marker knows only the starts of
    lines, and jumps backwards."""

    raised_at = None

    def tell(self, frame, event, argument):
        at, raised_at = frame.f_lasti, self.raised_at
        starts = (start for start, _ in dis.findlinestarts(frame.f_code))
        if event != "line" or raised_at is None or at < raised_at or at in starts:
            super().tell(frame, event, argument)
        self.raised_at = at if event == "exception" else None
        return self.tell


class MarkedFrame311(Frame):
    """3.11's marker does not tell of the first line of a frame that begins on the line of its `def`, and tells of
    that of a `yield from` or an `await` each time that it is resumed."""

    def __init__(self, frame):
        instructions = list(dis.get_instructions(frame.f_code))
        start = next(at for at in instructions if at.opname == "RESUME")
        self.own_line = start.positions.lineno if frame.f_lasti <= start.offset else None
        after = [at.opname for at in instructions if at.offset > frame.f_lasti and at.opname != "RESUME"]
        if self.own_line is None and after[0] == "JUMP_BACKWARD_NO_INTERRUPT":
            hit(frame.f_lineno)

    def tell(self, frame, event, argument):
        if event == "line" and frame.f_lineno != self.own_line:
            super().tell(frame, event, argument)
        self.own_line = None
        return self.tell


def on_frame(frame, event, argument):
    if frame.f_code.co_filename != PROGRAM:
        return None
    if "marker" not in OPTIONS:
        return Frame().tell
    return (MarkedFrame39() if VERSION == (3, 9) else MarkedFrame311(frame)).tell


def on_line(code, line):
    if code.co_filename == PROGRAM:
        hit(line)


def on_call(frame, event, argument):
    if event in ("call", "return") and frame.f_code.co_filename == PROGRAM:
        # A module begins on line 0, which no file has.
        line = frame.f_lineno or frame.f_code.co_firstlineno
        CALLS.setdefault(line, {"call": 0, "return": 0})[event] += 1


def start():
    if "calls" in OPTIONS:
        threading.setprofile(on_call)
        sys.setprofile(on_call)
        return
    if VERSION < (3, 12):
        threading.settrace(on_frame)
        sys.settrace(on_frame)
        return
    # From 3.13 on, whoever asks for lines alone is not told of one on which a function also begins (its first line,
    # the body of a lambda), once that function is specialised. Who asks for starts, too, is.
    events, tool = sys.monitoring.events, sys.monitoring.COVERAGE_ID
    sys.monitoring.use_tool_id(tool, "counter")
    sys.monitoring.register_callback(tool, events.LINE, on_line)
    sys.monitoring.register_callback(tool, events.PY_START, lambda code, offset: None)
    sys.monitoring.set_events(tool, events.LINE | events.PY_START)


def stop():
    sys.setprofile(None)
    sys.settrace(None)
    if VERSION >= (3, 12) and "calls" not in OPTIONS:
        sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, 0)


folder, file = os.path.split(PROGRAM)
if "main" in OPTIONS:
    sys.path.insert(0, folder)
    program = importlib.import_module(file[:-3])
    start()
    program.main()
else:
    start()
    runpy.run_path(PROGRAM, run_name="__main__")
stop()
lines = HITS.items() or ((line, calls["call"], calls["return"]) for line, calls in CALLS.items())
print(json.dumps(sorted(lines)))
