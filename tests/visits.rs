//! Recorders come and go while a program runs: it does not notice, and every hit is a row or a lost one.

#![cfg(feature = "record")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pyrec_schema::{Code, CodeId, Marker};
use support::markers::{Attached, attach, semaphores};
use support::rows::{events, open};
use support::{Background, Subject, on_every_function_marker, program, run, signal, skipped, wait_for};

on_every_function_marker!(attached_to_and_let_go);

fn attached_to_and_let_go(subject: &Subject) {
    rounds(subject, 5, Duration::from_millis(300));
}

#[test]
#[ignore = "it takes minutes; `make soak` runs it"]
fn attached_to_and_let_go_fifty_times() {
    for version in ["3.9", "3.11", "3.15"] {
        Subject::marked(version).iter().for_each(|subject| rounds(subject, 50, Duration::from_secs(1)));
    }
}

/// Attaches and lets go, so many times, after recording for so long. Every second recorder is killed.
fn rounds(subject: &Subject, rounds: usize, time: Duration) {
    if Command::new("bpftool").arg("version").output().is_err() {
        return skipped("there is no bpftool");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let said = folder.path().join("said");
    let file = |path: &Path| Stdio::from(File::create(path).expect("the folder is ours"));
    let mut command = subject.python.command();
    command.arg(program("steady.py")).stdout(file(&said)).stderr(file(&folder.path().join("errors")));
    let mut python = Background::start(&mut command);
    let lines = || fs::read_to_string(&said).expect("the file is ours").lines().count();
    wait_for("the program", || (lines() > 0).then_some(()));
    if raised(&python) > 0 {
        return skipped("somebody else is attached to this Python");
    }
    let descriptors = descriptors(&python.pid());

    for end in ["INT", "KILL"].into_iter().cycle().take(rounds) {
        let Attached { mut recorder, trace, folder: _traces } = attach(&python.pid(), "function");
        let objects = Objects::of(&recorder.pid());
        assert!(objects.0.len() > 3 && raised(&python) > 1, "{objects:?}");
        std::thread::sleep(time);
        signal(&recorder.pid(), end);
        assert_eq!(recorder.end().success(), end == "INT");

        wait_for("the kernel to take everything away", || objects.are_gone().then_some(()));
        wait_for("the semaphores to fall", || (raised(&python) == 0).then_some(()));
        assert_eq!(self::descriptors(&python.pid()), descriptors);
        assert_all_is_accounted_for(&trace, end == "INT");
        let lines_then = lines();
        wait_for("the program, which goes on", || (lines() > lines_then).then_some(()));
    }
    assert!(python.0.try_wait().expect("it can be asked").is_none(), "it runs");
    drop(python);
    assert_eq!(fs::read_to_string(folder.path().join("errors")).expect("the file is ours"), "");
    let said = fs::read_to_string(said).expect("the file is ours");
    for (line, number) in said.lines().zip(1u64..) {
        let calls = 20_000 * number;
        assert_eq!(line, format!("{} {}", 20 * number, calls * (calls - 1) / 2));
    }
}

/// How many markers of the process are switched on.
fn raised(process: &Background) -> usize {
    semaphores(&process.pid()).values().filter(|&&count| count > 0).count()
}

fn descriptors(pid: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

/// What a process has in the kernel for BPF: kinds and numbers.
#[derive(Debug)]
struct Objects(BTreeSet<(&'static str, u64)>);

impl Objects {
    const KINDS: [&str; 3] = ["map", "prog", "link"];

    fn of(pid: &str) -> Objects {
        let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it runs").flatten();
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
            let listed = run(Command::new("bpftool").args(["--json", kind, "list"])).stdout;
            let listed: serde_json::Value = serde_json::from_slice(&listed).expect("bpftool prints JSON");
            let mut ids =
                listed.as_array().expect("a list").iter().filter_map(|object| object["id"].as_u64());
            ids.all(|id| !self.0.contains(&(kind, id)))
        })
    }
}

/// From the first mark to the last, so many rows are there and so many are lost as the marks say. A recorder that was
/// killed may have written nothing yet.
fn assert_all_is_accounted_for(trace: &Path, ended_well: bool) {
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
        return assert!(!ended_well, "nothing was recorded");
    };
    assert!(last > first || !ended_well, "{first} {last}");
    // A thousand calls of `step`, one of `named`, one of what that has made.
    assert_eq!(after - before, (last - first) * 2 * 1002, "from {first} to {last}");
}

/// The K of `thousand_K`.
fn mark(code: &str) -> Option<i64> {
    Code::parse(code).qualname.strip_prefix("thousand_")?.parse().ok()
}
