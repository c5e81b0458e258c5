"""A trace, as tables."""

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple, Union

from pyrec._command import run

if TYPE_CHECKING:
    import pyarrow

    StrPath = Union[str, "os.PathLike[str]"]


def open(*paths: "StrPath", **filters: Any) -> "Trace":
    """Opens a trace: a file, a directory of them, or several. The default is `pyrec.parquet`.

    The filters are those of the command's reports: `root="main"`, `time="1s-10s"`, `include=["json/*"]`, `exclude`,
    `min_time`, `pid`, `tid`. A list repeats the flag. They apply to `calls` and `functions`.

    Raises `FileNotFoundError` if a path does not exist.
    """
    return Trace(paths or ("pyrec.parquet",), filters)


class Trace:
    """A trace. Each method reads the files anew and returns a `pyarrow.Table`, or what `library` names."""

    def __init__(self, paths: "Tuple[StrPath, ...]", filters: Dict[str, Any]) -> None:
        self._input = [word for path in paths for word in ("-i", os.fspath(path))]
        self._paths = [os.fspath(path) for path in paths]
        self._filters = list(_flags(filters))
        for path in paths:
            os.stat(path)  # Raises for a missing file here, not at the first table.

    def info(self) -> Dict[str, Any]:
        """What the trace contains and how complete it is: the object that `pyrec info --json` prints."""
        info: Dict[str, Any] = json.loads(run(["info", "--json", *self._input]))
        return info

    def events(self, library: str = "pyarrow") -> Any:
        """The rows of the trace, without filters. docs/reference/format.md describes the columns."""
        from pyarrow import parquet

        tables = [parquet.read_table(path) for path in self._paths]
        return _as(library, _concatenated(tables))

    def calls(self, library: str = "pyarrow") -> Any:
        """A row for every call, as `pyrec export calls` writes them. docs/reference/exports.md describes the columns."""
        from pyarrow import parquet

        with tempfile.TemporaryDirectory(prefix="pyrec-") as directory:
            path = os.path.join(directory, "calls.parquet")
            run(["export", "calls", path, *self._input, *self._filters])
            return _as(library, parquet.read_table(path))

    def functions(self, library: str = "pyarrow") -> Any:
        """A row for every function with its calls and times, as `pyrec stats --json` prints them."""
        from pyarrow import Table

        rows = json.loads(run(["stats", "--json", *self._input, *self._filters]))["functions"]
        return _as(library, Table.from_pylist(rows))


def _flags(filters: Dict[str, Any]) -> Iterator[str]:
    for name, values in filters.items():
        for value in values if isinstance(values, (list, tuple)) else [values]:
            yield "--{}={}".format(name.replace("_", "-"), value)


def _concatenated(tables: "List[pyarrow.Table]") -> "pyarrow.Table":
    from pyarrow import concat_tables

    return concat_tables(tables) if len(tables) > 1 else tables[0]


def _as(library: str, table: "pyarrow.Table") -> Any:
    if library == "pyarrow":
        return table
    if library == "polars":
        import polars

        return polars.from_arrow(table)
    if library == "pandas":
        return table.to_pandas()
    raise ValueError(f"library must be 'pyarrow', 'polars' or 'pandas', not {library!r}")
