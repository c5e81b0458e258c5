//! Recordings that end early: Ctrl-C, SIGTERM, a killed program, a killed recorder. The trace is whole each time.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::calls::function;
use support::{Background, Subject, calls_in, in_every_way, json, number, program, pyrec, signal, wait_for};
use tempfile::TempDir;

in_every_way!(
    control_c_on_the_keyboard,
    a_signal_to_the_recorder_is_the_programs,
    a_killed_program_is_recorded_to_its_last_call,
    a_killed_recorder_leaves_a_readable_trace_and_a_running_program,
);

/// A recording of `forever.py`, which says how many calls it has made.
struct Running {
    directory: TempDir,
    pyrec: Background,
}

impl Running {
    /// Records so many calls, 0 for no end. `wrap` may put another command around the recorder's.
    fn start(subject: &Subject, calls: u64, wrap: impl FnOnce(Command) -> Command) -> Running {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = pyrec("record");
        command
            .args(["--provider", subject.provider, "--markers", "function", "--"])
            .arg(&subject.python.program);
        command.arg(program("forever.py")).arg(directory.path().join("calls")).arg(calls.to_string());
        let mut command = wrap(command);
        command.current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let pyrec = Background::start(&mut command);
        Running { directory, pyrec }
    }

    fn trace(&self) -> PathBuf {
        self.directory.path().join("pyrec.parquet")
    }

    /// Calls that the program says it has made.
    fn calls(&self) -> u64 {
        calls_in(&self.directory.path().join("calls"))
    }

    fn wait_for_calls(&self, calls: u64) {
        wait_for("calls", || (self.calls() >= calls).then_some(()));
    }

    /// Waits for the recorder's end. Returns its status and what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        let status = self.pyrec.end();
        let mut said = String::new();
        // What it started may hold the pipe open, so only what is there already.
        if status.code().is_some() {
            self.pyrec.0.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        }
        (status.code(), said)
    }

    /// The process that is recorded.
    fn child(&self) -> String {
        let children = format!("/proc/{0}/task/{0}/children", self.pyrec.pid());
        fs::read_to_string(children).expect("the recorder runs").trim().to_owned()
    }

    /// The directory in which the agent and the recorder meet, if it is the agent that records.
    fn session(&self) -> Option<PathBuf> {
        let environment =
            fs::read_to_string(format!("/proc/{}/environ", self.child())).expect("the program runs");
        environment
            .split('\0')
            .find_map(|variable| variable.strip_prefix("PYREC_SESSION="))
            .map(PathBuf::from)
    }

    fn recorded_ticks(&self) -> u64 {
        number(function(&json(&self.trace(), "stats"), "tick"), "calls")
    }
}

/// A real one: typed at a terminal, whose driver signals the whole foreground group.
fn control_c_on_the_keyboard(subject: &Subject) {
    let mut running = Running::start(subject, 0, |command| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let mut terminal = Command::new("script");
        terminal
            .args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"])
            .stdin(Stdio::piped());
        terminal.env("PYTHONDONTWRITEBYTECODE", "1");
        terminal
    });
    running.wait_for_calls(1000);
    let mut keyboard = running.pyrec.0.stdin.take().expect("it is piped");
    keyboard.write_all(b"\x03").expect("the terminal reads");
    let (status, said) = running.end();
    // Python tells of the interruption and then ends by the signal, and so do we.
    assert_eq!(status, Some(128 + 2), "{said}");
    assert_eq!(json(&running.trace(), "info")["ended"], serde_json::json!({"how": "killed", "signal": 2}));
    assert_all_ticks(&running);
}

fn a_signal_to_the_recorder_is_the_programs(subject: &Subject) {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let mut running = Running::start(subject, 0, |command| command);
        running.wait_for_calls(1000);
        signal(&running.pyrec.pid(), name);
        let (status, said) = running.end();
        assert_eq!(status, Some(128 + number), "{name}: {said}");
        assert_eq!(
            json(&running.trace(), "info")["ended"],
            serde_json::json!({"how": "killed", "signal": number})
        );
        assert_all_ticks(&running);
    }
}

fn a_killed_program_is_recorded_to_its_last_call(subject: &Subject) {
    for calls in [10, 1_000, 20_000] {
        let mut running = Running::start(subject, 0, |command| command);
        running.wait_for_calls(calls);
        signal(&running.child(), "KILL");
        assert_eq!(running.end().0, Some(128 + 9));
        assert_eq!(
            json(&running.trace(), "info")["ended"],
            serde_json::json!({"how": "killed", "signal": 9})
        );
        assert_all_ticks(&running);
    }
}

/// The program counts after each call, so the last call may be recorded and not yet counted, but never the other way
/// round.
fn assert_all_ticks(running: &Running) {
    let (counted, recorded) = (running.calls(), running.recorded_ticks());
    assert!(
        recorded == counted || recorded == counted + 1,
        "{counted} calls were made, {recorded} are recorded"
    );
    assert_eq!(json(&running.trace(), "info")["lost"], 0);
}

fn a_killed_recorder_leaves_a_readable_trace_and_a_running_program(subject: &Subject) {
    // Long enough for a few checkpoints, which come once a second.
    let calls = if subject.provider == "usdt" { 8_000_000 } else { 40_000_000 };
    let mut running = Running::start(subject, calls, |command| command);
    let start = Instant::now();
    wait_for("three seconds of recording", || {
        (start.elapsed().as_secs() >= 3 && running.calls() > 0).then_some(())
    });
    let session = running.session();
    signal(&running.pyrec.pid(), "KILL");
    let made_then = running.calls();
    assert!(made_then < calls, "the program ended before the recorder could be killed");
    assert_eq!(running.end().0, None);

    running.wait_for_calls(calls);
    let info = json(&running.trace(), "info");
    assert_eq!(info["ended"]["how"], "recording", "{info}");
    let recorded = running.recorded_ticks();
    assert!(recorded > 0 && recorded <= calls, "{recorded} of {made_then} calls are recorded");
    if let Some(session) = session {
        // Nobody else could.
        fs::remove_dir_all(session).expect("a killed recorder leaves its session");
    }
}

#[test]
fn a_process_is_attached_to_and_let_go() {
    let Some(subject) = Subject::usdt() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let counter = directory.path().join("calls");
    let python = Background::start(subject.python.command().arg(program("forever.py")).arg(&counter));
    wait_for("calls", || (calls_in(&counter) > 0).then_some(()));
    let mut command = pyrec("record");
    command.args(["-p", &python.pid()]).current_dir(directory.path()).stderr(Stdio::piped());
    let mut recorder = Background::start(&mut command);
    let trace = directory.path().join("pyrec.parquet");
    wait_for("a trace", || trace.exists().then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    signal(&recorder.pid(), "INT");
    let status = recorder.end();
    let then = calls_in(&counter);
    wait_for("more calls", || (calls_in(&counter) > then + 1000).then_some(()));
    drop(python);

    assert!(status.success(), "{status}");
    let info = json(&trace, "info");
    assert_eq!(info["provider"], "usdt");
    assert_eq!(info["ended"]["how"], "stopped", "{info}");
    let ticks = number(function(&json(&trace, "stats"), "tick"), "calls");
    assert!(ticks > 0 && ticks <= then, "{ticks} of {then}");
}
