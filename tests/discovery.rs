//! Pythons that a recording meets on its way, and such as have other numbers and files than the recorder.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use pyrec_schema::Marker;
use support::scripted_program::{Recorder, SCRIPT, ScriptedProgram, leaf_calls};
use support::trace_rows::{events, open};
use support::{Python, Recording, Setup, json, number, report, run, stdout, wait_for};
use tempfile::TempDir;

fn setup() -> Option<Python> {
    Setup::usdt().map(|setup| setup.python)
}

/// A folder with the service's program in it, for those who run it with words of their own.
fn service() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("service.py");
    fs::write(&script, SCRIPT).expect("the write succeeds");
    let script = script.to_string_lossy().into_owned();
    (folder, script)
}

/// Records `words` by the static markers, which must end well.
fn record(words: &[&str]) -> Recording {
    let recording = Recording::of(&[&["--provider", "usdt", "--"], words].concat());
    assert!(recording.output.status.success(), "{}", recording.stderr());
    recording
}

/// The same until it shows what it should. On a busy machine the recorder may come some milliseconds late to a program
/// that it has not met, as `docs/reference/markers.md` says; that it always does would be wrong.
fn record_until(words: &[&str], is_right: impl Fn(&Recording) -> bool) -> Recording {
    let mut recordings = (0..8).map(|_| record(words));
    recordings.find(is_right).expect("one of eight recordings has everything")
}

/// Whether nothing of a call is missing: no entry, no return.
fn is_whole(trace: &Path) -> bool {
    let info = json(trace, "info");
    let repaired = info["repaired"].as_object().expect("an object");
    number(&info, "lost") == 0 && repaired.values().all(|count| count.as_u64() == Some(0))
}

/// How many interpreters were recorded from their start: what each of them runs first is that module.
fn starts(trace: &Path) -> usize {
    let dump = report(trace, "dump", &[]);
    let lines = dump.lines().filter(|line| line.contains("<frozen\\simportlib._bootstrap>:1:<module>"));
    lines.filter(|line| line.contains("function__entry")).count()
}

#[test]
fn what_a_shell_starts_is_recorded_from_its_first_event() {
    let Some(python) = setup() else { return };
    let (_folder, script) = service();
    let program = python.program.to_str().expect("UTF-8");
    // One after the other, one in a shell of its own, and what the shell itself becomes.
    let text = "\"$0\" \"$1\" burst 1000; (\"$0\" \"$1\" spawn 200; true); exec \"$0\" \"$1\" burst 30";
    let recording = record_until(&["sh", "-c", text, program, &script], |recording| {
        assert_eq!(leaf_calls(&recording.trace(), &[]), 1230);
        starts(&recording.trace()) == 4 && is_whole(&recording.trace())
    });
    let info = recording.json("info");
    let marker = |name: &str| number(&info["markers"], name);
    assert_eq!(marker("process__start"), marker("process__exit"), "{info}");
}

#[test]
fn another_python_that_one_becomes_or_starts_is_recorded_from_its_first_event() {
    let (Some(python), Some(other)) = (setup(), Setup::usdt_of("3.9")) else { return };
    let (_folder, script) = service();
    let program = other.python.program.to_str().expect("UTF-8");
    let text = "import os, subprocess, sys\nsubprocess.run(sys.argv[1:], check=True)\nos.execv(sys.argv[1], sys.argv[1:])\n";
    let first = python.program.to_str().expect("UTF-8");
    let recording = record_until(&[first, "-c", text, program, &script, "burst", "500"], |recording| {
        assert_eq!(leaf_calls(&recording.trace(), &[]), 1000);
        // Becoming another program leaves the calls of the first one open, and nothing else.
        let repaired = |kind| number(&recording.json("info")["repaired"], kind);
        (repaired("orphan_entries"), repaired("unmatched_returns"), starts(&recording.trace())) == (0, 0, 3)
    });
    let python = recording.json("info")["python"].as_str().map(str::to_owned).unwrap_or_default();
    assert!(python.contains("3.9.") && python.contains("3.11."), "{python}");
}

