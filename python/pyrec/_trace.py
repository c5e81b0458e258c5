"""A recording, as tables."""

import json
import os
import tempfile

from pyrec._command import run


def open(*paths, **filters):
    """Opens a recording: a file, a directory of them, or several. Without a path that is `pyrec.parquet`.

    The filters are the command's: `root="main"`, `time="1s-10s"`, `include=["json/*"]`, `exclude`, `min_time`, `pid`,
    `tid`. A list gives a flag several times. They hold for calls and functions.
    """
    return Trace(paths or ("pyrec.parquet",), filters)


class Trace:
    """A recording. Each table is read when it is asked for, as a `pyarrow.Table` or as `library` says."""

    def __init__(self, paths, filters):
        self._input = [word for path in paths for word in ("-i", os.fspath(path))]
        self._paths = [os.fspath(path) for path in paths]
        self._filters = list(_flags(filters))
        for path in paths:
            os.stat(path)  # What is not there is said now, not by the first table.

    def info(self):
        """What is in the recording, and how far it can be trusted: a dict, as `pyrec info --json` prints it."""
        return json.loads(run(["info", "--json"] + self._input))

    def events(self, library="pyarrow"):
        """The rows of the recording as they are, whatever the filters (docs/format.md)."""
        from pyarrow import parquet

        tables = [parquet.read_table(path) for path in self._paths]
        return _as(library, _joined(tables))

    def calls(self, library="pyarrow"):
        """A row for every call, as `pyrec export calls` writes them (docs/export.md)."""
        from pyarrow import parquet

        with tempfile.TemporaryDirectory(prefix="pyrec-") as directory:
            path = os.path.join(directory, "calls.parquet")
            run(["export", "calls", path] + self._input + self._filters)
            return _as(library, parquet.read_table(path))

    def functions(self, library="pyarrow"):
        """A row for every function with its calls and times, as `pyrec stats --json` prints them."""
        from pyarrow import Table

        rows = json.loads(run(["stats", "--json"] + self._input + self._filters))["functions"]
        return _as(library, Table.from_pylist(rows))


def _flags(filters):
    for name, values in filters.items():
        for value in values if isinstance(values, (list, tuple)) else [values]:
            yield "--{}={}".format(name.replace("_", "-"), value)


def _joined(tables):
    from pyarrow import concat_tables

    return concat_tables(tables) if len(tables) > 1 else tables[0]


def _as(library, table):
    if library == "pyarrow":
        return table
    if library == "polars":
        import polars

        return polars.from_arrow(table)
    if library == "pandas":
        return table.to_pandas()
    raise ValueError("tables come as pyarrow, polars or pandas, not as {!r}".format(library))
