//! Recorded hits and times of lines equal those of independent measurements.
//!
//! Hits are counted by `sys.settrace` or `sys.monitoring` in a separate run
//! (`tests/counter/lines.py`). Times are measured by the program itself, in the recorded run and in
//! a run under line_profiler, so times of two runs are never compared.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::static_markers::{Gated, attach};
use support::venv::venv_with;
use support::{
    Python, Setup, consumer, in_every_way, json, number, on_every_agent, program, run, stderr, stdout,
    tests_of,
};

on_every_agent!(hits_equal_those_of_the_counter, without_line_events_entries_and_returns_have_their_lines);
in_every_way!(times_of_lines_are_those_that_the_program_measures);

mod hits_of_the_static_marker_equal_those_of_the_counter {
    super::tests_of!(super::hits_of_the_static_marker: usdt_3_9 usdt_of("3.9"), usdt_3_11 usdt_of("3.11"));
}

/// A value for each line.
type ByLine = BTreeMap<u64, u64>;

/// The output of `tests/counter/lines.py`: for each line its number and its counts.
fn counted(python: &Python, options: &[&str]) -> Vec<Vec<u64>> {
    let counter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counter/lines.py");
    let output = run(python.command().arg(counter).arg(program("lines.py")).args(options));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("valid JSON")
}

fn counted_hits(python: &Python, options: &[&str]) -> ByLine {
    counted(python, options).into_iter().map(|line| (line[0], line[1])).collect()
}

/// The lines of the program in the output of `pyrec heat --json`.
fn lines<'a>(heat: &'a Value, program: &Path) -> &'a [Value] {
    assert_eq!(number(&heat["trust"], "lost"), 0);
    let files = heat["files"].as_array().expect("an array");
    let file = files.iter().find(|file| file["file"] == program.to_string_lossy().as_ref());
    file.expect("the program is in the report")["lines"].as_array().expect("an array")
}

/// A column of the lines, without zeros.
fn column(lines: &[Value], key: &str) -> ByLine {
    let values = lines.iter().map(|line| (number(line, "line"), number(line, key)));
    values.filter(|&(_, value)| value > 0).collect()
}

fn hits_equal_those_of_the_counter(setup: &Setup) {
    let counted = counted_hits(&setup.python, &[]);
    assert!(counted.len() > 250, "{counted:?}");
    let heat = setup.record(&["--lines"], &[program("lines.py")]).json("heat");
    assert_eq!(column(lines(&heat, &program("lines.py")), "hits"), counted);
}

fn hits_of_the_static_marker(setup: &Setup) {
    let counted = counted_hits(&setup.python, &["main", "marker"]);
    assert!(counted.len() > 200, "{counted:?}");
    let mut gated = Gated::start(&setup.python, &program("lines.py"), &[""; 0]);
    let mut attached = attach(&gated.pid(), "function,line");
    gated.go();
    assert!(gated.process.wait().success() && attached.recorder.wait().success());
    let heat = json(&attached.trace, "heat");
    assert_eq!(column(lines(&heat, &program("lines.py")), "hits"), counted);
}

fn without_line_events_entries_and_returns_have_their_lines(setup: &Setup) {
    let counted = counted(&setup.python, &["calls"]);
    let heat = setup.record(&[], &[program("lines.py")]).json("heat");
    let lines = lines(&heat, &program("lines.py"));
    assert!(lines.iter().all(|line| line["hits"].is_null()), "{lines:?}");
    for (key, at) in [("entries", 1), ("returns", 2)] {
        let mut expected: ByLine =
            counted.iter().map(|line| (line[0], line[at])).filter(|line| line.1 > 0).collect();
        assert!(expected.len() > 50, "{key}: {expected:?}");
        let mut recorded = column(lines, key);
        if key == "returns" {
            let excluded = lines_of_count_up();
            for lines in [&mut expected, &mut recorded] {
                lines.retain(|line, _| !excluded.contains(line));
            }
        }
        assert_eq!(recorded, expected, "{key}");
    }
}

/// The lines of a generator that is closed and thrown into. Since CPython 3.12, its exits are
/// reported on its first line.
fn lines_of_count_up() -> std::ops::RangeInclusive<u64> {
    let source = std::fs::read_to_string(program("lines.py")).expect("the file is readable");
    let line = |text: &str| source.lines().position(|line| line == text).expect("the line exists") as u64 + 1;
    line("def count_up(limit):")..=line("    return limit")
}

/// Ranges of lines that the program timed: first line, last line, nanoseconds, and kind.
type Timed = Vec<(u64, u64, u64, String)>;

fn times_of_lines_are_those_that_the_program_measures(setup: &Setup) {
    let recording = setup.record(&["--lines"], &[program("line_times.py")]);
    let timed: Timed = serde_json::from_slice(&recording.output.stdout).expect("valid JSON");
    assert!(timed.len() > 15, "{timed:?}");
    let heat = recording.json("heat");
    let lines = lines(&heat, &program("line_times.py"));
    let (self_times, total_times) = (column(lines, "self_ns"), column(lines, "total_ns"));
    for (first, last, took_ns, kind) in &timed {
        let (self_ns, total_ns) = (sum(&self_times, *first, *last), sum(&total_times, *first, *last));
        let context = format!("lines {first} to {last} took {took_ns}: self {self_ns}, total {total_ns}");
        assert!(is_close(total_ns, *took_ns), "{context}");
        match kind.as_str() {
            "own" => assert!(is_close(self_ns, *took_ns), "{context}"),
            _ => assert!(self_ns < took_ns / 2, "{context}"),
        }
    }
    compare_with_line_profiler(&setup.python);
}

/// Compares times of line_profiler with those that the program measures in the same run. Leaves out
/// lines that are on the stack twice, whose overlapping times line_profiler adds.
fn compare_with_line_profiler(python: &Python) {
    let name = format!("line_profiler-{}", python.version);
    let Some(environment) = venv_with(&name, Python::find(&python.version), &["line_profiler"]) else {
        return;
    };
    let driver = consumer("line_times.py");
    let output = run(Command::new(environment.join("bin/python")).arg(driver).arg(program("line_times.py")));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = stdout(&output);
    let (timed, profiled) = output.split_once('\n').expect("the script prints two lines");
    let timed: Timed = serde_json::from_str(timed).expect("valid JSON");
    let profiled: Vec<(u64, u64)> = serde_json::from_str(profiled).expect("valid JSON");
    let profiled = ByLine::from_iter(profiled);
    for (first, last, took_ns, _) in timed.iter().filter(|(.., kind)| kind != "again") {
        let total_ns = sum(&profiled, *first, *last);
        assert!(is_close(total_ns, *took_ns), "lines {first} to {last} took {took_ns}: {total_ns}");
    }
}

fn sum(lines: &ByLine, first: u64, last: u64) -> u64 {
    lines.range(first..=last).map(|(_, time_ns)| time_ns).sum()
}

/// Whether two measurements of the same code agree. They read the clock microseconds apart, or more
/// if another process is scheduled between.
fn is_close(time_ns: u64, took_ns: u64) -> bool {
    time_ns.abs_diff(took_ns) < took_ns / 20 + 5_000_000
}
