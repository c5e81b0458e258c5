"""Counts the rows of a trace with every reader that people use, each on its own.

    python3 count.py TRACE

TRACE is a file or a directory of rotated files. Prints, as JSON, for each of duckdb, pyarrow and polars:
rows, rows per marker, the number of distinct codes, the sum of value.
"""

import json
import pathlib
import sys

import duckdb
import polars
import pyarrow.compute
import pyarrow.parquet


def with_duckdb(files):
    trace = duckdb.read_parquet(files)  # noqa: F841 (DuckDB finds it by its name)
    totals = duckdb.sql("select count(*), count(distinct code), sum(value) from trace").fetchall()
    rows, codes, value = totals[0]
    markers = dict(duckdb.sql("select marker, count(*) from trace group by marker").fetchall())
    return rows, markers, codes, value


def with_pyarrow(files):
    # A dictionary that differs from one row group to the next is what breaks first, so read whole files.
    tables = [pyarrow.parquet.read_table(file) for file in files]
    table = pyarrow.concat_tables(tables).unify_dictionaries()
    markers = pyarrow.compute.value_counts(table["marker"].combine_chunks().dictionary_decode())
    codes = pyarrow.compute.count_distinct(table["code"].cast(pyarrow.string()))
    value = pyarrow.compute.sum(table["value"])
    counts = {item["values"]: item["counts"] for item in markers.to_pylist()}
    return table.num_rows, counts, codes.as_py(), value.as_py()


def with_polars(files):
    trace = polars.scan_parquet(files)
    code = polars.col("code").cast(polars.String).n_unique()
    value = polars.col("value")
    # An empty sum is null to the others.
    value = polars.when(value.count() > 0).then(value.sum())
    rows, codes, value = trace.select(polars.len(), code.alias("codes"), value.alias("value")).collect().row(0)
    markers = trace.group_by(polars.col("marker").cast(polars.String)).len().collect()
    return rows, dict(markers.rows()), codes, value


def main():
    path = pathlib.Path(sys.argv[1])
    files = sorted(map(str, path.glob("*.parquet"))) if path.is_dir() else [str(path)]
    readers = {"duckdb": with_duckdb, "pyarrow": with_pyarrow, "polars": with_polars}
    report = {}
    for name, count in readers.items():
        rows, markers, codes, value = count(files)
        # Hashes of sources are among the values, and only DuckDB adds in more than 64 bits.
        value = None if value is None else int(value) % 2**64
        report[name] = {"rows": rows, "markers": markers, "codes": codes, "value": value}
    json.dump(report, sys.stdout, indent=2, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
