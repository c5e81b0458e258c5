"""Measures what reading a trace costs, beside merely decoding it and beside other tools. `make bench` runs it.

    python3 bench/analyze.py [--rounds N] [--write]

The trace is Richards, a hundred million events of it. In each round every subject runs once, in turn; a ratio is taken
within a round, and the median over the rounds is printed with the least and the greatest. What runs on one core is
measured in seconds of that core, which others on the machine change little; the rest by the clock. `--write` puts the
table into docs/design/performance.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from run import DRIVER, HOME, PAGE, PYREC, ROOT, find_python, make_venv, pyrec_json, say, spread, table, version

DECODE = PYREC.parent / "examples" / "rebuild"
CORES = sorted(os.sched_getaffinity(0))

# What DuckDB is asked for: less than `pyrec stats` says.
COUNT = """
import duckdb, sys
duckdb.execute(f"set threads = {sys.argv[2]}")
calls = "select code, count(*) from read_parquet(?) where marker = 'function__entry' group by code"
print(len(duckdb.execute(calls, [sys.argv[1]]).fetchall()))
"""


@dataclass
class Reader:
    """A command that reads a trace, on that many cores."""

    name: str
    cores: int
    command: list
    seconds: list = field(default_factory=list)
    peak: int = 0

    def run(self):
        cores = CORES[: self.cores]
        start = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, self.command)), stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, cores)
        )
        _, status, usage = os.wait4(process.pid, 0)
        by_the_clock = time.perf_counter() - start
        self.seconds.append(usage.ru_utime + usage.ru_stime if self.cores == 1 else by_the_clock)
        self.peak = max(self.peak, usage.ru_maxrss * 1024)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{self.name} failed")


def times(slower, faster):
    """How many times as fast, in each round."""
    return spread([a / b for a, b in zip(slower.seconds, faster.seconds)])


def record(python, source, loops, trace):
    say(f"recording Richards, {loops} iterations")
    command = [PYREC, "record", "-q", "-f", "-o", trace, "--", python, DRIVER, source, str(loops)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return pyrec_json("info", "-i", trace)["events"]


def readers(python, traces):
    """Each way to read the long trace on one core and on two, and the short one for its memory."""
    long, short = traces["long"], traces["short"]
    all_readers = {"short": Reader("pyrec stats, a tenth of the trace", 1, [PYREC, "stats", "-i", short])}
    for cores in range(1, min(len(CORES), 2) + 1):
        all_readers["stats", cores] = Reader("pyrec stats", cores, [PYREC, "stats", "-i", long])
        all_readers["duckdb", cores] = Reader("DuckDB counts calls", cores, [python, "-c", COUNT, long, cores])
    all_readers["decode"] = Reader("decoding alone", 1, [DECODE, long, "decode"])
    return all_readers


def viztracer(venv, source, folder):
    """Seconds that viztracer takes for its report of one iteration, and the calls in it."""
    say("viztracer's report")
    saved, report, trace = folder / "viztracer.json", folder / "viztracer.html", folder / "one.parquet"
    command = [venv / "bin/viztracer", "--quiet", "--tracer_entries", "2000000", "-o", saved, "--", DRIVER, source, "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    reader = Reader("viztracer", len(CORES), [venv / "bin/viztracer", "--combine", saved, "-o", report])
    reader.run()
    events = record(venv / "bin/python", source, 1, trace)
    return reader, events


def part(python, rounds, folder):
    """Two runs of ten million calls, one of which makes one call more: how long it takes to find."""
    calls, place = 10_000_000, 7_654_321
    old, new = folder / "old.parquet", folder / "new.parquet"
    for trace, arguments in (old, [calls]), (new, [calls, place]):
        say("recording ten million calls")
        command = [
            PYREC,
            "record",
            "-q",
            "-f",
            "-o",
            trace,
            "--",
            python,
            ROOT / "bench/irregular_calls.py",
            *map(str, arguments),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = subprocess.run(
        [PYREC, "diff", "--divergence", "--json", "--root", "main", old, new], check=True, capture_output=True
    )
    found = json.loads(found.stdout)
    (first,) = found["divergences"]
    if [call["qualname"] for call in first["new"]["only"]] != ["extra"] or found["places"] != 1:
        sys.exit("the call was not found")
    cores = min(len(CORES), 2)
    rebuilds = [Reader("rebuild", cores, [PYREC, "stats", "-i", trace]) for trace in (old, new)]
    diff = Reader("diff", cores, [PYREC, "diff", "--divergence", old, new])
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}, where two runs part")
        for each in *rebuilds, diff:
            each.run()
    say("")
    both = [old + new for old, new in zip(*(each.seconds for each in rebuilds))]
    ratio = spread([a / b for a, b in zip(diff.seconds, both)])
    peaks = f"{diff.peak / 2**20:.0f} MiB, of `pyrec stats` {rebuilds[0].peak / 2**20:.0f} MiB"
    return (
        f"**Where two runs part**, ten million calls each and one more, found after {first['new']['number']:,} calls:\n\n"
        f"- time of `pyrec diff --divergence` ÷ that of rebuilding both trees, {cores} cores: {ratio}\n"
        f"- its peak memory: {peaks}\n"
    )


def measure(python, rounds, folder):
    venv = make_venv(python)
    source = next(
        venv.glob("lib/python*/site-packages/pyperformance/data-files/benchmarks/bm_richards/run_benchmark.py")
    )
    traces = {"long": folder / "long.parquet", "short": folder / "short.parquet"}
    events = record(venv / "bin/python", source, 104, traces["long"])
    record(venv / "bin/python", source, 10, traces["short"])
    subjects = readers(venv / "bin/python", traces)
    for number in range(rounds):
        for each in subjects.values():
            say(f"round {number + 1} of {rounds}, {each.name}")
            each.run()
    report, report_events = viztracer(venv, source, folder)
    say("")

    rows = [
        [
            each.name,
            each.cores,
            spread([events / 1e6 / s for s in each.seconds], "{:.0f}"),
            f"{each.peak / 2**20:.0f} MiB",
        ]
        for key, each in subjects.items()
        if key != "short"
    ]
    per_second = report_events / 1e6 / report.seconds[0]
    rows.append(
        ["viztracer's report (of a hundredth)", report.cores, f"{per_second:.2f}", f"{report.peak / 2**20:.0f} MiB"]
    )
    one, short, decode = subjects["stats", 1], subjects["short"], subjects["decode"]
    lines = [
        f"**Richards, 104 iterations**, {events / 1e6:.0f} M events, {version(python)}, {rounds} rounds:\n",
        table(["", "cores", "M events per second", "peak memory"], rows) + "\n",
        f"- speed of `pyrec stats` ÷ that of decoding alone, one core: {times(decode, one)}",
        f"- peak memory for the whole trace ÷ for a tenth of it: {one.peak / short.peak:.2f}",
        f"- DuckDB's time ÷ that of `pyrec stats`, one core: {times(subjects['duckdb', 1], one)}",
    ]
    if ("stats", 2) in subjects:
        two = subjects["stats", 2]
        lines.append(f"- DuckDB's time ÷ that of `pyrec stats`, two cores: {times(subjects['duckdb', 2], two)}")
        lines.append(f"- `pyrec stats` on two cores ÷ on one: {times(one, two)}")
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser(description="Measure what reading a trace costs.")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--write", action="store_true", help="put the table into docs/design/performance.md")
    options = arguments.parse_args()
    build = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--workspace",
        "--bin",
        "pyrec",
        "--example",
        "rebuild",
    ]
    subprocess.run(build, cwd=ROOT, check=True)
    HOME.mkdir(parents=True, exist_ok=True)
    python = find_python("3.13") or find_python("3.12")
    if not python:
        print("skipped: the analyzer's figures, since there is no Python 3.12 or 3.13")
        return
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        figures = measure(python, options.rounds, Path(folder))
        figures += "\n" + part(python, options.rounds, Path(folder))
    print(figures)
    if options.write:
        begin, end = "<!-- reading -->\n", "<!-- end of reading -->"
        before, _, rest = PAGE.read_text().partition(begin)
        PAGE.write_text(before + begin + "\n" + figures + "\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
