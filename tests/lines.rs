//! Hits and times of lines, beside those that others find in runs of their own.
//!
//! Hits are counted by `sys.settrace` or `sys.monitoring` (`tests/counter/lines.py`). Times are taken twice by the
//! program itself, once while it is recorded and once under line_profiler: so no two runs are compared by the clock.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::markers::{Gated, attach};
use support::venv::venv_with;
use support::{Python, Subject, in_every_way, json, number, on_every_agent, program, run, tests_of};

on_every_agent!(lines_are_hit_as_often_as_counted, without_lines_entries_and_returns_are_known);
in_every_way!(lines_take_as_long_as_the_program_says);

mod the_marker_tells_of_what_its_rules_say {
    super::tests_of!(super::the_markers_hits: usdt_3_9 marked("3.9"), usdt_3_11 marked("3.11"));
}

/// A number per line.
type Lines = BTreeMap<u64, u64>;

/// What `tests/counter/lines.py` counts.
fn counted(python: &Python, options: &[&str]) -> Vec<Vec<u64>> {
    let counter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counter/lines.py");
    let output = run(python.command().arg(counter).arg(program("lines.py")).args(options));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn hits_counted(python: &Python, options: &[&str]) -> Lines {
    counted(python, options).into_iter().map(|line| (line[0], line[1])).collect()
}

/// The lines of a program's file in `pyrec heat --json`.
fn lines<'a>(heat: &'a Value, program: &Path) -> &'a [Value] {
    assert_eq!(number(&heat["trust"], "lost"), 0);
    let files = heat["files"].as_array().expect("files are a list");
    let file = files.iter().find(|file| file["file"] == program.to_string_lossy().as_ref());
    file.expect("the program is among them")["lines"].as_array().expect("lines are a list")
}

/// A number of each line, where it is not 0.
fn numbers(lines: &[Value], key: &str) -> Lines {
    let numbers = lines.iter().map(|line| (number(line, "line"), number(line, key)));
    numbers.filter(|&(_, number)| number > 0).collect()
}

fn lines_are_hit_as_often_as_counted(subject: &Subject) {
    let counted = hits_counted(&subject.python, &[]);
    assert!(counted.len() > 250, "{counted:?}");
    let heat = subject.record(&["--lines"], &[program("lines.py")]).json("heat");
    assert_eq!(numbers(lines(&heat, &program("lines.py")), "hits"), counted);
}

fn the_markers_hits(subject: &Subject) {
    let counted = hits_counted(&subject.python, &["main", "marker"]);
    assert!(counted.len() > 200, "{counted:?}");
    let mut gated = Gated::start(&subject.python, &program("lines.py"), &[""; 0]);
    let mut attached = attach(&gated.pid(), "function,line");
    gated.go();
    assert!(gated.process.end().success() && attached.recorder.end().success());
    let heat = json(&attached.trace, "heat");
    assert_eq!(numbers(lines(&heat, &program("lines.py")), "hits"), counted);
}

fn without_lines_entries_and_returns_are_known(subject: &Subject) {
    let counted = counted(&subject.python, &["calls"]);
    let heat = subject.record(&[], &[program("lines.py")]).json("heat");
    let lines = lines(&heat, &program("lines.py"));
    assert!(lines.iter().all(|line| line["hits"].is_null()), "{lines:?}");
    for (key, at) in [("entries", 1), ("returns", 2)] {
        let mut counted: Lines =
            counted.iter().map(|line| (line[0], line[at])).filter(|line| line.1 > 0).collect();
        assert!(counted.len() > 50, "{key}: {counted:?}");
        let mut known = numbers(lines, key);
        if key == "returns" {
            let is_thrown_into = thrown_into();
            for lines in [&mut counted, &mut known] {
                lines.retain(|line, _| !is_thrown_into.contains(line));
            }
        }
        assert_eq!(known, counted, "{key}");
    }
}

/// The lines of a generator that is closed and thrown into: from 3.12 on it is told to be left from its first line.
fn thrown_into() -> std::ops::RangeInclusive<u64> {
    let source = std::fs::read_to_string(program("lines.py")).expect("the program is there");
    let line = |text: &str| source.lines().position(|line| line == text).expect("it is there") as u64 + 1;
    line("def count_up(limit):")..=line("    return limit")
}

/// Lines that take long, as the program timed them: the first one, the last one, nanoseconds, and what took so long.
type Timed = Vec<(u64, u64, u64, String)>;

fn lines_take_as_long_as_the_program_says(subject: &Subject) {
    let recording = subject.record(&["--lines"], &[program("line_times.py")]);
    let timed: Timed = serde_json::from_slice(&recording.output.stdout).expect("the program prints JSON");
    assert!(timed.len() > 15, "{timed:?}");
    let heat = recording.json("heat");
    let lines = lines(&heat, &program("line_times.py"));
    let (own, total) = (numbers(lines, "self_ns"), numbers(lines, "total_ns"));
    for (first, last, took_ns, kind) in &timed {
        let (own_ns, total_ns) = (sum(&own, *first, *last), sum(&total, *first, *last));
        let what = format!("lines {first} to {last} took {took_ns}: self {own_ns}, total {total_ns}");
        assert!(is_close(total_ns, *took_ns), "{what}");
        match kind.as_str() {
            "own" => assert!(is_close(own_ns, *took_ns), "{what}"),
            _ => assert!(own_ns < took_ns / 2, "{what}"),
        }
    }
    line_profiler_agrees(&subject.python);
}

/// So does line_profiler of its run, but for a line that is on the stack twice: it adds up what overlaps.
fn line_profiler_agrees(python: &Python) {
    let name = format!("line_profiler-{}", python.version);
    let Some(environment) = venv_with(&name, Python::find(&python.version), &["line_profiler"]) else {
        return;
    };
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/line_times.py");
    let output = run(Command::new(environment.join("bin/python")).arg(driver).arg(program("line_times.py")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).expect("it is text");
    let (timed, profiled) = output.split_once('\n').expect("it prints two lines");
    let timed: Timed = serde_json::from_str(timed).expect("the program prints JSON");
    let profiled: Vec<(u64, u64)> = serde_json::from_str(profiled).expect("so does what runs it");
    let profiled = Lines::from_iter(profiled);
    for (first, last, took_ns, _) in timed.iter().filter(|(.., kind)| kind != "again") {
        let total_ns = sum(&profiled, *first, *last);
        assert!(is_close(total_ns, *took_ns), "lines {first} to {last} took {took_ns}: {total_ns}");
    }
}

fn sum(lines: &Lines, first: u64, last: u64) -> u64 {
    lines.range(first..=last).map(|(_, time_ns)| time_ns).sum()
}

/// Two clocks that are read microseconds apart. Where somebody else runs in between, they differ by more.
fn is_close(time_ns: u64, took_ns: u64) -> bool {
    time_ns.abs_diff(took_ns) < took_ns / 20 + 5_000_000
}
