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


# The columns of `Trace.functions`: the keys that `pyrec stats --json` prints for a function.
_FUNCTION_COLUMNS = [
    ("file", "string"),
    ("first_line", "int64"),
    ("name", "string"),
    ("qualname", "string"),
    ("module", "string"),
    ("calls", "int64"),
    ("total_ns", "int64"),
    ("self_ns", "int64"),
    ("min_ns", "int64"),
    ("mean_ns", "int64"),
    ("max_ns", "int64"),
    ("p50_ns", "int64"),
    ("p95_ns", "int64"),
    ("p99_ns", "int64"),
    ("gc_ns", "int64"),
    ("tracing_ns", "int64"),
]


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
        import pyarrow

        rows = json.loads(run(["stats", "--json", *self._input, *self._filters]))["functions"]
        # With types, so that a table without rows has its columns, and a column of nulls its type.
        schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in _FUNCTION_COLUMNS])
        return _as(library, pyarrow.Table.from_pylist(rows, schema=schema))


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
