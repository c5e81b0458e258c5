//! Programs that end without a word: whatever they did before that is in the trace, to the last call.
//!
//! The program numbers its calls itself, thread by thread, in files that outlive it. A call may be recorded and not yet
//! numbered, but never the other way round.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use support::numbered::{numbered, random, recorded};
use support::{Background, Python, Subject, json, number, on_every_agent, program, pyrec, wait_for};

on_every_agent!(by_os_exit, amid_daemon_threads);

fn by_os_exit(subject: &Subject) {
    assert_eq!(ends_by_itself(subject, "now"), Some(0));
}

/// Before 3.12 a daemon thread may look at the interpreter after it is gone. On a busy machine that ends one process in two
/// hundred, recorded or not, so it gets another chance.
fn amid_daemon_threads(subject: &Subject) {
    let statuses = (0..3).map(|_| ends_by_itself(subject, "daemon"));
    assert_eq!(statuses.flatten().find(|&status| status != 128 + 11), Some(0));
}

#[test]
fn by_a_signal_at_any_moment() {
    for version in ["3.13", "3.8"] {
        let Some(subject) = Subject::agent(version) else { continue };
        [(1, 0), (3, 0), (2, 2)].iter().for_each(|shape| is_killed(&subject.python, *shape));
    }
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn by_a_signal_at_two_hundred_moments() {
    let pythons: Vec<Python> = Python::all().collect();
    for round in 0..200 {
        let shapes = [(1, 0), (3, 0), (2, 2)];
        is_killed(&pythons[round % pythons.len()], shapes[round / pythons.len() % shapes.len()]);
    }
}

/// So many threads in each process, and so many children.
fn is_killed(python: &Python, (threads, children): (usize, usize)) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = start(python, folder.path(), threads, children, "forever");
    let everybody = threads * (children + 1);
    wait_for("a call of each thread", || (numbered(folder.path()).len() == everybody).then_some(()));
    // Up to a few switches between threads, and so to any instruction of any of them.
    let moment = Duration::from_micros(random(30_000));
    std::thread::sleep(moment);
    let processes: BTreeSet<String> =
        numbered(folder.path()).keys().map(|(pid, _)| pid.to_string()).collect();
    let launched = format!("/proc/{0}/task/{0}/children", recorder.pid());
    let launched = fs::read_to_string(launched).expect("the recorder runs");
    // A recording ends with the process that was launched, whoever else runs on: so that one last.
    let others = processes.iter().filter(|pid| **pid != launched.trim()).map(|pid| format!("{pid} "));
    let kill = others.collect::<String>() + &launched;
    support::run(std::process::Command::new("/bin/sh").args(["-c", &format!("kill -s KILL {kill}")]));
    assert_eq!(recorder.end().code(), Some(128 + 9));
    assert_whole(
        folder.path(),
        &format!("{python:?}, {threads} threads, {children} children, after {moment:?}"),
    );
}

/// Gives its exit status. However it ended, everything is recorded.
fn ends_by_itself(subject: &Subject, end: &str) -> Option<i32> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = start(&subject.python, folder.path(), 3, 0, end);
    let status = recorder.end().code();
    assert!(!numbered(folder.path()).is_empty());
    assert_whole(folder.path(), &format!("{:?}, {end}", subject.python));
    status
}

fn start(python: &Python, folder: &Path, threads: usize, children: usize, end: &str) -> Background {
    let mut command = pyrec("record");
    command.args(["-q", "-o"]).arg(folder.join("x.parquet")).arg("--").arg(&python.program);
    command.arg(program("numbered.py")).arg(folder);
    command.args([&threads.to_string(), &children.to_string(), end]);
    Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Every call that was numbered is recorded, entry and return, and at most one more in each thread.
fn assert_whole(folder: &Path, how: &str) {
    let trace = folder.join("x.parquet");
    let recorded = recorded(&trace);
    for (thread, calls) in numbered(folder) {
        let [entries, returns] = recorded.get(&thread).copied().unwrap_or_default();
        assert!(
            [entries, returns].iter().all(|recorded| (calls..=calls + 1).contains(recorded)),
            "{thread:?} made {calls} calls, {entries} entries and {returns} returns are recorded: {how}"
        );
    }
    assert_eq!(number(&json(&trace, "info"), "lost"), 0, "{how}");
}
