"""pyrec, a flight recorder for Python: recordings as tables.

    import pyrec

    trace = pyrec.open("pyrec.parquet", root="main")
    trace.functions()              # a pyarrow.Table
    trace.calls(library="polars")  # a polars.DataFrame

The tables are what the command says: this package runs it and reads what it writes.
"""

from pyrec._command import CommandFailed
from pyrec._trace import Trace, open

__all__ = ["CommandFailed", "Trace", "open"]
