"""Runs a benchmark of the pyperformance package plainly: its function, so many times, in this process.

    python benchmark.py .../bm_richards/run_benchmark.py LOOPS

Stands in for the `pyperf` module, which would start processes and measure. Any Python can so run the sources that one
virtual environment holds.
"""

import argparse
import runpy
import sys
import types

source, loops = sys.argv[1], int(sys.argv[2])


class Runner:
    def __init__(self, add_cmdline_args=None):
        self.metadata = {}
        self.argparser = argparse.ArgumentParser()

    def parse_args(self):
        return self.argparser.parse_args()

    def bench_func(self, name, function, *arguments):
        for _ in range(loops):
            function(*arguments)


sys.argv[:] = [source]
sys.modules["pyperf"] = types.ModuleType("pyperf")
sys.modules["pyperf"].Runner = Runner
runpy.run_path(source, run_name="__main__")
