"""Runs a program with the callbacks of probe.c: python run_with_probe.py [--lines] PROGRAM ARGUMENTS…"""

import runpy
import sys

import probe

del sys.argv[0]
lines = sys.argv[0] == "--lines"
if lines:
    del sys.argv[0]
probe.start(lines)
runpy.run_path(sys.argv[0], run_name="__main__")
