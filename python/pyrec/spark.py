"""Many traces on Apache Spark: each is reduced to a profile on an executor, and Spark SQL adds the profiles up.

    from pyrec import spark as pyrec_spark

    profile = pyrec_spark.profile(spark, "s3a://traces/2026-11-22/*.parquet", root="handle_request")
    pyrec_spark.write(profile, "monday.parquet")      # then: pyrec flame -i monday.parquet flame.svg

Requires Spark 4. The executors need this package with its command, pyarrow, and pandas, which Spark imports.
"""

import contextlib
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, Iterable, Iterator, List, Union
from urllib.parse import unquote, urlsplit

from pyrec._command import run
from pyrec._trace import _flags

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame, SparkSession

_KEYS = ["row", "id", "parent", "frame", "name", "bucket"]
_SUMS = ["count", "self_ns", "points", "orphans", "measured", "measured_ns"]
# One task for each file. With more tasks than this the scheduler would be the bottleneck.
_MAX_TASKS = 10_000
_SCHEMA = (
    "row string, id binary, parent binary, frame string, name string, bucket int, count bigint, self_ns bigint, "
    "points bigint, orphans bigint, measured bigint, measured_ns bigint, min_ns bigint, max_ns bigint"
)


def profile(spark: "SparkSession", paths: Union[str, List[str]], **filters: Any) -> "DataFrame":
    """The profile of all traces at these paths: one or several, with globs, on any file system that Spark can read.

    Each file must be a trace of its own. The filters are those of `pyrec profile`. Returns a lazy DataFrame with the
    columns of a profile (docs/how-to/many-machines.md). A file that is not a trace fails the job with an error that
    names the file.
    """
    options = list(_flags(filters))

    def reduce(batches: "Iterable[pyarrow.RecordBatch]") -> "Iterator[pyarrow.RecordBatch]":
        for batch in batches:
            for path in batch.column("path").to_pylist():
                yield from _profile_of(path, options)

    # Lists the files without reading them; each task reads its own.
    names = spark.read.format("binaryFile").load(paths).inputFiles()
    files = spark.createDataFrame([(name,) for name in names], "path string")
    files = files.repartition(min(len(names), _MAX_TASKS))
    return merge(files.mapInArrow(reduce, _SCHEMA))


def merge(profiles: "DataFrame") -> "DataFrame":
    """Adds up the rows of profiles: a DataFrame with one row for every key."""
    from pyspark.sql import functions

    sums = [functions.sum(name).alias(name) for name in _SUMS]
    extremes = [functions.min("min_ns").alias("min_ns"), functions.max("max_ns").alias("max_ns")]
    return profiles.groupBy(*_KEYS).agg(*sums, *extremes)


def write(profile: "DataFrame", path: str) -> None:
    """Writes a profile from the driver, as one file that `pyrec flame`, `stats` and `profile` read with `-i`."""
    from pyarrow import parquet

    parquet.write_table(profile.toArrow(), path, compression="zstd")


def _profile_of(uri: str, options: List[str]) -> "List[pyarrow.RecordBatch]":
    from pyarrow import parquet

    with tempfile.TemporaryDirectory(prefix="pyrec-") as directory, _local(uri, directory) as trace:
        out = os.path.join(directory, "profile.parquet")
        run(["profile", "-i", trace, out, *options])
        batches: List[pyarrow.RecordBatch] = parquet.read_table(out).to_batches()
        return batches


@contextlib.contextmanager
def _local(uri: str, directory: str) -> Iterator[str]:
    """A path that the command can open. A file in an object store is first copied into `directory`, in blocks."""
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
