"""What DuckDB answers to the queries of a page.

    python3 queries.py PAGE

A query is a block of SQL whose first line names it: `-- name`. They are run in the working directory. Prints, as JSON,
by the names of the queries, their rows, objects by the names of the columns.
"""

import json
import pathlib
import re
import sys

import duckdb


def main():
    page = pathlib.Path(sys.argv[1]).read_text()
    answers = {}
    for name, query in re.findall(r"```sql\n-- (.*?)\n(.*?)```", page, flags=re.DOTALL):
        relation = duckdb.sql(query)
        answers[name] = [dict(zip(relation.columns, row)) for row in relation.fetchall()]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
