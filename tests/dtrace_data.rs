//! CPython's test data for DTrace: the `dtrace` style of `pyrec tree` prints the output that
//! CPython's tests expect.
//!
//! The programs and the expected outputs are in the standard library, in `test/dtracedata`.

#![cfg(feature = "record")]

mod support;

use std::path::{Path, PathBuf};

use support::{Python, Setup, on_every_python, skip};

on_every_python!(call_stack, call_stack_optimized, gc, line);

/// `call_stack.d`: entries and returns inside calls of `start`, indented.
fn call_stack(setup: &Setup) {
    compare(setup, &[], "call_stack", &[], &["--root", "start"]);
}

/// The same without asserts and docstrings, as in CPython's test.
fn call_stack_optimized(setup: &Setup) {
    compare(setup, &["-OO"], "call_stack", &[], &["--root", "start"]);
}

/// `gc.d`: collections inside calls of `start`.
fn gc(setup: &Setup) {
    compare(setup, &[], "gc", &["--markers", "function,gc"], &["--root", "start", "--markers", "gc"]);
}

/// `line.d`: lines of `test_line`.
fn line(setup: &Setup) {
    compare(setup, &[], "line", &["--lines"], &["--include", "test_line", "--markers", "line"]);
}

fn compare(setup: &Setup, flags: &[&str], name: &str, record: &[&str], tree: &[&str]) {
    let Some(data) = test_data() else { return };
    let mut arguments: Vec<PathBuf> = flags.iter().map(PathBuf::from).collect();
    arguments.push(data.join(format!("{name}.py")));
    let recording = setup.record(record, &arguments);
    let mut options = vec!["--style", "dtrace"];
    options.extend(tree);
    let expected =
        std::fs::read_to_string(data.join(format!("{name}.d.expected"))).expect("the file is readable");
    assert_eq!(
        normalized(&recording.report("tree", &options)),
        expected.trim_end(),
        "{:?}",
        recording.stderr()
    );
}

/// Sorts the rows by their times, and removes the times, as `normalize_trace_output` of CPython's
/// `test_dtrace.py` does.
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

/// The directory with the test data, of any Python: the files are the same in every version, and
/// Debian omits them.
fn test_data() -> Option<PathBuf> {
    let directory = Python::all().find_map(|python| {
        let library = python.evaluate("__import__('sysconfig').get_path('stdlib')");
        let data = Path::new(&library).join("test/dtracedata");
        data.join("call_stack.d.expected").exists().then_some(data)
    });
    if directory.is_none() {
        skip("no Python with test/dtracedata");
    }
    directory
}
