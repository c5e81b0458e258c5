"""Writes the seeds beside it anew: for each fuzz target a few inputs that it takes. Needs pyarrow.

Those of `import` are not written here: they are what bpftrace, DTrace and SystemTap printed of a small program.
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


def place(target, name):
    (HERE / target).mkdir(exist_ok=True)
    return HERE / target / name


def traces():
    """Small traces with pages of every kind; where they are not compressed, a changed byte is a changed value."""
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
        with pyarrow.parquet.ParquetWriter(place("reader", f"{name}.parquet"), schema, **options) as writer:
            writer.write_table(table, row_group_size=4)
            writer.add_key_value_metadata(manifest)
        if name == "zstd":
            growing({"pyrec": json.dumps(MANIFEST | {"unsettled_row_groups": 1})}, table, options)
    torn = place("reader", "zstd.parquet").read_bytes() + b"\7" * 40
    place("reader", "torn.parquet").write_bytes(torn)


def growing(manifest, table, options):
    """A trace that is being recorded: its footer stands apart from its length. And one that was copied meanwhile."""
    with pyarrow.parquet.ParquetWriter(place("reader", "growing.parquet"), table.schema, **options) as writer:
        writer.write_table(table, row_group_size=4)
        writer.add_key_value_metadata(manifest)
    whole = place("reader", "growing.parquet").read_bytes()
    distance = int.from_bytes(whole[-8:-4], "little") + 40
    apart = whole[:-8] + b"\7" * 40 + struct.pack("<I", distance) + b"PAR1"
    place("reader", "growing.parquet").write_bytes(apart)
    place("reader", "copied.parquet").write_bytes(apart + b"\7" * 40)


def rows():
    """Rows as the target reads them: marker, cut and thread, code, text, value, and what to do with the time."""
    entry, leave, line, gc, lost, end = 0, 1, 2, 3, 14, 13
    calls = [
        (entry, 0, 1, 6),
        (entry, 0, 2, 6),
        (line, 1, 2, 6),
        (leave, 0x80, 2, 1),
        (lost, 0, 0, 2),
        (gc, 0, 0, 6),
        (leave, 0x80, 1, 6),
        (end, 0, 0, 6),
    ]
    place("rebuild", "calls").write_bytes(b"".join(bytes(row) + b"\0\1\3\2" for row in calls))
    there = bytes([entry, 0, 1, 6, 255, 254, 0, 0, leave, 0, 1, 6, 255, 255, 0, 0])
    place("rebuild", "ends").write_bytes(there * 3)
    for script in ("nested", "lost", "gc"):
        shutil.copy(HERE / f"../scripts/{script}.script", place("script", script))


def wire():
    """What an agent writes, after a byte that says where the log is cut."""

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
    place("wire", "definitions").write_bytes(b"\x32" + entries)
    records = b"".join(struct.pack("=QQ", 1000, kind | 7 << 8 | 1 << 32) for kind in range(1, 17))
    place("wire", "records").write_bytes(b"\0" + records)
    place("wire", "filter").write_bytes(b"\0" + words(["json/*", "{a,b}[!c-e]?"]) + words(["json/*"]))


traces()
rows()
wire()
