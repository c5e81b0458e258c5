"""Runs a program under `probe`: python probed.py PROGRAM ARGUMENTS…"""

import runpy
import sys

import probe

del sys.argv[0]
probe.start()
runpy.run_path(sys.argv[0], run_name="__main__")
