//! Whom the static markers record: processes that run, their children, the whole machine.

#![cfg(feature = "record")]

mod support;

use support::service::{Recorder, SERVICE, Service, leaves};
use support::{Python, Subject, json, keeps_events_apart, number, pyrec, report, run, signal, wait_for};

fn subject() -> Option<Python> {
    Subject::usdt().map(|subject| subject.python)
}

#[test]
fn children_of_a_launched_program_are_recorded_from_their_first_event() {
    let Some(python) = subject() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = directory.path().join("service.py");
    std::fs::write(&script, SERVICE).expect("room for a small file");
    let trace = directory.path().join("x.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt", "-o"]).arg(&trace).arg(&python.program);
    let output = run(command.arg(&script).args(["thread", "2000"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(leaves(&trace, &[]), 4000);
    let info = json(&trace, "info");
    // A child by fork, and one by fork and exec.
    assert_eq!((number(&info, "processes"), number(&info, "lost")), (3, 0), "{info}");
    let marker = |name: &str| number(&info["markers"], name);
    assert_eq!((marker("process__start"), marker("process__exit")), (3, 3), "{info}");
    assert_eq!(marker("thread__start"), marker("thread__exit"), "{info}");
    // The start of an interpreter is in the trace, too: its first import is that of site, or what it needs.
    let whole = report(&trace, "dump", &[]);
    let modules = whole.lines().filter(|line| line.contains("<frozen\\simportlib._bootstrap>:1:<module>"));
    assert_eq!(modules.filter(|line| line.contains("function__entry")).count(), 2);
}

#[test]
fn a_process_is_recorded_with_its_children_and_no_stranger_is_touched() {
    let Some(python) = subject() else { return };
    let mut service = Service::start(&python);
    let mut stranger = Service::start(&python);
    service.does("thread 1");
    let recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    // Entries of 3.11 need the counter of `line`, too.
    assert_eq!(service.raised(), ["function__entry", "function__return", "line"]);
    assert_eq!(stranger.raised(), [""; 0]);
    for (words, at) in
        [("burst 1000", 1000), ("fork 200", 0), ("spawn 30", 0), ("thread 4", 0), ("burst 1", 1)]
    {
        stranger.does("burst 7777");
        service.does(words);
        assert!(at == 0 || !service.raised().is_empty());
    }
    let trace = recorder.stop();
    assert_eq!(leaves(&trace, &[]), 1239);
    assert_eq!(leaves(&trace, &["--pid", &service.pid()]), 1001);
    assert_eq!(service.raised(), [""; 0]);
    service.does("fork 5");
    service.does("burst 5");
}

#[test]
fn a_child_that_a_shell_leaves_behind_is_recorded() {
    let Some(python) = subject().filter(|_| keeps_events_apart()) else { return };
    let mut service = Service::start(&python);
    let recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    for _ in 0..5 {
        service.does("orphan 30");
    }
    assert_eq!(leaves(&recorder.stop(), &[]), 150);
}

#[test]
fn several_processes_are_in_one_trace() {
    let Some(python) = subject() else { return };
    let mut services = [(); 3].map(|()| Service::start(&python));
    let [one, two, three] = services.each_ref().map(Service::pid);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pids = format!("{one},{two}");
    let recorder = Recorder::attach(directory.path(), &["-p", &pids, "-p", &three]);
    for (service, calls) in services.iter_mut().zip([100, 2000, 30000]) {
        service.does(&format!("burst {calls}"));
    }
    let trace = recorder.stop();
    let calls = [one, two, three].map(|pid| leaves(&trace, &["--pid", &pid]));
    assert_eq!(calls, [100, 2000, 30000]);
    assert!(services.iter().all(|service| service.raised().is_empty()));
}

#[test]
fn a_recording_of_processes_ends_with_the_last_of_them() {
    let Some(python) = subject() else { return };
    let mut services = [(); 2].map(|()| Service::start(&python));
    let pids = services.each_ref().map(Service::pid).join(",");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = Recorder::attach(directory.path(), &["-p", &pids]);
    for service in &mut services {
        assert!(recorder.process.0.try_wait().expect("it can be asked").is_none());
        service.does("burst 10");
        signal(&service.pid(), "KILL");
        service.process.end();
    }
    assert!(recorder.process.end().success());
    assert_eq!(leaves(&recorder.trace, &[]), 20);
    assert_eq!(json(&recorder.trace, "info")["ended"]["how"], "gone");
}

#[test]
fn a_killed_recorder_leaves_the_program_as_it_was() {
    let Some(python) = subject() else { return };
    let mut service = Service::start(&python);
    let mut recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    service.does("fork 10");
    assert!(!service.raised().is_empty());
    signal(&recorder.process.pid(), "KILL");
    recorder.process.end();
    wait_for("the counters", || service.raised().is_empty().then_some(()));
    service.does("thread 10");
    // And the next recorder finds nothing in its way.
    let recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    service.does("thread 10");
    assert_eq!(leaves(&recorder.stop(), &[]), 20);
}

#[test]
fn all_are_recorded_with_those_that_start_later() {
    let Some(python) = subject() else { return };
    let mut early = Service::start(&python);
    let recorder = Recorder::attach(early.directory.path(), &["--all"]);
    early.does("burst 100");
    let mut late = Service::start(&python);
    late.does("burst 2000");
    let trace = recorder.stop();
    assert_eq!(leaves(&trace, &["--pid", &early.pid()]), 100);
    assert_eq!(leaves(&trace, &["--pid", &late.pid()]), 2000);
    assert_eq!((early.raised(), late.raised()), (vec![], vec![]));
}
