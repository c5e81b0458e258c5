"""Adds profiles up in SQL: merge.py OUT PROFILE…"""

import sys

import duckdb

out, *profiles = sys.argv[1:]
duckdb.sql(
    f"""
    copy (
      select row, id, parent, frame, name, bucket, sum(count)::bigint as count, sum(self_ns)::bigint as self_ns,
             sum(points)::bigint as points, sum(orphans)::bigint as orphans, sum(measured)::bigint as measured,
             sum(measured_ns)::bigint as measured_ns, min(min_ns) as min_ns, max(max_ns) as max_ns
      from read_parquet({profiles!r}) group by all
    ) to '{out}' (format parquet, compression zstd)
    """
)
