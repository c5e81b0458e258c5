//! Attaching the agent to running processes, and detaching it.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{
    Background, Python, Setup, is_root, json, number, program, pyrec, report, run, signal, stderr, wait_for,
};
use tempfile::TempDir;

/// The versions that the agent can attach to.
const VERSIONS: [&str; 2] = ["3.14", "3.15"];

fn python(version: &str) -> Option<Python> {
    Setup::agent(version).map(|setup| setup.python)
}

/// Runs the test with a server on each Python that the agent can attach to.
fn on_each(test: impl Fn(Server)) {
    for version in VERSIONS {
        python(version).iter().for_each(|python| test(Server::start(python, &[], &[])));
    }
}

/// `server.py`, running in the background.
struct Server {
    folder: TempDir,
    process: Background,
}

impl Server {
    fn start(python: &Python, options: &[&str], environment: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut command = python.command();
        command
            .args(["-W", "ignore"])
            .args(options)
            .arg(program("server.py"))
            .arg(folder.path().join("seen"));
        command.envs(environment.iter().copied()).stderr(Stdio::piped());
        let server = Server { folder, process: Background::start(&mut command) };
        server.rounds(2);
        server
    }

    fn pid(&self) -> String {
        self.process.pid()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for this many more rounds of the server. Returns what the server observed of itself in
    /// the last round.
    fn rounds(&self, more: u64) -> String {
        let last_round = || {
            let text = fs::read_to_string(self.path("seen")).ok()?;
            let (round, observed) = text.split_once(' ')?;
            Some((round.parse::<u64>().ok()?, observed.to_owned()))
        };
        let from = wait_for("a round", last_round).0;
        wait_for("more rounds", || last_round().filter(|(round, _)| *round >= from + more)).1
    }

    /// The command `pyrec record -p` with these options.
    fn record(&self, name: &str, options: &[&str]) -> Command {
        let mut command = pyrec("record");
        command.args(["--provider", "agent", "-p", &self.pid(), "-o"]).arg(self.path(name)).args(options);
        command
    }

    /// Kills the server, and returns its standard error.
    fn stderr(mut self) -> String {
        signal(&self.pid(), "KILL");
        let mut text = String::new();
        let mut stderr = self.process.0.stderr.take().expect("standard error is piped");
        std::io::Read::read_to_string(&mut stderr, &mut text).expect("standard error is UTF-8");
        text
    }
}

/// Asserts that the calls that were open at the start are in the trace, so that no return lacks its
/// entry. Returns the `info` report.
fn assert_open_calls_are_known(trace: &Path) -> Value {
    let info = json(trace, "info");
    let markers = &info["markers"];
    let entries = number(markers, "function__entry") + number(markers, "function__open");
    let open = entries - number(markers, "function__return");
    assert!(number(markers, "function__entry") > 1_000, "{info}");
    assert_eq!(number(&info["repaired"], "unmatched_returns"), 0, "{info}");
    assert!(open > 0 && number(&info, "lost") == 0, "{info}");
    info
}

#[test]
fn after_detaching_the_program_observes_no_difference() {
    on_each(|server| {
        let before = server.rounds(1);
        for name in ["first.parquet", "second.parquet"] {
            let output = run(&mut server.record(name, &["--duration", "300ms"]));
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(server.rounds(3), before, "the agent left something behind");
            let info = assert_open_calls_are_known(&server.path(name));
            assert_eq!(info["ended"]["how"], "stopped");
        }
        // The second recording reuses the library that the first one loaded.
        let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("the file is readable");
        let mut libraries: Vec<&str> = maps
            .lines()
            .filter(|line| line.contains("libpyrec_agent"))
            .filter_map(|line| line.find('/').map(|at| &line[at..]))
            .collect();
        libraries.dedup();
        assert_eq!(libraries.len(), 1, "{maps}");
        assert_eq!(server.stderr(), "");
    });
}

#[test]
fn filters_of_one_recording_do_not_affect_the_next() {
    on_each(|server| {
        let calls = |name: &str, flags: &[&str]| {
            let output = run(&mut server.record(name, &[&["--duration", "300ms"], flags].concat()));
            assert!(output.status.success(), "{}", stderr(&output));
            let stats = json(&server.path(name), "stats");
            let functions = stats["functions"].as_array().expect("an array");
            ["leaf", "work"].map(|name| {
                let found = functions.iter().find(|function| function["name"] == name);
                found.map_or(0, |function| number(function, "calls"))
            })
        };
        let [leaf, work] = calls("without.parquet", &["--exclude", "leaf"]);
        assert!(leaf == 0 && work > 0, "{leaf} {work}");
        let [leaf, work] = calls("with.parquet", &[]);
        assert!(leaf > 0 && work > 0, "{leaf} {work}");
        assert_open_calls_are_known(&server.path("with.parquet"));
        let [leaf, work] = calls("other.parquet", &["--exclude", "work"]);
        assert!(leaf > 0 && work == 0, "{leaf} {work}");
    });
}

#[test]
fn every_thread_is_recorded_with_the_stack_that_it_had_at_the_start() {
    on_each(|server| {
        run(&mut server.record("t.parquet", &["--duration", "300ms"]));
        let trace = server.path("t.parquet");
        let threads = report(&trace, "threads", &[]);
        for name in ["MainThread", "serves", "waits"] {
            assert!(threads.contains(name), "{threads}");
        }
        let tree = report(&trace, "tree", &["--root", "main"]);
        assert!(tree.contains("main") && tree.contains("leaf"), "{tree}");
        let stats = json(&trace, "stats");
        let functions = stats["functions"].as_array().expect("an array");
        let calls = |name: &str| {
            let found = functions.iter().find(|function| function["name"] == name);
            found.map_or(0, |function| number(function, "calls"))
        };
        // These were called once, before the recording, and have not returned. The script that
        // loads the agent is not in the trace.
        assert_eq!((calls("main"), calls("serve"), calls("wait")), (1, 1, 1), "{stats}");
        assert!(!functions.iter().any(|function| function["file"] == "<string>"), "{stats}");
    });
}

#[test]
fn ctrl_c_ends_the_recording_and_not_the_program() {
    on_each(|server| {
        let before = server.rounds(1);
        let trace = server.path("c.parquet");
        let mut recorder = Background::start(server.record("c.parquet", &["-q"]).stdout(Stdio::null()));
        wait_for("the recording", || fs::metadata(&trace).ok());
        server.rounds(3);
        let second = run(&mut server.record("no.parquet", &[]));
        let expected = format!("process {} is being recorded already", server.pid());
        assert!(!second.status.success() && stderr(&second).contains(&expected), "{}", stderr(&second));
        assert!(!server.path("no.parquet").exists());
        signal(&recorder.pid(), "INT");
        assert!(recorder.wait().success());
        assert_eq!(server.rounds(3), before);
        assert_open_calls_are_known(&trace);
    });
}

#[test]
fn lines_audit_events_and_c_functions_are_recorded_on_request() {
    on_each(|server| {
        let markers = "function,line,gc,import,audit,cfunction";
        run(&mut server.record("a.parquet", &["--duration", "300ms", "--markers", markers]));
        let info = json(&server.path("a.parquet"), "info");
        for marker in ["line", "audit", "cfunction__entry", "cfunction__return"] {
            assert!(number(&info["markers"], marker) > 0, "{info}");
        }
        assert_eq!(server.stderr(), "");
    });
}

#[test]
fn disabled_remote_debugging_is_named_in_one_line() {
    for version in VERSIONS {
        let Some(python) = python(version) else { continue };
        for server in [
            Server::start(&python, &["-X", "disable-remote-debug"], &[]),
            Server::start(&python, &[], &[("PYTHON_DISABLE_REMOTE_DEBUG", "1")]),
        ] {
            let output = run(&mut server.record("t.parquet", &[]));
            let text = stderr(&output);
            assert!(!output.status.success() && text.contains("PYTHON_DISABLE_REMOTE_DEBUG"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

#[test]
fn a_version_that_cannot_be_attached_to_is_named() {
    for version in ["3.13", "3.12", "3.9"] {
        let Some(python) = python(version) else { continue };
        let program = "import time\nwhile True: time.sleep(0.01)";
        let process = Background::start(python.command().args(["-c", program]));
        // In a container, a wrapper starts Python.
        let executable = || fs::read_link(format!("/proc/{}/exe", process.pid())).ok();
        wait_for("Python", || executable().filter(|exe| exe.to_string_lossy().contains("python")));
        let output =
            run(pyrec("record").args(["--provider", "agent", "-p", &process.pid(), "-o", "/nowhere"]));
        let text = stderr(&output);
        assert!(!output.status.success() && text.contains(&format!("runs CPython {version}")), "{text}");
    }
}

#[test]
fn attaching_to_a_process_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    on_each(|server| {
        let mut command = server.record("t.parquet", &[]);
        let output = run(command.uid(65534).gid(65534).current_dir("/"));
        let text = stderr(&output);
        assert!(!output.status.success() && text.contains("belongs to another user (number 0)"), "{text}");
    });
}

#[test]
fn root_can_attach_to_a_process_of_another_user() {
    if !is_root() {
        return;
    }
    for version in VERSIONS {
        let Some(python) = python(version) else { continue };
        // The container is set up as root; the script gives up root itself.
        let folder = tempfile::tempdir().expect("a temporary directory");
        let script = "import os, time\nos.setgid(65534)\nos.setuid(65534)\ndef work(): pass\nopen('ready', 'w')\n\
                      while True:\n    work()\n    time.sleep(0.001)";
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).expect("the test runs as root");
        let process = Background::start(python.command().args(["-c", script]).current_dir(folder.path()));
        wait_for("the script", || folder.path().join("ready").exists().then_some(()));
        let trace = folder.path().join("t.parquet");
        let mut command = pyrec("record");
        command.args(["--provider", "agent", "-p", &process.pid(), "--duration", "200ms", "-o"]).arg(&trace);
        let output = run(&mut command);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(number(&json(&trace, "info")["markers"], "function__entry") > 10);
    }
}

#[test]
fn a_process_that_ends_is_recorded_up_to_its_last_call() {
    for version in VERSIONS {
        let Some(python) = python(version) else { continue };
        let folder = tempfile::tempdir().expect("a temporary directory");
        let script = "import time\ndef work(): pass\nopen('ready', 'w')\n\
                      for n in range(100):\n    work()\n    time.sleep(0.02)\ndef last(): pass\nlast()";
        let mut process = Background::start(python.command().args(["-c", script]).current_dir(folder.path()));
        wait_for("the script", || folder.path().join("ready").exists().then_some(()));
        let trace = folder.path().join("t.parquet");
        let output =
            run(pyrec("record").args(["--provider", "agent", "-p", &process.pid(), "-o"]).arg(&trace));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(process.wait().success());
        let stats = report(&trace, "stats", &[]);
        assert!(stats.contains("last"), "{stats}");
    }
}
