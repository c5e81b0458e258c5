"""Many recordings on Apache Spark: each becomes a profile where it lies, and Spark SQL adds the profiles up.

    from pyrec import spark as pyrec_spark

    profile = pyrec_spark.profile(spark, "s3a://traces/2026-11-22/*.parquet", root="handle_request")
    pyrec_spark.write(profile, "monday.parquet")      # then: pyrec flame -i monday.parquet flame.svg

Needs Spark 4. The executors need this package with its command, pyarrow, and pandas, which Spark asks for.
"""

import contextlib
import os
import shutil
import tempfile
from urllib.parse import unquote, urlsplit

from pyrec._command import run
from pyrec._trace import _flags

_KEYS = ["row", "id", "parent", "frame", "name", "bucket"]
_SUMS = ["count", "self_ns", "points", "orphans", "measured", "measured_ns"]
# A task for each file, unless there are so many that the scheduler would be the slowest.
_MOST_TASKS = 10_000
_SCHEMA = (
    "row string, id binary, parent binary, frame string, name string, bucket int, count bigint, self_ns bigint, "
    "points bigint, orphans bigint, measured bigint, measured_ns bigint, min_ns bigint, max_ns bigint"
)


def profile(spark, paths, **filters):
    """The profile of all recordings at these paths: one or several, with globs, on any file system that Spark knows.

    Every file is a recording. The filters are those of `pyrec profile`. Returns a DataFrame with the columns of a
    profile (docs/scale.md); nothing runs before it is used. A file that is no recording ends the job with its name.
    """
    words = list(_flags(filters))

    def reduce(batches):
        for batch in batches:
            for path in batch.column("path").to_pylist():
                yield from _profile_of(path, words)

    # Only the files' names are asked for: their contents stay where they are until a task takes them.
    names = spark.read.format("binaryFile").load(paths).inputFiles()
    files = spark.createDataFrame([(name,) for name in names], "path string")
    files = files.repartition(min(len(names), _MOST_TASKS))
    return merge(files.mapInArrow(reduce, _SCHEMA))


def merge(profiles):
    """Profiles' rows added up: a DataFrame with a row for every key."""
    from pyspark.sql import functions

    sums = [functions.sum(name).alias(name) for name in _SUMS]
    ends = [functions.min("min_ns").alias("min_ns"), functions.max("max_ns").alias("max_ns")]
    return profiles.groupBy(*_KEYS).agg(*sums, *ends)


def write(profile, path):
    """Writes a profile where the driver can, as one file that `pyrec flame -i`, `pyrec stats -i` and `profile -i` read."""
    from pyarrow import parquet

    parquet.write_table(profile.toArrow(), path, compression="zstd")


def _profile_of(uri, words):
    from pyarrow import parquet

    with tempfile.TemporaryDirectory(prefix="pyrec-") as directory, _local(uri, directory) as trace:
        out = os.path.join(directory, "profile.parquet")
        run(["profile", "-i", trace, out] + words)
        yield from parquet.read_table(out).to_batches()


@contextlib.contextmanager
def _local(uri, directory):
    """A file by a path that the command can open; one in a bucket is copied here first, piece by piece."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        yield unquote(parts.path)
        return
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(uri.replace("s3a://", "s3://", 1))
    copy = os.path.join(directory, "trace.parquet")
    with system.open_input_stream(path) as source, open(copy, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    yield copy
