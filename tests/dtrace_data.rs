//! CPython's own test data for DTrace: what its scripts print there, the trace says too.
//!
//! The programs and what is expected of them are in any full Python's standard library, `test/dtracedata`.

#![cfg(feature = "record")]

mod support;

use std::path::{Path, PathBuf};

use support::{Python, Subject, on_every_python, run, skipped};

on_every_python!(call_stack, call_stack_optimized, gc, line);

/// `call_stack.d`: entries and returns inside calls of `start`, indented.
fn call_stack(subject: &Subject) {
    compare(subject, &[], "call_stack", &[], &["--root", "start"]);
}

/// The same when asserts and docstrings are compiled away, as in CPython's own test.
fn call_stack_optimized(subject: &Subject) {
    compare(subject, &["-OO"], "call_stack", &[], &["--root", "start"]);
}

/// `gc.d`: collections inside calls of `start`.
fn gc(subject: &Subject) {
    compare(subject, &[], "gc", &["--markers", "function,gc"], &["--root", "start", "--markers", "gc"]);
}

/// `line.d`: lines of `test_line`.
fn line(subject: &Subject) {
    compare(subject, &[], "line", &["--lines"], &["--include", "test_line", "--markers", "line"]);
}

fn compare(subject: &Subject, flags: &[&str], name: &str, record: &[&str], tree: &[&str]) {
    let Some(data) = data() else { return };
    let mut arguments: Vec<PathBuf> = flags.iter().map(PathBuf::from).collect();
    arguments.push(data.join(format!("{name}.py")));
    let recording = subject.record(record, &arguments);
    let mut options = vec!["--style", "dtrace"];
    options.extend(tree);
    let expected =
        std::fs::read_to_string(data.join(format!("{name}.d.expected"))).expect("it is beside the program");
    assert_eq!(
        normalized(&recording.report("tree", &options)),
        expected.trim_end(),
        "{:?}",
        recording.said()
    );
}

/// As `normalize_trace_output` of CPython's `test_dtrace.py` does: rows in the order of their times, without them.
fn normalized(output: &str) -> String {
    let rows = output.lines().filter(|row| !row.is_empty() && !row.starts_with('#'));
    let mut rows: Vec<(u64, &str)> = rows
        .map(|row| {
            let (time, rest) = row.split_once('\t').unwrap_or_else(|| panic!("no tab in {row:?}"));
            (time.parse().unwrap_or_else(|_| panic!("no time in {row:?}")), rest)
        })
        .collect();
    rows.sort_by_key(|&(time, _)| time);
    rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>().join("\n")
}

/// The files have been the same in every version, and Debian leaves them out, so any Python's will do.
fn data() -> Option<PathBuf> {
    let found = Python::all().find_map(|python| {
        let asked =
            run(python.command().args(["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]));
        let library = String::from_utf8(asked.stdout).ok()?;
        let data = Path::new(library.trim()).join("test/dtracedata");
        data.join("call_stack.d.expected").exists().then_some(data)
    });
    if found.is_none() {
        skipped("no Python here has test/dtracedata");
    }
    found
}
