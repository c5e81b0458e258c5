"""What Python's own pstats finds in a file.

    python3 pstats_of.py FILE

Prints, as JSON, for each function: file, line, name, primitive calls, calls, own and all seconds, and the calls by each
of its callers.
"""

import json
import pstats
import sys


def main():
    stats = pstats.Stats(sys.argv[1])
    # Goes through all callers and sorts, as a user would.
    stats.calc_callees()
    stats.sort_stats("cumulative")
    functions = []
    for (file, line, name), (primitive, calls, own, total, callers) in stats.stats.items():
        by = [[*caller, count] for caller, (count, *_) in callers.items()]
        functions.append([file, line, name, primitive, calls, own, total, by])
    json.dump(functions, sys.stdout)


if __name__ == "__main__":
    main()
