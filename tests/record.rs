//! `pyrec record`, its manners: statuses, outputs, refusals, and that the program is left as it was.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use support::calls::function;
use support::{Python, Recording, Subject, in_every_way, is_root, number, program, pyrec, run};

in_every_way!(the_status_is_the_programs, output_is_untouched);

fn the_status_is_the_programs(subject: &Subject) {
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
        let python = subject.python.program.to_string_lossy().into_owned();
        let script = program("endings.py").to_string_lossy().into_owned();
        let recording = Recording::of(&["--provider", subject.provider, &python, &script, how, number]);
        assert_eq!(recording.output.status.code(), Some(status), "{how} {number}: {}", recording.said());
        assert_eq!(recording.json("info")["ended"], ended, "{how} {number}");
        assert_eq!(function(&recording.json("stats"), "work")["calls"], 1, "{how} {number}");
        assert_eq!(recording.said().contains("RuntimeError: the end"), how == "raise");
    }
}

fn output_is_untouched(subject: &Subject) {
    let echo = |command: &mut Command| -> Output {
        let mut child = command
            .arg(program("echo.py"))
            .args(["an argument", "--help", "-o", "ä"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("it is piped").write_all(b"one\ntwo").expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plain = echo(&mut subject.python.command());
    let mut command = pyrec("record");
    command.args(["-q", "--provider", subject.provider, "--"]).arg(&subject.python.program);
    let recorded = echo(command.current_dir(directory.path()));
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "['an argument', '--help', '-o', 'ä']\none\ntwo");
    assert_eq!(recorded, plain);
}

#[test]
fn says_at_the_end_what_there_is_and_what_to_type_next() {
    let Some(python) = Python::any() else { return };
    let recording =
        Recording::of(&[python.program.as_os_str(), program("endings.py").as_os_str(), "status".as_ref()]);
    let said = recording.said();
    assert!(said.contains("pyrec.parquet") && said.contains("0 lost"), "{said}");
    let next = said
        .lines()
        .last()
        .and_then(|line| line.split("next: pyrec ").nth(1))
        .expect("it says what comes next");
    let mut words = next.split_whitespace();
    let output =
        run(pyrec(words.next().expect("a command")).args(words).current_dir(recording.directory.path()));
    assert!(output.status.success(), "{next}: {output:?}");
    assert!(recording.directory.path().join("flame.svg").exists());
}

#[test]
fn the_previous_recording_is_kept() {
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
fn a_named_output_is_not_overwritten_without_force() {
    let Some(python) = Python::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("mine.parquet");
    fs::write(&output, "precious").expect("it is written");
    let witness = directory.path().join("ran");
    let code = format!("open({witness:?}, 'w')");
    let record = |options: &[&str]| {
        let mut command = pyrec("record");
        command.arg("-o").arg(&output).args(options).arg(&python.program).args(["-c", &code]);
        run(command.current_dir(directory.path()))
    };
    assert_refused(&record(&[]), &["mine.parquet", "-f"]);
    assert_eq!(fs::read(&output).expect("it is there"), b"precious");
    assert!(!witness.exists(), "the program ran");

    assert!(record(&["-f"]).status.success());
    assert!(witness.exists());
    assert!(number(&support::json(&output, "info"), "events") > 0);
    assert_eq!(files(directory.path()), ["mine.parquet", "ran"]);
}

#[test]
fn a_program_that_does_not_exist() {
    for provider in ["auto", "agent", "usdt"] {
        let recording = Recording::of(&["--provider", provider, "no-such-program", "x"]);
        assert_refused(&recording.output, &["no-such-program"]);
        assert_eq!(files(recording.directory.path()), [""; 0]);
    }
}

#[test]
fn what_cannot_be_executed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("plain.txt");
    fs::write(&file, "no program").expect("it is written");
    let recording = Recording::of(&[&file]);
    assert_refused(&recording.output, &["plain.txt"]);
    assert_eq!(files(recording.directory.path()), [""; 0]);
}

#[test]
fn an_output_in_a_directory_that_is_not_there() {
    let Some(python) = Python::any() else { return };
    let recording =
        Recording::of(&["-o", "no/such/x.parquet", &python.program.to_string_lossy(), "-c", "pass"]);
    assert_refused(&recording.output, &["no/such/x.parquet"]);
}

#[test]
fn a_python_without_markers() {
    let Some(python) = Python::without_markers() else { return };
    let recording = Recording::of(&["--provider", "usdt", &python.program.to_string_lossy(), "-c", "pass"]);
    assert_refused(&recording.output, &["marker"]);
    assert_eq!(files(recording.directory.path()), [""; 0]);
}

#[test]
fn no_rights_to_read_markers() {
    let (Some(python), true) = (Python::with_markers(), is_root()) else { return };
    let directory = open_directory();
    let binary = directory.path().join("pyrec");
    fs::copy(env!("CARGO_BIN_EXE_pyrec"), &binary).expect("it is copied");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]).arg(&binary);
    command.args(["record", "--provider", "usdt"]).arg(&python.program).args(["-c", "pass"]);
    assert_refused(&run(command.current_dir(directory.path())), &["root"]);
    assert_eq!(files(directory.path()), ["pyrec"]);
}

