"""Runs a benchmark of the pyperformance package plainly: its function, so many times, in this process.

    python benchmark.py .../bm_richards/run_benchmark.py LOOPS [SECONDS]

Stands in for the `pyperf` module, which would start processes and measure. Any Python can so run the sources that one
virtual environment holds. The seconds that the loops took go into the file SECONDS.
"""

import argparse
import runpy
import sys
import time
import types

source, loops = sys.argv[1], int(sys.argv[2])
seconds = sys.argv[3] if len(sys.argv) > 3 else None


class Runner:
    def __init__(self, add_cmdline_args=None):
        self.metadata = {}
        self.argparser = argparse.ArgumentParser()

    def parse_args(self):
        return self.argparser.parse_args()

    def bench_func(self, name, function, *arguments):
        start = time.perf_counter()
        for _ in range(loops):
            function(*arguments)
        end = time.perf_counter()
        if seconds:
            with open(seconds, "w") as file:
                file.write(str(end - start))


sys.argv[:] = [source]
sys.modules["pyperf"] = types.ModuleType("pyperf")
sys.modules["pyperf"].Runner = Runner
runpy.run_path(source, run_name="__main__")
