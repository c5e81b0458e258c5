"""What the package's tables hold, as JSON."""

import json
import sys

import pyrec


def column(table, name):
    values = table[name]
    return values.to_pylist() if hasattr(values, "to_pylist") else list(values)


trace = pyrec.open(sys.argv[1])
said = {"info": trace.info()}
for library in ["pyarrow", "polars", "pandas"]:
    calls = trace.calls(library)
    kinds = zip(column(calls, "kind"), column(calls, "began"))
    said[library] = {
        "events": len(trace.events(library)),
        "functions": len(trace.functions(library)),
        "calls": sum(kind == "function" and began != "unseen" for kind, began in kinds),
    }
said["inside"] = len(pyrec.open(sys.argv[1], root="Parser.parse").calls())
try:
    pyrec.open(sys.argv[1], no_such_flag=1).calls()
except pyrec.CommandFailed as error:
    said["refused"] = str(error)
print(json.dumps(said))
