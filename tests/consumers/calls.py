"""What DuckDB and pyarrow find in a file of calls.

    python3 calls.py FILE

Prints, as JSON, for each of them: per code the calls, the sum of self_ns and the longest duration_ns; how many calls are
not one level deeper than their parent; and the footer's trust line.
"""

import json
import sys

import duckdb
import pyarrow.compute
import pyarrow.parquet


def with_duckdb(file):
    calls = duckdb.read_parquet(file)  # noqa: F841 (DuckDB finds it by its name)
    functions = duckdb.sql(
        "select code, count(*), sum(self_ns)::bigint, max(duration_ns) from calls where kind = 'function' group by code"
    ).fetchall()
    strays = duckdb.sql(
        "select count(*) from calls as call left join calls as parent on call.parent = parent.id"
        " where call.depth != coalesce(parent.depth + 1, 0)"
    ).fetchall()[0][0]
    trust = duckdb.sql(
        f"select decode(value) from parquet_kv_metadata('{file}') where decode(key) = 'trust'"
    ).fetchall()[0][0]
    return {code: rest for code, *rest in functions}, strays, trust


def with_pyarrow(file):
    table = pyarrow.parquet.read_table(file).unify_dictionaries()
    table = table.set_column(table.column_names.index("code"), "code", table["code"].cast("string"))
    functions = table.filter(pyarrow.compute.equal(table["kind"].cast("string"), "function"))
    sums = functions.group_by("code").aggregate([("id", "count"), ("self_ns", "sum"), ("duration_ns", "max")])
    found = {row["code"]: [row["id_count"], row["self_ns_sum"], row["duration_ns_max"]] for row in sums.to_pylist()}
    depths = dict(zip(table["id"].to_pylist(), table["depth"].to_pylist()))
    pairs = zip(table["parent"].to_pylist(), table["depth"].to_pylist())
    strays = sum(depth != (0 if parent is None else depths[parent] + 1) for parent, depth in pairs)
    trust = pyarrow.parquet.read_metadata(file).metadata[b"trust"].decode()
    return found, strays, trust


def main():
    report = {}
    for name, read in {"duckdb": with_duckdb, "pyarrow": with_pyarrow}.items():
        functions, strays, trust = read(sys.argv[1])
        report[name] = {"functions": functions, "strays": strays, "trust": trust}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
