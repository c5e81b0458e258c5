//! Recordings that are ended by Ctrl-C, SIGTERM, a killed program or a killed recorder: the trace
//! is readable.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::call_counts::function;
use support::{Background, Setup, calls_in, in_every_way, json, number, program, pyrec, signal, wait_for};
use tempfile::TempDir;

in_every_way!(
    control_c_at_the_terminal_ends_the_program_and_the_trace_is_complete,
    a_signal_to_the_recorder_is_passed_on_to_the_program,
    a_killed_program_is_recorded_up_to_its_last_call,
    a_killed_recorder_leaves_a_readable_trace_and_a_running_program,
);

/// A recording of `forever.py`, which counts its calls in a file.
struct Running {
    directory: TempDir,
    pyrec: Background,
}

impl Running {
    /// Records a program that makes `calls` calls, or calls without end for 0. `wrap` may wrap the
    /// command in another.
    fn start(setup: &Setup, calls: u64, wrap: impl FnOnce(Command) -> Command) -> Running {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = pyrec("record");
        command
            .args(["--provider", setup.provider, "--markers", "function", "--"])
            .arg(&setup.python.program);
        command.arg(program("forever.py")).arg(directory.path().join("calls")).arg(calls.to_string());
        let mut command = wrap(command);
        command.current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let pyrec = Background::start(&mut command);
        Running { directory, pyrec }
    }

    fn trace(&self) -> PathBuf {
        self.directory.path().join("pyrec.parquet")
    }

    /// The number of calls that the program has counted.
    fn calls(&self) -> u64 {
        calls_in(&self.directory.path().join("calls"))
    }

    fn wait_for_calls(&self, calls: u64) {
        wait_for("calls", || (self.calls() >= calls).then_some(()));
    }

    /// Waits for the end of the recorder. Returns its status and its standard error.
    fn wait(&mut self) -> (Option<i32>, String) {
        let status = self.pyrec.wait();
        let mut messages = String::new();
        // The program of a killed recorder still has the pipe open, so the pipe has no end.
        if status.code().is_some() {
            self.pyrec
                .0
                .stderr
                .take()
                .expect("standard error is piped")
                .read_to_string(&mut messages)
                .expect("standard error is UTF-8");
        }
        (status.code(), messages)
    }

    /// The PID of the recorded program.
    fn child(&self) -> String {
        let children = format!("/proc/{0}/task/{0}/children", self.pyrec.pid());
        fs::read_to_string(children).expect("the file is readable").trim().to_owned()
    }

    /// The session directory. None for static markers.
    fn session_directory(&self) -> Option<PathBuf> {
        let environment =
            fs::read_to_string(format!("/proc/{}/environ", self.child())).expect("the file is readable");
        environment
            .split('\0')
            .find_map(|variable| variable.strip_prefix("PYREC_SESSION="))
            .map(PathBuf::from)
    }

    fn recorded_calls(&self) -> u64 {
        number(function(&json(&self.trace(), "stats"), "tick"), "calls")
    }
}

/// At a real terminal, whose driver signals the foreground process group.
fn control_c_at_the_terminal_ends_the_program_and_the_trace_is_complete(setup: &Setup) {
    let mut running = Running::start(setup, 0, |command| {
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
    let mut keyboard = running.pyrec.0.stdin.take().expect("standard input is piped");
    keyboard.write_all(b"\x03").expect("the write succeeds");
    let (status, stderr) = running.wait();
    // Python prints a traceback and then ends by the signal.
    assert_eq!(status, Some(128 + 2), "{stderr}");
    assert_eq!(json(&running.trace(), "info")["ended"], serde_json::json!({"how": "killed", "signal": 2}));
    assert_all_calls_recorded(&running);
}

fn a_signal_to_the_recorder_is_passed_on_to_the_program(setup: &Setup) {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let mut running = Running::start(setup, 0, |command| command);
        running.wait_for_calls(1000);
        signal(&running.pyrec.pid(), name);
        let (status, stderr) = running.wait();
        assert_eq!(status, Some(128 + number), "{name}: {stderr}");
        assert_eq!(
            json(&running.trace(), "info")["ended"],
            serde_json::json!({"how": "killed", "signal": number})
        );
        assert_all_calls_recorded(&running);
    }
}

fn a_killed_program_is_recorded_up_to_its_last_call(setup: &Setup) {
    for calls in [10, 1_000, 20_000] {
        let mut running = Running::start(setup, 0, |command| command);
        running.wait_for_calls(calls);
        signal(&running.child(), "KILL");
        assert_eq!(running.wait().0, Some(128 + 9));
        assert_eq!(
            json(&running.trace(), "info")["ended"],
            serde_json::json!({"how": "killed", "signal": 9})
        );
        assert_all_calls_recorded(&running);
    }
}

/// Asserts that all counted calls are recorded. The program counts after each call, so one more may
/// be recorded.
fn assert_all_calls_recorded(running: &Running) {
    let (counted, recorded) = (running.calls(), running.recorded_calls());
    assert!(
        recorded == counted || recorded == counted + 1,
        "{counted} calls were made, {recorded} are recorded"
    );
    assert_eq!(json(&running.trace(), "info")["lost"], 0);
}

fn a_killed_recorder_leaves_a_readable_trace_and_a_running_program(setup: &Setup) {
    // Long enough for several checkpoints, which are written twice a second.
    let calls = if setup.provider == "usdt" { 8_000_000 } else { 40_000_000 };
    let mut running = Running::start(setup, calls, |command| command);
    let start = Instant::now();
    wait_for("three seconds of recording", || {
        (start.elapsed().as_secs() >= 3 && running.calls() > 0).then_some(())
    });
    let session = running.session_directory();
    signal(&running.pyrec.pid(), "KILL");
    let calls_at_kill = running.calls();
    assert!(calls_at_kill < calls, "the program ended before the recorder could be killed");
    assert_eq!(running.wait().0, None);

    running.wait_for_calls(calls);
    let info = json(&running.trace(), "info");
    assert_eq!(info["ended"]["how"], "recording", "{info}");
    let recorded = running.recorded_calls();
    assert!(recorded > 0 && recorded <= calls, "{recorded} of {calls_at_kill} calls are recorded");
    if let Some(session) = session {
        fs::remove_dir_all(session).expect("the directory is removed");
    }
}

#[test]
fn a_recorder_that_detaches_leaves_the_process_running() {
    let Some(setup) = Setup::usdt() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let counter = directory.path().join("calls");
    let python = Background::start(setup.python.command().arg(program("forever.py")).arg(&counter));
    wait_for("calls", || (calls_in(&counter) > 0).then_some(()));
    let mut command = pyrec("record");
    command.args(["-p", &python.pid()]).current_dir(directory.path()).stderr(Stdio::piped());
    let mut recorder = Background::start(&mut command);
    let trace = directory.path().join("pyrec.parquet");
    wait_for("a trace", || trace.exists().then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    signal(&recorder.pid(), "INT");
    let status = recorder.wait();
    let calls_at_end = calls_in(&counter);
    wait_for("more calls", || (calls_in(&counter) > calls_at_end + 1000).then_some(()));
    drop(python);

    assert!(status.success(), "{status}");
    let info = json(&trace, "info");
    assert_eq!(info["provider"], "usdt");
    assert_eq!(info["ended"]["how"], "stopped", "{info}");
    let recorded = number(function(&json(&trace, "stats"), "tick"), "calls");
    assert!(recorded > 0 && recorded <= calls_at_end, "{recorded} of {calls_at_end}");
}
