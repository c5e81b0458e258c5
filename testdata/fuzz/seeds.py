"""Generates the fuzz seeds in this folder: a few valid inputs for each target. Needs pyarrow.

The seeds of `import` are not generated. They are captures of a small program by bpftrace, DTrace and SystemTap.
"""

import json
import pathlib
import shutil
import struct

import pyarrow
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
MANIFEST = {
    "format": 1,
    "writer": "seeds",
    "command": [],
    "attached": [],
    "python": [],
    "provider": "agent",
    "markers": ["function"],
    "clock": {"source": "tsc", "anchor_monotonic_ns": 0, "anchor_unix_ns": 0},
    "host": {"system": "", "machine": "", "processors": 1, "name": ""},
    "cost_per_event_ns": None,
    "waited_ns": None,
    "ended": {"how": "stopped"},
}


def seed_path(target, name):
    (HERE / target).mkdir(exist_ok=True)
    return HERE / target / name


def traces():
    """Writes small traces with pages of every kind. Most are uncompressed, so that a changed byte is a changed value."""
    words = pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8())
    columns = {
        "time_ns": (pyarrow.int64(), [5, 6, 8, 12, 13, 20]),
        "pid": (pyarrow.int32(), [7] * 6),
        "tid": (pyarrow.int32(), [7, 7, 8, 8, 7, 7]),
        "marker": (words, ["function__entry", "line", "function__return", "gc__start", "lost", "source"]),
        "code": (words, ["a.py:1:f", "a.py:1:f", "a.py:5:C.g", "", "", "a.py::"]),
        "line": (pyarrow.int32(), [1, 2, 5, 0, 0, 1]),
        "value": (pyarrow.int64(), [None, None, None, 2, 9, 77]),
        "text": (words, [None, None, "yield", None, "11", "x = 1\n"]),
    }
    fields = [pyarrow.field(name, kind, name in ("value", "text")) for name, (kind, _) in columns.items()]
    schema = pyarrow.schema(fields)
    manifest = {"pyrec": json.dumps(MANIFEST, separators=(",", ":"))}
    arrays = [pyarrow.array(values, kind) for kind, values in columns.values()]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    numbers = ["time_ns", "pid", "tid", "line", "value"]
    delta = {name: "DELTA_BINARY_PACKED" for name in numbers}
    for name, options in {
        "zstd": {"compression": "zstd"},
        "dictionary": {},
        "plain": {"use_dictionary": False},
        "v2": {"data_page_version": "2.0", "write_statistics": True},
        "delta": {"use_dictionary": False, "column_encoding": delta},
        "refused": {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
        "split": {"use_dictionary": False, "column_encoding": dict.fromkeys(numbers, "BYTE_STREAM_SPLIT")},
    }.items():
        options = {"compression": "none", "write_statistics": False, "store_schema": False} | options
        with pyarrow.parquet.ParquetWriter(seed_path("reader", f"{name}.parquet"), schema, **options) as writer:
            writer.write_table(table, row_group_size=4)
            writer.add_key_value_metadata(manifest)
        if name == "zstd":
            growing_traces({"pyrec": json.dumps(MANIFEST | {"unsettled_row_groups": 1})}, table, options)
    torn = seed_path("reader", "zstd.parquet").read_bytes() + b"\7" * 40
    seed_path("reader", "torn.parquet").write_bytes(torn)


def growing_traces(manifest, table, options):
    """Writes a growing trace, whose footer tail lies apart from the metadata, and a truncated copy of one."""
    with pyarrow.parquet.ParquetWriter(seed_path("reader", "growing.parquet"), table.schema, **options) as writer:
        writer.write_table(table, row_group_size=4)
        writer.add_key_value_metadata(manifest)
    whole = seed_path("reader", "growing.parquet").read_bytes()
    distance = int.from_bytes(whole[-8:-4], "little") + 40
    apart = whole[:-8] + b"\7" * 40 + struct.pack("<I", distance) + b"PAR1"
    seed_path("reader", "growing.parquet").write_bytes(apart)
    seed_path("reader", "copied.parquet").write_bytes(apart + b"\7" * 40)


def profiles():
    """Writes small profiles: one as `pyrec profile` writes it, and one as a database may."""
    root, outer, inner = bytes(16), bytes([1] * 16), bytes([2] * 16)
    names = ["row", "id", "parent", "frame", "name", "bucket"]
    sums = ["count", "self_ns", "points", "orphans", "measured", "measured_ns", "min_ns", "max_ns"]
    rows = [
        ("format", None, None, None, "1", None, 1),
        ("path", root, None, "thread", None, None, 0, 0, 3, 0, 0, 0),
        ("path", outer, root, "function", "a.py:1:f", None, 3, 50, 2, 1, 2, 90, 40, 50),
        ("path", inner, outer, "gc", None, None, 1, 30, 0, 0, 1, 30, 30, 30),
        ("duration", None, None, "function", "a.py:1:f", 40, 2),
        ("duration", None, None, "gc", None, 30, 1),
        ("recording", None, None, None, '{"how":"exited","status":0}', None, 1),
        ("command", None, None, None, '["python3","a.py"]', None, 1),
        ("python", None, None, None, "3.13.0", None, 1),
        ("module_path", None, None, None, "/usr/lib/python3.13", None, 1),
        ("provider", None, None, None, "agent", None, 1),
        ("marker", None, None, None, "function__entry", None, 3),
        ("marker", None, None, None, "line", None, 5),
        ("lost", None, None, None, None, None, 4),
        ("repaired", None, None, None, "still_open", None, 1),
        ("slice", None, None, None, '{"of_ns":9,"is_inside":false,"is_some_threads":true}', None, 1),
        ("span_ns", None, None, None, None, None, 200),
        ("cost_ps", None, None, None, None, None, 8000),
        ("cost_events", None, None, None, None, None, 8),
    ]
    columns = zip(*(row + (None,) * (len(names) + len(sums) - len(row)) for row in rows), strict=True)
    kinds = [pyarrow.utf8(), pyarrow.binary(), pyarrow.binary(), pyarrow.utf8(), pyarrow.utf8(), pyarrow.int32()]
    kinds += [pyarrow.int64()] * len(sums)
    arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    table = pyarrow.Table.from_arrays(arrays, names=names + sums)
    options = {"compression": "none", "write_statistics": False, "store_schema": False}
    path = seed_path("profile", "pyrec.parquet")
    pyarrow.parquet.write_table(table, path, use_dictionary=False, **options)
    # Other types, another order of columns, and dictionaries.
    merged = table.select(sums[::-1] + names).set_column(0, "max_ns", table["max_ns"].cast(pyarrow.float64()))
    pyarrow.parquet.write_table(merged, seed_path("profile", "merged.parquet"), row_group_size=8, **options)


def rows():
    """Writes rows in the format of the target `rebuild`, and scripts."""
    # Indices into `Marker::ALL`.
    function_entry, function_return, line, gc_start, process_exit, lost = 0, 1, 2, 3, 13, 16
    calls = [
        (function_entry, 0, 1, 6),
        (function_entry, 0, 2, 6),
        (line, 1, 2, 6),
        (function_return, 0x80, 2, 1),
        (lost, 0, 0, 2),
        (gc_start, 0, 0, 6),
        (function_return, 0x80, 1, 6),
        (process_exit, 0, 0, 6),
    ]
    seed_path("rebuild", "calls").write_bytes(b"".join(bytes(row) + b"\0\1\3\2" for row in calls))
    # A call from the earliest time to the latest.
    longest_call = bytes([function_entry, 0, 1, 6, 255, 254, 0, 0, function_return, 0, 1, 6, 255, 255, 0, 0])
    seed_path("rebuild", "ends").write_bytes(longest_call * 3)
    for script in ("nested", "lost", "gc"):
        shutil.copy(HERE / f"../scripts/{script}.script", seed_path("script", script))


def wire():
    """Writes definitions, records and a filter as the agent and the recorder do, after a byte that splits the log."""

    def text(string):
        return struct.pack("=I", len(string)) + string.encode()

    def words(strings):
        return struct.pack("=I", len(strings)) + b"".join(map(text, strings))

    fields = [
        (
            1,
            struct.pack("=IIQ", 7, 1, 5)
            + text("3.13.0")
            + text("main")
            + text("/usr/bin/python3")
            + words(["python3", "a.py"])
            + words(["/srv"]),
        ),
        (2, struct.pack("=II", 1, 3) + text("a.py") + text("C.f") + struct.pack("=I", 3) + text("\x11\x22")),
        (3, struct.pack("=I", 2) + text("json")),
        (7, struct.pack("=II", 1, 1) + text("open")),
        (4, struct.pack("=I", 8) + text("Thread-1 (f)")),
        (5, struct.pack("=d", 24.5)),
        (6, text("sys.setprofile was in use")),
    ]
    entries = b"".join(struct.pack("=II", len(body) + 8, tag) + body for tag, body in fields)
    seed_path("wire", "definitions").write_bytes(b"\x32" + entries)
    records = b"".join(struct.pack("=QQ", 1000, kind | 7 << 8 | 1 << 32) for kind in range(1, 17))
    seed_path("wire", "records").write_bytes(b"\0" + records)
    seed_path("wire", "filter").write_bytes(b"\0" + words(["json/*", "{a,b}[!c-e]?"]) + words(["json/*"]))


traces()
profiles()
rows()
wire()