#[test]
fn a_program_without_markers_is_named() {
    let (Some(_), Some(bare)) = (setup(), Python::without_markers()) else { return };
    let recording = record(&["sh", "-c", "\"$0\" -c pass; true", bare.program.to_str().expect("UTF-8")]);
    let stderr = recording.stderr();
    assert!(
        stderr.contains("a program that was started is not recorded: ") && stderr.contains("has no markers"),
        "{stderr}"
    );
    assert!(stderr.contains("no Python was recorded"), "{stderr}");
}

#[test]
fn a_python_that_is_new_on_the_machine_is_recorded_with_all() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let recorder = Recorder::attach(folder.path(), &["--all"]);
    let copy = folder.path().join("newly-installed");
    fs::copy(&python.program, &copy).expect("the file is copied");
    let mut service = ScriptedProgram::run(Command::new(&copy), &python.program);
    // Nobody holds it until its markers are placed.
    wait_for("the markers", || (service.raised_semaphores().len() > 2).then_some(()));
    service.execute("burst 800");
    let pid = service.pid();
    let trace = recorder.stop();
    assert_eq!(leaf_calls(&trace, &["--pid", &pid]), 800);
    assert!(service.raised_semaphores().is_empty());
}

#[test]
fn in_a_pid_namespace_the_numbers_are_those_that_its_user_sees() {
    let Some(python) = setup() else { return };
    let (folder, script) = service();
    let trace = folder.path().join("x.parquet");
    let text = format!(
        "import os, sys\nprint(os.getpid())\nsys.argv[1:] = ['fork', '70']\nexec(open({script:?}).read())\n"
    );
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--mount-proc",
        env!("CARGO_BIN_EXE_pyrec"),
        "record",
        "--provider",
        "usdt",
    ]);
    command.args(["-q", "-f", "--markers", "function", "-o"]).arg(&trace);
    let output = run(command.arg("--").arg(&python.program).args(["-c", &text]));
    assert!(output.status.success(), "{output:?}");
    let stderr: i32 = stdout(&output).trim().parse().expect("its number");
    let trace_read = open(&trace);
    let pids: std::collections::BTreeSet<i32> = events(&trace_read).map(|event| event.pid).collect();
    assert!(
        stderr < 100 && pids.contains(&stderr) && pids.iter().all(|&pid| pid < 100),
        "{stderr} of {pids:?}"
    );
    assert_eq!((pids.len(), leaf_calls(&trace, &[])), (2, 70));
    let commands = events(&trace_read).filter(|event| event.marker == Marker::ProcessStart);
    let commands: Vec<_> = commands.filter_map(|event| trace_read.names().text_str(event.text)).collect();
    assert!(commands.iter().any(|command| command.contains("python")), "{commands:?}");
}

/// Runs long enough for the recorder to see where.
const INNER: &str = "import time\ntime.sleep(0.3)\n";

#[test]
fn sources_are_those_that_the_program_sees() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [seen, inner] = ["seen", "inner"].map(|name| folder.path().join(name));
    for (place, text) in [(&seen, "raise SystemExit('the outer one')\n"), (&inner, INNER)] {
        fs::create_dir(place)
            .and_then(|()| fs::write(place.join("script.py"), text))
            .expect("room for a file");
    }
    let script = seen.join("script.py");
    let text = format!("mount --bind {} {} && exec \"$@\"", inner.display(), seen.display());
    for provider in ["usdt", "agent"] {
        let mut words: Vec<&str> =
            vec!["--provider", provider, "--", "unshare", "--mount", "sh", "-c", &text, "sh"];
        words.extend([python.program.to_str().expect("UTF-8"), script.to_str().expect("UTF-8")]);
        let recording = Recording::of(&words);
        assert!(recording.output.status.success(), "{}", recording.stderr());
        let trace = open(&recording.trace());
        let sources = events(&trace).filter(|event| event.marker == Marker::Source);
        let ours = sources.filter(|event| trace.names().code_str(event.code).contains("/seen/script.py"));
        let texts: Vec<_> = ours.map(|event| trace.names().text_str(event.text)).collect();
        assert_eq!(texts, [Some(INNER.into())], "{provider}");
    }
}
