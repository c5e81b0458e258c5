"""Measures what the journal costs that lets a recording outlive its recorder.

    python3 bench/journal.py [--rounds N]

In each round a program is recorded twice, with the journal and without: there is no option for that, so here somebody
takes the journals' names away before the recorder makes them. Times are those of the processor, so that whatever else
the machine does counts little.
"""

import argparse
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYREC = Path(os.environ.get("PYREC", ROOT / "target" / "release" / "pyrec"))

PROGRAM = """
import time
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
begun = time.process_time()
for _ in range(40): fib(25)
print(time.process_time() - begun, time.process_time())
"""

# Entries and returns.
EVENTS = 40 * 2 * 242_785

# More than there are checkpoints.
JOURNALS = 500


def session_of(pid):
    """The directory of that recorder, as soon as there is one."""
    while True:
        for lock in glob.glob("/dev/shm/pyrec-*/lock"):
            try:
                if Path(lock).read_text() == str(pid):
                    return Path(lock).parent
            except OSError:
                pass
        time.sleep(0.001)


def take_names(pid):
    session = session_of(pid)
    for number in range(2, JOURNALS):
        (session / f"journal-{number}").touch()


def record(has_journal):
    """Processor time of the program's loop and of the recorder, nanoseconds per event."""
    with tempfile.TemporaryDirectory() as folder:
        words = [PYREC, "record", "-q", "-o", "x.parquet", "--", sys.executable, "-c", PROGRAM]
        recorder = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
        if not has_journal:
            threading.Thread(target=take_names, args=[recorder.pid], daemon=True).start()
        loop, program = map(float, recorder.stdout.read().split())
        _, status, usage = os.wait4(recorder.pid, 0)
        recorder.returncode = os.waitstatus_to_exitcode(status)
        assert recorder.returncode == 0, recorder.returncode
        # What is waited for is counted, too.
        both = usage.ru_utime + usage.ru_stime
        return loop * 1e9 / EVENTS, (both - program) * 1e9 / EVENTS


def shown(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} – {max(values):.2f})"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=9)
    rounds = [(record(True), record(False)) for _ in range(options.parse_args().rounds)]
    for at, name in enumerate(["program", "recorder"]):
        kept, without = ([each[which][at] for each in rounds] for which in (0, 1))
        print(f"{name}: {shown(kept)} ns per event with the journal, {shown(without)} without,", end=" ")
        print(f"{shown([a / b for a, b in zip(kept, without)])} times")


main()
