//! `pyrec record`: exit statuses, output, errors, and the environment of the program.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use support::call_counts::function;
use support::{Python, Recording, Setup, in_every_way, is_root, number, program, pyrec, run, stderr, stdout};

in_every_way!(the_exit_status_is_that_of_the_program, the_output_of_the_program_is_not_changed);

fn the_exit_status_is_that_of_the_program(setup: &Setup) {
    let endings = [
        ("status", "0", 0, json!({"how": "exited", "status": 0})),
        ("status", "3", 3, json!({"how": "exited", "status": 3})),
        ("now", "4", 4, json!({"how": "exited", "status": 4})),
        ("raise", "0", 1, json!({"how": "exited", "status": 1})),
        ("daemon", "0", 0, json!({"how": "exited", "status": 0})),
        ("signal", "15", 128 + 15, json!({"how": "killed", "signal": 15})),
        ("signal", "9", 128 + 9, json!({"how": "killed", "signal": 9})),
    ];
    for (how, number, status, ended) in endings {
        let python = setup.python.program.to_string_lossy().into_owned();
        let script = program("endings.py").to_string_lossy().into_owned();
        let recording = Recording::of(&["--provider", setup.provider, &python, &script, how, number]);
        assert_eq!(recording.output.status.code(), Some(status), "{how} {number}: {}", recording.stderr());
        assert_eq!(recording.json("info")["ended"], ended, "{how} {number}");
        assert_eq!(function(&recording.json("stats"), "work")["calls"], 1, "{how} {number}");
        assert_eq!(recording.stderr().contains("RuntimeError: the end"), how == "raise");
    }
}

fn the_output_of_the_program_is_not_changed(setup: &Setup) {
    let echo = |command: &mut Command| -> Output {
        let mut child = command
            .arg(program("echo.py"))
            .args(["an argument", "--help", "-o", "ä"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child
            .stdin
            .take()
            .expect("standard input is piped")
            .write_all(b"one\ntwo")
            .expect("the write succeeds");
        child.wait_with_output().expect("the child ends")
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plain = echo(&mut setup.python.command());
    let mut command = pyrec("record");
    command.args(["-q", "--provider", setup.provider, "--"]).arg(&setup.python.program);
    let recorded = echo(command.current_dir(directory.path()));
    assert_eq!(stdout(&plain), "['an argument', '--help', '-o', 'ä']\none\ntwo");
    assert_eq!(recorded, plain);
}

#[test]
fn the_last_messages_name_the_trace_and_the_next_command() {
    let Some(python) = Python::any() else { return };
    let recording =
        Recording::of(&[python.program.as_os_str(), program("endings.py").as_os_str(), "status".as_ref()]);
    let messages = recording.stderr();
    assert!(messages.contains("pyrec.parquet") && messages.contains("0 lost"), "{messages}");
    let next = messages
        .lines()
        .last()
        .and_then(|line| line.split("next: pyrec ").nth(1))
        .expect("the last message names the next command");
    let mut words = next.split_whitespace();
    let output =
        run(pyrec(words.next().expect("a command")).args(words).current_dir(recording.directory.path()));
    assert!(output.status.success(), "{next}: {output:?}");
    assert!(recording.directory.path().join("flame.svg").exists());
}

#[test]
fn the_previous_trace_is_kept() {
    let Some(python) = Python::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    for status in 1..=3 {
        let mut command = pyrec("record");
        command.arg(&python.program).arg(program("endings.py")).args(["status", &status.to_string()]);
        assert_eq!(run(command.current_dir(directory.path())).status.code(), Some(status));
    }
    assert_eq!(files(directory.path()), ["pyrec.old.parquet", "pyrec.parquet"]);
    let ended = |name| support::json(&directory.path().join(name), "info")["ended"].clone();
    assert_eq!(ended("pyrec.parquet"), json!({"how": "exited", "status": 3}));
    assert_eq!(ended("pyrec.old.parquet"), json!({"how": "exited", "status": 2}));
}

#[test]
fn a_requested_output_is_not_overwritten_without_force() {
    let Some(python) = Python::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("mine.parquet");
    fs::write(&output, "precious").expect("the write succeeds");
    let marker_file = directory.path().join("ran");
    let code = format!("open({marker_file:?}, 'w')");
    let record = |options: &[&str]| {
        let mut command = pyrec("record");
        command.arg("-o").arg(&output).args(options).arg(&python.program).args(["-c", &code]);
        run(command.current_dir(directory.path()))
    };
    assert_refused(&record(&[]), &["mine.parquet", "-f"]);
    assert_eq!(fs::read(&output).expect("the file is readable"), b"precious");
    assert!(!marker_file.exists(), "the program ran");

    assert!(record(&["-f"]).status.success());
    assert!(marker_file.exists());
    assert!(number(&support::json(&output, "info"), "events") > 0);
    assert_eq!(files(directory.path()), ["mine.parquet", "ran"]);
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    for provider in ["auto", "agent", "usdt"] {
        let recording = Recording::of(&["--provider", provider, "no-such-program", "x"]);
        assert_refused(&recording.output, &["no-such-program"]);
        assert_eq!(files(recording.directory.path()), [""; 0]);
    }
}

#[test]
fn a_file_that_cannot_be_executed_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("plain.txt");
    fs::write(&file, "no program").expect("the write succeeds");
    let recording = Recording::of(&[&file]);
    assert_refused(&recording.output, &["plain.txt"]);
    assert_eq!(files(recording.directory.path()), [""; 0]);
}

#[test]
fn an_output_in_a_missing_directory_is_named() {
    let Some(python) = Python::any() else { return };
    let recording =
        Recording::of(&["-o", "no/such/x.parquet", &python.program.to_string_lossy(), "-c", "pass"]);
    assert_refused(&recording.output, &["no/such/x.parquet"]);
}

#[test]
fn usdt_of_a_python_without_markers_is_refused() {
    let Some(python) = Python::without_markers() else { return };
    let recording = Recording::of(&["--provider", "usdt", &python.program.to_string_lossy(), "-c", "pass"]);
    assert_refused(&recording.output, &["marker"]);
    assert_eq!(files(recording.directory.path()), [""; 0]);
}

#[test]
fn usdt_without_privileges_is_refused() {
    let (Some(python), true) = (Python::with_markers(), is_root()) else { return };
    let directory = open_directory();
    let binary = directory.path().join("pyrec");
    fs::copy(env!("CARGO_BIN_EXE_pyrec"), &binary).expect("the file is copied");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]).arg(&binary);
    command.args(["record", "--provider", "usdt"]).arg(&python.program).args(["-c", "pass"]);
    assert_refused(&run(command.current_dir(directory.path())), &["root"]);
    assert_eq!(files(directory.path()), ["pyrec"]);
}

