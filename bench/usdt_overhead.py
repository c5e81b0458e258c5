"""What an event of the static markers costs a program that bpftrace watches, or pyrec.

Each of them watches a process of its own, which runs its own copy of the interpreter: a probe sits in a file, and so none
is in another's way. All watch at once, and the processes are asked in turn to call `fib` for a few milliseconds of
processor time, so that whatever else the machine does falls on all alike.
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

# How often each is asked in a round, and its entries and returns: fib(17) is 2 F(18) - 1 calls.
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
    """Those with markers of functions that are here: the file, and what comes before it on the command line."""
    debian, made = Path("/usr/bin/python3.11"), MADE / "sid/usr/bin/python3.15"
    return [(file, before) for file, before in [(debian, []), (made, [MADE / "sid.run"])] if file.exists()]


class Watched:
    """A process that says what fib cost it, and whoever watches it."""

    def __init__(self, file, before, folder, name):
        self.image = folder / f"{file.name}-{name}"
        shutil.copy(file, self.image)
        environment = {**os.environ, "PYTHONHOME": "/usr"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*before, self.image, "-c", PROGRAM], env=environment, **pipes)
        self.process.stdout.readline()
        self.watcher = None

    def by_bpftrace(self, action):
        """What bpftrace prints by the clock it prints once it watches."""
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
        """The trace is begun when all is attached."""
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
