"""Measures the cost of a static marker event under bpftrace and under pyrec.

Each tool traces a process of its own, which runs its own copy of the interpreter, because a uprobe belongs to a file.
All tools run at the same time, and the processes call `fib` in turn for a few milliseconds of processor time, so that
other load on the machine affects all alike.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pyrec/pythons"

# Calls of `fib(17)` in each round, and the entries and returns of one: fib(17) is 2 F(18) - 1 calls.
ASKED, EVENTS = 50, 2 * (2 * 2584 - 1)
FUNCTIONS = ("function__entry", "function__return")
PROGRAM = """
import sys, time
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
print("ready", flush=True)
for line in sys.stdin:
    start = time.process_time()
    fib(17)
    print(time.process_time() - start, flush=True)
"""


def interpreters():
    """The installed interpreters with function markers: the file, and the words before it on the command line."""
    debian, made = Path("/usr/bin/python3.11"), MADE / "sid/usr/bin/python3.15"
    return [(file, before) for file, before in [(debian, []), (made, [MADE / "sid.run"])] if file.exists()]


class Watched:
    """A process that reports the processor time of `fib`, and the tool that traces it."""

    def __init__(self, file, before, folder, name):
        self.image = folder / f"{file.name}-{name}"
        shutil.copy(file, self.image)
        environment = {**os.environ, "PYTHONHOME": "/usr"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*before, self.image, "-c", PROGRAM], env=environment, **pipes)
        self.process.stdout.readline()
        self.watcher = None

    def by_bpftrace(self, action):
        """Starts bpftrace. The output of its interval probe shows that it has attached."""
        probes = [f"usdt:{self.image}:python:{marker} {{ {action.format(n)}; }}" for n, marker in enumerate(FUNCTIONS)]
        command = ["bpftrace", "-e", " ".join([*probes, 'interval:ms:100 { printf("ready\\n"); }'])]
        notes = subprocess.run(["readelf", "-n", self.image], capture_output=True, text=True, check=True).stdout
        if "Name: line" in notes:
            command = [sys.executable, ROOT / "bench/raise_line_semaphore.py", self.image, *command]
        self.watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while "ready" not in self.watcher.stdout.readline():
            if self.watcher.poll() is not None:
                sys.exit("bpftrace ended")
        threading.Thread(target=lambda: [None for _ in self.watcher.stdout], daemon=True).start()

    def by_pyrec(self, pyrec, trace):
        """Starts pyrec. It creates the trace once all probes are attached."""
        options = ["-q", "-f", "--provider", "usdt", "--markers", "function", "-o", trace]
        self.watcher = subprocess.Popen([pyrec, "record", *options, "-p", str(self.process.pid)])
        while not trace.exists():
            if self.watcher.poll() is not None:
                sys.exit("pyrec ended")
            time.sleep(0.05)

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        if self.watcher:
            self.watcher.send_signal(signal.SIGINT)
            self.watcher.wait()
        self.process.stdin.close()
        self.process.wait()
        self.image.unlink()


def measure(file, before, action, pyrec, rounds, folder):
    """Nanoseconds that an event added in each round: under bpftrace with this action, under pyrec; and the trace."""
    trace = folder / "usdt_overhead.parquet"
    trace.unlink(missing_ok=True)
    _plain, theirs, ours = everyone = [Watched(file, before, folder, number) for number in range(3)]
    theirs.by_bpftrace(action)
    ours.by_pyrec(pyrec, trace)
    added = []
    for _ in range(rounds):
        asked = zip(*([watched.ask() for watched in everyone] for _ in range(ASKED)))
        alone, *others = map(statistics.median, asked)
        added.append([(seconds - alone) * 1e9 / EVENTS for seconds in others])
    for watched in everyone:
        watched.end()
    return *zip(*added), trace