/// Under sudo the program runs as whoever typed it, and the trace is theirs.
#[test]
fn under_sudo_it_belongs_to_the_user() {
    use std::os::unix::fs::MetadataExt;
    let Some(subject) = Subject::usdt() else { return };
    let directory = open_directory();
    let mut command = pyrec("record");
    command.env("SUDO_UID", "65534").env("SUDO_GID", "65534").env("SUDO_USER", "nobody");
    command.args(["-q", "--provider", "usdt"]).arg(&subject.python.program);
    command.args(["-c", "import os; print(os.getuid(), os.getgid())"]);
    let output = run(command.current_dir(directory.path()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "65534 65534\n", "{output:?}");
    let trace = fs::metadata(directory.path().join("pyrec.parquet")).expect("there is a trace");
    assert_eq!((trace.uid(), trace.gid()), (65534, 65534));
}

#[test]
fn nothing_is_left_behind() {
    let Some(python) = Python::any() else { return };
    let code = "import os; print(os.environ['PYREC_SESSION'])";
    let recording = Recording::of(&["-q", &python.program.to_string_lossy(), "-c", code]);
    let session = String::from_utf8_lossy(&recording.output.stdout).trim().to_owned();
    assert!(session.contains("pyrec") && !Path::new(&session).exists(), "{session} is still there");
    assert_eq!(files(recording.directory.path()), ["pyrec.parquet"]);
}

#[test]
fn the_agent_enters_no_other_program() {
    let mut sleeper = Command::new("sleep").arg("100").spawn().expect("it starts");
    let recording = Recording::of(&["--provider", "agent", "-p", &sleeper.id().to_string()]);
    let runs_on = sleeper.try_wait().expect("it can be asked").is_none();
    sleeper.kill().and_then(|()| sleeper.wait()).expect("it ends");
    assert_refused(&recording.output, &[&sleeper.id().to_string(), "no CPython"]);
    assert!(runs_on);
}

#[test]
fn a_process_that_does_not_exist() {
    let recording = Recording::of(&["-p", "4194304"]);
    assert_refused(&recording.output, &["4194304"]);
}

#[test]
fn a_program_that_starts_no_python_is_said_to_have_had_none() {
    let recording = Recording::of(&["/bin/sh", "-c", "exit 5"]);
    assert_eq!(recording.output.status.code(), Some(5), "{}", recording.said());
    assert_eq!(recording.json("info")["events"], 0);
    assert!(
        recording.said().contains("Python"),
        "nothing says that there was no Python: {}",
        recording.said()
    );
}

/// One sentence with these words in it, on standard error only, and status 1.
fn assert_refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!((said.lines().count(), output.stdout.len()), (1, 0), "{said}");
    assert!(said.starts_with("pyrec: "), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

/// The names in a directory, sorted.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it can be listed").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A directory that anybody may use.
fn open_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    directory
}