#[test]
fn under_sudo_program_and_trace_belong_to_the_invoking_user() {
    use std::os::unix::fs::MetadataExt;
    let Some(setup) = Setup::usdt() else { return };
    let directory = open_directory();
    let mut command = pyrec("record");
    command.env("SUDO_UID", "65534").env("SUDO_GID", "65534").env("SUDO_USER", "nobody");
    command.args(["-q", "--provider", "usdt"]).arg(&setup.python.program);
    command.args(["-c", "import os; print(os.getuid(), os.getgid())"]);
    let output = run(command.current_dir(directory.path()));
    assert_eq!(stdout(&output), "65534 65534\n", "{output:?}");
    let trace = fs::metadata(directory.path().join("pyrec.parquet")).expect("the file exists");
    assert_eq!((trace.uid(), trace.gid()), (65534, 65534));
}

#[test]
fn the_session_directory_is_removed() {
    let Some(python) = Python::any() else { return };
    let code = "import os; print(os.environ['PYREC_SESSION'])";
    let recording = Recording::of(&["-q", &python.program.to_string_lossy(), "-c", code]);
    let session = String::from_utf8_lossy(&recording.output.stdout).trim().to_owned();
    assert!(session.contains("pyrec") && !Path::new(&session).exists(), "{session} is still there");
    assert_eq!(files(recording.directory.path()), ["pyrec.parquet"]);
}

#[test]
fn the_agent_attaches_only_to_cpython() {
    let mut sleeper = Command::new("sleep").arg("100").spawn().expect("the program starts");
    let recording = Recording::of(&["--provider", "agent", "-p", &sleeper.id().to_string()]);
    let runs_on = sleeper.try_wait().expect("the child can be waited for").is_none();
    sleeper.kill().and_then(|()| sleeper.wait()).expect("it ends");
    assert_refused(&recording.output, &[&sleeper.id().to_string(), "no CPython"]);
    assert!(runs_on);
}

#[test]
fn a_process_that_does_not_exist_is_named() {
    let recording = Recording::of(&["-p", "4194304"]);
    assert_refused(&recording.output, &["4194304"]);
}

#[test]
fn a_recording_without_python_has_a_message() {
    let recording = Recording::of(&["/bin/sh", "-c", "exit 5"]);
    assert_eq!(recording.output.status.code(), Some(5), "{}", recording.stderr());
    assert_eq!(recording.json("info")["events"], 0);
    assert!(recording.stderr().contains("Python"), "{}", recording.stderr());
}

/// Asserts that a command failed with status 1 and one sentence on standard error that contains
/// these words.
fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!((stderr.lines().count(), output.stdout.len()), (1, 0), "{stderr}");
    assert!(stderr.starts_with("pyrec: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word} in: {stderr}");
    }
}

/// The names of the files in a directory, sorted.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory is readable").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A temporary directory with all permissions.
fn open_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))
        .expect("the permissions are changed");
    directory
}
