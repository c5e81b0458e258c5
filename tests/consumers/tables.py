"""Prints facts about the tables of the package, as JSON."""

import json
import sys

import pyrec


def column(table, name):
    values = table[name]
    return values.to_pylist() if hasattr(values, "to_pylist") else list(values)


def columns(table):
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


trace = pyrec.open(sys.argv[1])
without_rows = pyrec.open(sys.argv[1], root="no_such_function")
facts = {"info": trace.info()}
for library in ["pyarrow", "polars", "pandas"]:
    calls = trace.calls(library)
    kinds = zip(column(calls, "kind"), column(calls, "began"))
    facts[library] = {
        "events": len(trace.events(library)),
        "functions": len(trace.functions(library)),
        "calls": sum(kind == "function" and began != "unseen" for kind, began in kinds),
        "call_columns": columns(calls),
        "call_columns_without_rows": columns(without_rows.calls(library)),
        "function_columns": columns(trace.functions(library)),
        "function_columns_without_rows": columns(without_rows.functions(library)),
        "rows_without_rows": len(without_rows.calls(library)) + len(without_rows.functions(library)),
    }
facts["inside"] = len(pyrec.open(sys.argv[1], root="Parser.parse").calls())
try:
    pyrec.open(sys.argv[1], no_such_flag=1).calls()
except pyrec.CommandFailed as error:
    facts["refused"] = str(error)
print(json.dumps(facts))
