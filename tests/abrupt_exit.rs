//! Programs that end without cleaning up, by `os._exit` or a signal: the trace contains every call
//! up to the end.
//!
//! The program `numbered.py` counts its own calls, for each thread in a mapped file that outlives
//! the process. A call is recorded before it is counted, so a trace contains at least the counted
//! calls of a thread, and at most one more.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use support::numbered_calls::{numbered, random, recorded};
use support::{Background, Python, Setup, json, number, on_every_agent, program, pyrec, wait_for};

on_every_agent!(every_call_before_os_exit_is_recorded, every_call_of_daemon_threads_is_recorded);

fn every_call_before_os_exit_is_recorded(setup: &Setup) {
    assert_eq!(record_to_end(setup, "now"), Some(0));
}

/// Before CPython 3.12, a daemon thread may use the interpreter after its finalization. That
/// crashes about one process in two hundred with SIGSEGV, recorded or not.
fn every_call_of_daemon_threads_is_recorded(setup: &Setup) {
    const SIGSEGV: i32 = 11;
    let may_crash = ["3.8", "3.9", "3.10", "3.11"].contains(&&*setup.python.version);
    let status = record_to_end(setup, "daemon");
    assert!(status == Some(0) || may_crash && status == Some(128 + SIGSEGV), "{status:?}");
}

/// Threads of each process, and child processes.
const THREADS_AND_CHILDREN: [(usize, usize); 3] = [(1, 0), (3, 0), (2, 2)];

#[test]
fn every_call_before_sigkill_is_recorded() {
    for version in ["3.13", "3.8"] {
        let Some(setup) = Setup::agent(version) else { continue };
        THREADS_AND_CHILDREN.into_iter().for_each(|counts| record_and_kill(&setup.python, counts));
    }
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn every_call_before_sigkill_is_recorded_in_two_hundred_rounds() {
    let pythons: Vec<Python> = Python::all().collect();
    for round in 0..200 {
        let counts = THREADS_AND_CHILDREN[round / pythons.len() % THREADS_AND_CHILDREN.len()];
        record_and_kill(&pythons[round % pythons.len()], counts);
    }
}

/// Kills a recorded program and its children at a random moment, then checks the trace.
fn record_and_kill(python: &Python, (threads, children): (usize, usize)) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = start(python, folder.path(), threads, children, "forever");
    let all_threads = threads * (children + 1);
    wait_for("a call of each thread", || (numbered(folder.path()).len() == all_threads).then_some(()));
    // Long enough for several thread switches, so that the signal can arrive at any instruction of
    // any thread.
    let moment = Duration::from_micros(random(30_000));
    std::thread::sleep(moment);
    let processes: BTreeSet<String> =
        numbered(folder.path()).keys().map(|(pid, _)| pid.to_string()).collect();
    let launched = format!("/proc/{0}/task/{0}/children", recorder.pid());
    let launched = fs::read_to_string(launched).expect("the file is readable");
    // The recording ends with the launched process, so that process is killed last.
    let others = processes.iter().filter(|pid| **pid != launched.trim()).map(|pid| format!("{pid} "));
    let kill = others.collect::<String>() + &launched;
    support::run(std::process::Command::new("/bin/sh").args(["-c", &format!("kill -s KILL {kill}")]));
    assert_eq!(recorder.wait().code(), Some(128 + 9));
    assert_all_calls_recorded(
        folder.path(),
        &format!("{python:?}, {threads} threads, {children} children, after {moment:?}"),
    );
}

/// Records a program until it ends, and checks the trace. Returns the exit status.
fn record_to_end(setup: &Setup, end: &str) -> Option<i32> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = start(&setup.python, folder.path(), 3, 0, end);
    let status = recorder.wait().code();
    assert!(!numbered(folder.path()).is_empty());
    assert_all_calls_recorded(folder.path(), &format!("{:?}, {end}", setup.python));
    status
}

fn start(python: &Python, folder: &Path, threads: usize, children: usize, end: &str) -> Background {
    let mut command = pyrec("record");
    command.args(["-q", "-o"]).arg(folder.join("x.parquet")).arg("--").arg(&python.program);
    command.arg(program("numbered.py")).arg(folder);
    command.args([&threads.to_string(), &children.to_string(), end]);
    Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Asserts that the trace has an entry and a return of each counted call, and at most one more call
/// of each thread.
fn assert_all_calls_recorded(folder: &Path, context: &str) {
    let trace = folder.join("x.parquet");
    let recorded = recorded(&trace);
    for (thread, calls) in numbered(folder) {
        let [entries, returns] = recorded.get(&thread).copied().unwrap_or_default();
        assert!(
            [entries, returns].iter().all(|recorded| (calls..=calls + 1).contains(recorded)),
            "{thread:?} made {calls} calls, {entries} entries and {returns} returns are recorded: {context}"
        );
    }
    assert_eq!(number(&json(&trace, "info"), "lost"), 0, "{context}");
}
