"""Measures what recording costs, against the same program alone and under other tools. `make bench` runs it.

    python3 bench/run.py [--rounds N] [--write]

Every figure is a ratio or a size. In each round every subject runs once, in turn, so that whatever else the machine does
falls on all alike; a ratio is taken within a round, and the median over the rounds is printed with the least and the
greatest. `--write` puts the tables into docs/design/performance.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import usdt_overhead

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HOME = TARGET / "bench"
PYREC = TARGET / "release" / "pyrec"
DRIVER = ROOT / "tests" / "benchmark.py"
PAGE = ROOT / "docs" / "design" / "performance.md"


# --- what is needed ---------------------------------------------------------------------------------------------


def find_python(version):
    """An interpreter of that version, from the path or from pyenv; none if there is none."""
    candidates = [shutil.which(f"python{version}")]
    candidates += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in filter(None, candidates):
        asked = subprocess.run([candidate, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        if asked.returncode == 0:
            return Path(asked.stdout.strip())
    return None


def make_venv(python):
    """A virtual environment with the other tools and the benchmarks' sources."""
    venv, packages = HOME / "venv", ["coverage", "duckdb", "pyperformance", "viztracer"]
    ready = venv / "ready"
    if not ready.exists() or ready.read_text().split() != packages:
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([python, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", *packages], check=True)
        ready.write_text(" ".join(packages))
    return venv


def make_probe(python):
    """Builds bench/probe.c for that interpreter. Returns the folder that holds the module."""
    include = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    folder = HOME / f"probe-{Path(include).name}"
    folder.mkdir(exist_ok=True)
    command = ["gcc", "-O2", "-shared", "-fPIC", f"-I{include}", ROOT / "bench/probe.c", "-o", folder / "probe.so"]
    subprocess.run(command, check=True)
    return folder


# --- how it is measured -----------------------------------------------------------------------------------------


@dataclass
class Run:
    """One run of one subject."""

    program: float  # seconds that the program's own loops took
    whole: float  # seconds until the command was done and what it wrote could be used
    peak: int  # bytes of memory that the command's largest process took


@dataclass
class Subject:
    """A way to run the program: what comes before it on the command line."""

    name: str
    before: list
    environment: dict
    runs: list

    def run(self, program, loops, folder):
        seconds = folder / "seconds"
        command = [*self.before, DRIVER, program, str(loops), seconds]
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{self.name} failed: {said.decode()}")
        self.runs.append(Run(float(seconds.read_text()), whole, usage.ru_maxrss * 1024))


def subject(name, *before, **environment):
    return Subject(name, list(before), environment, [])


def interleaved(subjects, program, loops, rounds, folder):
    for number in range(rounds):
        for each in subjects:
            say(f"{program.parent.name}/{program.name}: round {number + 1} of {rounds}, {each.name}")
            each.run(program, loops, folder)
    say("")


def say(what):
    """Shows what is being done, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{what}\033[K", end="", file=sys.stderr, flush=True)


def spread(values, form="{:.2f}"):
    """The median with the least and the greatest."""
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return f"{middle} ({low} – {high})"


def ratios(subject, plain, what):
    return [getattr(a, what) / getattr(b, what) for a, b in zip(subject.runs, plain.runs)]


def nanoseconds(subject, plain, events):
    """What one event added to the program, in each round."""
    return [(a.program - b.program) * 1e9 / events for a, b in zip(subject.runs, plain.runs)]


def table(heading, rows):
    widths = [max(len(str(row[column])) for row in [heading, *rows]) for column in range(len(heading))]
    lines = [heading, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines
    )


# --- what is measured -------------------------------------------------------------------------------------------


def pyrec_json(*arguments):
    return json.loads(subprocess.run([PYREC, *arguments, "--json"], capture_output=True, text=True, check=True).stdout)


def agent(python, rounds, folder):
    """Richards and fib on one interpreter under everything that can watch it."""
    venv = make_venv(python)
    interpreter = venv / "bin/python"
    probe = make_probe(python)
    trace = folder / "pyrec.parquet"
    texts = []
    for name, program, loops in programs(venv):
        plain = subject("plain", interpreter)
        floor = subject(
            "bare C callback, 16 bytes", interpreter, ROOT / "bench/run_with_probe.py", PYTHONPATH=str(probe)
        )
        ours = subject("pyrec record", PYREC, "record", "-q", "-f", "-o", trace, "--", interpreter)
        floor_lines = subject(
            "bare C callback with lines",
            interpreter,
            ROOT / "bench/run_with_probe.py",
            "--lines",
            PYTHONPATH=str(probe),
        )
        lines = subject(
            "pyrec record --lines",
            PYREC,
            "record",
            "-q",
            "--lines",
            "-f",
            "-o",
            folder / "lines.parquet",
            "--",
            interpreter,
        )
        coverage = subject(
            "coverage, C tracer",
            interpreter,
            "-m",
            "coverage",
            "run",
            f"--data-file={folder}/coverage",
            COVERAGE_CORE="ctrace",
        )
        profile = subject("cProfile", interpreter, "-m", "cProfile", "-o", folder / "out.pstats")
        viztracer = subject(
            "viztracer, last 1 M events", venv / "bin/viztracer", "--quiet", "-o", folder / "ring.json", "--"
        )
        everyone = [plain, floor, ours, floor_lines, lines, coverage, profile, viztracer]
        interleaved(everyone, program, loops, rounds, folder)

        info = pyrec_json("info", "-i", trace)
        events = info["markers"]["function__entry"] + info["markers"]["function__return"]
        rows = [
            [
                each.name,
                spread(ratios(each, plain, "program")),
                spread(ratios(each, plain, "whole")),
                spread(nanoseconds(each, plain, events), "{:.0f}") if each is not plain else "–",
                f"{max(run.peak for run in each.runs) / 2**20:.0f} MiB",
            ]
            for each in everyone
        ]
        texts.append(f"**{name}**, {events / 1e6:.1f} M entries and returns, {version(python)}, {rounds} rounds:\n")
        texts.append(table(["", "program ×", "whole command ×", "ns per entry or return", "peak memory"], rows) + "\n")

        texts.append(over("program under pyrec ÷ under the bare callback", ours, floor))
        texts.append(over("with lines: program under pyrec ÷ under the bare callback", lines, floor_lines))
        added = [
            a / b
            for a, b in zip(
                *([run.program - base.program for run, base in zip(s.runs, plain.runs)] for s in (ours, viztracer))
            )
        ]
        texts.append(f"- time that pyrec added to the program ÷ that viztracer added: {spread(added)}")
        texts.append(after_the_run(info, trace, ours, plain))
        if program.parent.name == "bm_richards":
            texts.append(everything_by_viztracer(venv, program, loops, events, ours, plain, folder))
    return "\n".join(texts)


def programs(venv):
    """What is run on every interpreter: name, source, loops."""
    benchmarks = next(venv.glob("lib/python*/site-packages/pyperformance/data-files/benchmarks"))
    return [
        ("Richards, 10 iterations", benchmarks / "bm_richards/run_benchmark.py", 10),
        ("fib(25), 20 times", ROOT / "bench/fib.py", 20),
    ]


def over(what, ours, floor):
    return f"- {what}: {spread([a.program / b.program for a, b in zip(ours.runs, floor.runs)])}"


def older_agent(python, venv, rounds, folder):
    """Richards and fib on an interpreter without `sys.monitoring`, beside a bare profile function in C."""
    floor = ["bare C profile function, 16 bytes", python, ROOT / "bench/run_with_probe.py"]
    pyrec = [PYREC, "record", "-q", "-f", "-o", folder / "older.parquet"]
    path = str(make_probe(python))
    rows = []
    for name, program, loops in programs(venv):
        plain = subject("plain", python)
        bare = subject(*floor, PYTHONPATH=path)
        bare_lines = subject(*floor, "--lines", PYTHONPATH=path)
        ours = subject("pyrec record", *pyrec, "--", python)
        lines = subject("pyrec record --lines", *pyrec, "--lines", "--", python)
        interleaved([plain, bare, ours, bare_lines, lines], program, loops, rounds, folder)
        pairs = [(bare, plain), (ours, plain), (ours, bare), (lines, bare_lines)]
        rows.append(
            [name, *(spread([a.program / b.program for a, b in zip(one.runs, two.runs)]) for one, two in pairs)]
        )
    heading = [
        "",
        "bare C profile function ÷ plain",
        "pyrec ÷ plain",
        "pyrec ÷ bare function",
        "with lines: pyrec ÷ bare function",
    ]
    return f"**{version(python)}**, {rounds} rounds, time of the program:\n\n{table(heading, rows)}\n"


def keeping_up(python, folder):
    """How many events a second of processor time emits, drains and writes: the slowest stage limits the others."""
    rows = []
    for threads, processes in [(1, 1), (2, 1), (4, 1), (1, 2), (1, 4)]:
        say(f"the recorder's threads: {threads} threads, {processes} processes")
        command = [PYREC, "record", "-f", "--markers", "function", "-o", folder / "calls.parquet", "--", python]
        command += [ROOT / "bench/calls.py", str(threads), str(processes), "6000000"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        recorder = {}
        while process.poll() is None:
            recorder |= thread_seconds(process.pid)
            time.sleep(0.01)
        said, emitted = process.stderr.read(), sum(map(float, process.stdout.read().split()))
        waited = float(said.partition("program waited ")[2].split()[0])
        events = pyrec_json("info", "-i", folder / "calls.parquet")["events"]
        drained, written = recorder.get("pyrec"), recorder.get("pyrec-writer")
        rates = [f"{events / seconds / 1e6:.0f} M/s" if seconds else "–" for seconds in (emitted, drained, written)]
        rows.append([f"{threads} × {processes}", *rates, f"{waited:.3f} s"])
    say("")
    heading = [
        "threads × processes",
        "program emits",
        "recorder drains and decodes",
        "writer encodes",
        "program waited",
    ]
    return f"**Empty calls in a loop**, per second of processor time, {version(python)}:\n\n{table(heading, rows)}\n"


def thread_seconds(pid):
    """Processor time of each thread by its name, as long as the process lives."""
    seconds = {}
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            fields = (thread / "stat").read_text()
            name, numbers = fields[fields.index("(") + 1 : fields.rindex(")")], fields[fields.rindex(")") + 2 :].split()
            seconds[name] = (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        pass
    return seconds


def after_the_run(info, trace, ours, plain):
    """Size, the time to a usable file, the time of a flame graph."""
    flames = []
    for run in ours.runs:
        start = time.perf_counter()
        subprocess.run([PYREC, "flame", "-i", trace, trace.with_suffix(".svg")], check=True, capture_output=True)
        flames.append((time.perf_counter() - start) / run.whole)
    after = [(a.whole - a.program) - (b.whole - b.program) for a, b in zip(ours.runs, plain.runs)]
    return "\n".join(
        [
            f"- bytes per event: {trace.stat().st_size / info['events']:.2f} ({info['events'] / 1e6:.1f} M rows)",
            f"- time of `pyrec flame` ÷ whole time of the recorded run: {spread(flames)}",
            f"- start and finish of pyrec together ÷ the plain run: {spread([t / p.whole for t, p in zip(after, plain.runs)])}",
            f"- lost: {info['lost']}",
            "",
        ]
    )


def everything_by_viztracer(venv, program, loops, events, ours, plain, folder):
    """viztracer with room for every event, once: it takes minutes."""
    say("viztracer, everything")
    out = folder / "all.json"
    room = str(events // 2 + 1_000_000)
    full = subject(
        "viztracer, everything", venv / "bin/viztracer", "--quiet", "--tracer_entries", room, "-o", out, "--"
    )
    full.run(program, loops, folder)
    say("")
    run, mine = full.runs[0], statistics.median(run.whole for run in ours.runs)
    saving, ending = (statistics.median(run.whole - run.program for run in each.runs) for each in (full, ours))
    size = out.stat().st_size / (events / 2)
    out.unlink()
    return "\n".join(
        [
            "- viztracer with room for every call, one run: "
            f"program {run.program / plain.runs[0].program:.2f} ×, whole command {run.whole / plain.runs[0].whole:.0f} ×"
            f" ({run.whole / mine:.0f} × pyrec's), {size:.0f} bytes per call, peak memory {run.peak / 2**30:.1f} GiB",
            f"- from the program's end, start-up included, until the trace is whole: 1/{saving / ending:.0f} of viztracer's time",
            "",
        ]
    )


def usdt(file, before, rounds, folder):
    """What an event of the static markers costs, in the program's processor time."""
    rows = []
    for name, action in [
        ("bpftrace count() on both", "@[{}] = count()"),
        ("bpftrace with both names", 'printf("%s %s\\n", str(arg0), str(arg1))'),
    ]:
        say(f"{file.name}, by the static markers, beside {name}")
        theirs, ours, trace = usdt_overhead.measure(file, before, action, PYREC, rounds, folder)
        ratios = [mine / their for mine, their in zip(ours, theirs)]
        rows.append([name, spread(theirs, "{:.0f}"), spread(ours, "{:.0f}"), spread(ratios)])
    say("")
    heading = ["ns per entry or return", "its own", "pyrec record --provider usdt", "pyrec ÷ it"]
    times = f"{rounds} rounds of {usdt_overhead.ASKED} times fib(17), processor time"
    lost = f"- lost: {pyrec_json('info', '-i', trace)['lost']}\n"
    return "\n".join(
        [f"**The static markers**, {version(*before, file)}, {times}:\n", table(heading, rows) + "\n", lost]
    )


def version(*python):
    return subprocess.run([*python, "-V"], capture_output=True, text=True, check=True).stdout.strip()


def main():
    arguments = argparse.ArgumentParser(description="Measure what recording costs.")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--write", action="store_true", help="put the tables into docs/design/performance.md")
    options = arguments.parse_args()

    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "pyrec"], cwd=ROOT, check=True)
    HOME.mkdir(parents=True, exist_ok=True)
    sections = []
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        python = find_python("3.13") or find_python("3.12")
        if python:
            sections.append(agent(python, options.rounds, Path(folder)))
            sections.append(keeping_up(python, Path(folder)))
        else:
            print("skipped: the agent's figures, since there is no Python 3.12 or 3.13")
        for older in filter(None, map(find_python, ["3.11", "3.8"] if python else [])):
            sections.append(older_agent(older, make_venv(python), options.rounds, Path(folder)))
        pythons = usdt_overhead.interpreters() if os.geteuid() == 0 and shutil.which("bpftrace") else []
        sections += [usdt(file, before, options.rounds, Path(folder)) for file, before in pythons]
        if len(pythons) < 2:
            print(
                "skipped: figures of the static markers, which need root, bpftrace, Debian's python3.11, scripts/pythons"
            )
    figures = "\n".join(sections)
    print(figures)
    if options.write:
        begin, end = "<!-- figures -->\n", "<!-- end of figures -->"
        before, _, rest = PAGE.read_text().partition(begin)
        PAGE.write_text(before + begin + "\n" + figures + "\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
