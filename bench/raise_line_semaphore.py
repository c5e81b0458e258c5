"""Runs a command while the semaphore of CPython's `line` marker is raised, without a trap on each line.

    python3 bench/raise_line_semaphore.py IMAGE COMMAND [ARGUMENT ...]

CPython 3.11 fires entry markers only while that semaphore is raised. pyrec raises it by itself; this script does so for
the tools that pyrec is compared with. A uprobe on a function that never runs raises the semaphore until its descriptor
is closed; the command inherits the descriptor.
"""

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

PERF_EVENT_OPEN = 298
EVERY_PROCESS, FIRST_PROCESSOR, NO_GROUP, NO_FLAGS = -1, 0, -1, 0


def readelf(option, image):
    return subprocess.run(["readelf", "-W", option, image], capture_output=True, text=True, check=True).stdout


def file_offset(image, address):
    for line in readelf("-l", image).splitlines():
        if line.strip().startswith("LOAD"):
            at, start, _, size = (int(number, 16) for number in line.split()[1:5])
            if start <= address < start + size:
                return at + address - start
    sys.exit(f"{image} has nothing at {address:#x}")


def attributes(image, path):
    """A `struct perf_event_attr` for a uprobe. The place of its counter is in the upper half of `config`."""
    never_run = re.search(r"([0-9a-f]{16}) .* Py_FrozenMain$", readelf("--dyn-syms", image), re.MULTILINE)
    semaphore = re.search(r"Name: line\s.*?Semaphore: 0x(\w+)", readelf("-n", image), re.DOTALL)
    probe, counter = (file_offset(image, int(found[1], 16)) for found in (never_run, semaphore))
    kind = int(Path("/sys/bus/event_source/devices/uprobe/type").read_text())
    size = 112
    packed = struct.pack("IIQQQQQIIQQ", kind, size, counter << 32, 0, 0, 0, 0, 0, 0, ctypes.addressof(path), probe)
    return ctypes.create_string_buffer(packed.ljust(size, b"\0"))


def main():
    image, *command = sys.argv[1:]
    path = ctypes.create_string_buffer(os.fsencode(image))
    system = ctypes.CDLL(None, use_errno=True)
    event = system.syscall(PERF_EVENT_OPEN, attributes(image, path), EVERY_PROCESS, FIRST_PROCESSOR, NO_GROUP, NO_FLAGS)
    if event < 0:
        sys.exit(f"the semaphore cannot be raised: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
