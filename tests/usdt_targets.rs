//! Recordings with the provider `usdt` of each kind of target: a launched program, running
//! processes, their children, and all Pythons of the machine.

#![cfg(feature = "record")]

mod support;

use support::scripted_program::{Recorder, SCRIPT, ScriptedProgram, leaf_calls};
use support::{
    Python, Setup, inherited_events_stay_with_their_thread, json, number, pyrec, report, run, signal,
    wait_for,
};

fn setup() -> Option<Python> {
    Setup::usdt().map(|setup| setup.python)
}

#[test]
fn children_of_a_launched_program_are_recorded_from_their_first_event() {
    let Some(python) = setup() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = directory.path().join("scripted.py");
    std::fs::write(&script, SCRIPT).expect("the write succeeds");
    let trace = directory.path().join("x.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt", "-o"]).arg(&trace).arg(&python.program);
    let output = run(command.arg(&script).args(["thread", "2000"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(leaf_calls(&trace, &[]), 4000);
    let info = json(&trace, "info");
    // The program, a child by fork, and a child by fork and exec.
    assert_eq!((number(&info, "processes"), number(&info, "lost")), (3, 0), "{info}");
    let marker = |name: &str| number(&info["markers"], name);
    assert_eq!((marker("process__start"), marker("process__exit")), (3, 3), "{info}");
    assert_eq!(marker("thread__start"), marker("thread__exit"), "{info}");
    // The program and the child by exec each start an interpreter. The first module that an
    // interpreter runs is importlib._bootstrap.
    let dump = report(&trace, "dump", &[]);
    let modules = dump.lines().filter(|line| line.contains("<frozen\\simportlib._bootstrap>:1:<module>"));
    assert_eq!(modules.filter(|line| line.contains("function__entry")).count(), 2);
}

#[test]
fn a_process_is_recorded_with_its_children_and_other_processes_are_not_affected() {
    let Some(python) = setup() else { return };
    let mut program = ScriptedProgram::start(&python);
    let mut other = ScriptedProgram::start(&python);
    program.execute("thread 1");
    let recorder = Recorder::attach(program.directory.path(), &["-p", &program.pid()]);
    // The semaphore of `line` is raised although no lines are recorded: CPython 3.11 fires
    // `function__entry` only while it is.
    assert_eq!(program.raised_semaphores(), ["function__entry", "function__return", "line"]);
    assert_eq!(other.raised_semaphores(), [""; 0]);
    for (line, own_calls) in
        [("burst 1000", 1000), ("fork 200", 0), ("spawn 30", 0), ("thread 4", 0), ("burst 1", 1)]
    {
        other.execute("burst 7777");
        program.execute(line);
        assert!(own_calls == 0 || !program.raised_semaphores().is_empty());
    }
    let trace = recorder.stop();
    // 1000 + 1 calls in the process, 200 + 30 in its children, and 4 in each of the two children of
    // `thread`.
    assert_eq!(leaf_calls(&trace, &[]), 1239);
    assert_eq!(leaf_calls(&trace, &["--pid", &program.pid()]), 1001);
    assert_eq!(program.raised_semaphores(), [""; 0]);
    program.execute("fork 5");
    program.execute("burst 5");
}

#[test]
fn a_child_whose_parent_has_ended_is_recorded() {
    let Some(python) = setup().filter(|_| inherited_events_stay_with_their_thread()) else { return };
    let mut program = ScriptedProgram::start(&python);
    let recorder = Recorder::attach(program.directory.path(), &["-p", &program.pid()]);
    for _ in 0..5 {
        program.execute("orphan 30");
    }
    assert_eq!(leaf_calls(&recorder.stop(), &[]), 150);
}

#[test]
fn several_processes_are_recorded_into_one_trace() {
    let Some(python) = setup() else { return };
    let mut programs = [(); 3].map(|()| ScriptedProgram::start(&python));
    let [one, two, three] = programs.each_ref().map(ScriptedProgram::pid);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pids = format!("{one},{two}");
    let recorder = Recorder::attach(directory.path(), &["-p", &pids, "-p", &three]);
    for (program, calls) in programs.iter_mut().zip([100, 2000, 30000]) {
        program.execute(&format!("burst {calls}"));
    }
    let trace = recorder.stop();
    let calls = [one, two, three].map(|pid| leaf_calls(&trace, &["--pid", &pid]));
    assert_eq!(calls, [100, 2000, 30000]);
    assert!(programs.iter().all(|program| program.raised_semaphores().is_empty()));
}

#[test]
fn a_recording_ends_with_the_last_of_its_processes() {
    let Some(python) = setup() else { return };
    let mut programs = [(); 2].map(|()| ScriptedProgram::start(&python));
    let pids = programs.each_ref().map(ScriptedProgram::pid).join(",");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = Recorder::attach(directory.path(), &["-p", &pids]);
    for program in &mut programs {
        assert!(recorder.process.exit_status().is_none());
        program.execute("burst 10");
        signal(&program.pid(), "KILL");
        program.process.wait();
    }
    assert!(recorder.process.wait().success());
    assert_eq!(leaf_calls(&recorder.trace, &[]), 20);
    assert_eq!(json(&recorder.trace, "info")["ended"]["how"], "gone");
}

#[test]
fn after_a_recorder_was_killed_its_program_continues_and_can_be_recorded_again() {
    let Some(python) = setup() else { return };
    let mut program = ScriptedProgram::start(&python);
    let mut recorder = Recorder::attach(program.directory.path(), &["-p", &program.pid()]);
    program.execute("fork 10");
    assert!(!program.raised_semaphores().is_empty());
    signal(&recorder.process.pid(), "KILL");
    recorder.process.wait();
    wait_for("lowered semaphores", || program.raised_semaphores().is_empty().then_some(()));
    program.execute("thread 10");
    // Another recorder can attach.
    let recorder = Recorder::attach(program.directory.path(), &["-p", &program.pid()]);
    program.execute("thread 10");
    assert_eq!(leaf_calls(&recorder.stop(), &[]), 20);
}

#[test]
fn all_pythons_are_recorded_including_those_that_start_later() {
    let Some(python) = setup() else { return };
    let mut early = ScriptedProgram::start(&python);
    let recorder = Recorder::attach(early.directory.path(), &["--all"]);
    early.execute("burst 100");
    let mut late = ScriptedProgram::start(&python);
    late.execute("burst 2000");
    let trace = recorder.stop();
    assert_eq!(leaf_calls(&trace, &["--pid", &early.pid()]), 100);
    assert_eq!(leaf_calls(&trace, &["--pid", &late.pid()]), 2000);
    assert_eq!((early.raised_semaphores(), late.raised_semaphores()), (vec![], vec![]));
}
