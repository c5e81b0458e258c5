"""Runs `main` of a program under line_profiler, and prints the JSON list of `[line, nanoseconds]` after its output."""

import importlib
import inspect
import json
import os
import sys

from line_profiler import LineProfiler

folder, file = os.path.split(sys.argv[1])
sys.path.insert(0, folder)
program = importlib.import_module(file[:-3])
profiler = LineProfiler()
for _, function in inspect.getmembers(program, inspect.isfunction):
    if function.__module__ == program.__name__:
        profiler.add_function(function)
profiler.runcall(program.main)
stats = profiler.get_stats()
lines = [[line, round(time * stats.unit * 1e9)] for timings in stats.timings.values() for line, hits, time in timings]
print(json.dumps(sorted(lines)))
