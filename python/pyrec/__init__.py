"""pyrec, a flight recorder for Python: traces as tables.

    import pyrec

    trace = pyrec.open("pyrec.parquet", root="main")
    trace.functions()              # a pyarrow.Table
    trace.calls(library="polars")  # a polars.DataFrame

This package runs the command `pyrec`, which the same distribution installs, and parses its output.
"""

from pyrec._command import CommandFailed
from pyrec._trace import Trace, open

__all__ = ["CommandFailed", "Trace", "open"]
