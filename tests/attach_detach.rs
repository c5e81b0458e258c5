//! Recorders by static markers attach to a running program and detach again: the program is not
//! affected, and each hit of a marker is a row or a counted loss.

#![cfg(feature = "record")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pyrec_schema::{Code, CodeId, Marker};
use support::static_markers::{Attached, attach, semaphores};
use support::trace_rows::{events, open};
use support::{
    Background, Setup, has_program, on_every_function_marker, program, run, signal, skip, wait_for,
};

on_every_function_marker!(attaching_and_detaching_five_times_leaves_no_trace_in_the_kernel);

fn attaching_and_detaching_five_times_leaves_no_trace_in_the_kernel(setup: &Setup) {
    attach_and_detach(setup, 5, Duration::from_millis(300));
}

#[test]
#[ignore = "it takes minutes; `make soak` runs it"]
fn attaching_and_detaching_fifty_times_leaves_no_trace_in_the_kernel() {
    for version in ["3.9", "3.11", "3.15"] {
        Setup::usdt_of(version).iter().for_each(|setup| attach_and_detach(setup, 50, Duration::from_secs(1)));
    }
}

/// Attaches `rounds` recorders, one after the other, each for `time`. Every second recorder is
/// killed.
fn attach_and_detach(setup: &Setup, rounds: usize, time: Duration) {
    if !has_program("bpftool") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let output = folder.path().join("output");
    let file = |path: &Path| Stdio::from(File::create(path).expect("the file is created"));
    let mut command = setup.python.command();
    command.arg(program("steady.py")).stdout(file(&output)).stderr(file(&folder.path().join("errors")));
    let mut python = Background::start(&mut command);
    let lines = || fs::read_to_string(&output).expect("the file is readable").lines().count();
    wait_for("the program", || (lines() > 0).then_some(()));
    if enabled_markers(&python) > 0 {
        return skip("another process is attached to the markers of this Python");
    }
    let descriptors = descriptors(&python.pid());

    for end in ["INT", "KILL"].into_iter().cycle().take(rounds) {
        let Attached { mut recorder, trace, folder: _traces } = attach(&python.pid(), "function");
        let objects = Objects::of(&recorder.pid());
        assert!(objects.0.len() > 3 && enabled_markers(&python) > 1, "{objects:?}");
        std::thread::sleep(time);
        signal(&recorder.pid(), end);
        assert_eq!(recorder.wait().success(), end == "INT");

        wait_for("the kernel to remove the BPF objects", || objects.are_gone().then_some(()));
        wait_for("the semaphores to be lowered", || (enabled_markers(&python) == 0).then_some(()));
        assert_eq!(self::descriptors(&python.pid()), descriptors);
        assert_rows_and_losses_equal_hits(&trace, end == "INT");
        let lines_then = lines();
        wait_for("further output of the program", || (lines() > lines_then).then_some(()));
    }
    assert!(python.exit_status().is_none(), "the program ended");
    drop(python);
    assert_eq!(fs::read_to_string(folder.path().join("errors")).expect("the file is readable"), "");
    let output = fs::read_to_string(output).expect("the file is readable");
    for (line, number) in output.lines().zip(1u64..) {
        let calls = 20_000 * number;
        assert_eq!(line, format!("{} {}", 20 * number, calls * (calls - 1) / 2));
    }
}

/// The number of markers of the process whose semaphore is raised.
fn enabled_markers(process: &Background) -> usize {
    semaphores(&process.pid()).values().filter(|&&count| count > 0).count()
}

fn descriptors(pid: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the directory is readable").count()
}

/// The BPF objects that a process has in the kernel, by kind and number.
#[derive(Debug)]
struct Objects(BTreeSet<(&'static str, u64)>);

impl Objects {
    const KINDS: [&str; 3] = ["map", "prog", "link"];

    fn of(pid: &str) -> Objects {
        let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the directory is readable").flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        let ids = texts.flat_map(|text| {
            let id = |kind: &str| {
                text.split_once(&format!("{kind}_id:"))?.1.split_whitespace().next()?.parse().ok()
            };
            Objects::KINDS.map(|kind| id(kind).map(|id| (kind, id)))
        });
        Objects(ids.flatten().collect())
    }

    fn are_gone(&self) -> bool {
        Objects::KINDS.iter().all(|kind| {
            let output = run(Command::new("bpftool").args(["--json", kind, "list"]));
            let objects: serde_json::Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
            let mut ids =
                objects.as_array().expect("an array").iter().filter_map(|object| object["id"].as_u64());
            ids.all(|id| !self.0.contains(&(kind, id)))
        })
    }
}

/// Asserts that rows and lost events between the first and the last mark are as many as the calls
/// between them. The program calls `thousand_K` after each thousand rounds. A recorder that was
/// killed may have written no row.
fn assert_rows_and_losses_equal_hits(trace: &Path, ended_normally: bool) {
    let trace = open(trace);
    let mut marks = HashMap::<CodeId, Option<i64>>::new();
    let (mut first, mut last, mut hits) = (None, None, 0);
    for event in events(&trace) {
        let mark = *marks.entry(event.code).or_insert_with(|| mark(&trace.names().code_str(event.code)));
        match (event.marker, mark) {
            (Marker::Lost, _) => hits += event.value.expect("a number"),
            (Marker::FunctionEntry, Some(number)) => {
                first = first.or(Some((number, hits)));
                last = Some((number, hits));
                hits += 1;
            }
            (Marker::FunctionEntry | Marker::FunctionReturn, _) => hits += 1,
            _ => {}
        }
    }
    let (Some((first, before)), Some((last, after))) = (first, last) else {
        return assert!(!ended_normally, "nothing was recorded");
    };
    assert!(last > first || !ended_normally, "{first} {last}");
    // A round has 1,000 calls of `step`, one of `named`, and one of the function that `named` made.
    assert_eq!(after - before, (last - first) * 2 * 1002, "from {first} to {last}");
}

/// The K of a function `thousand_K`.
fn mark(code: &str) -> Option<i64> {
    Code::parse(code).qualname.strip_prefix("thousand_")?.parse().ok()
}
