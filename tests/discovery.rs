//! Pythons that a recorder by static markers finds during the recording: interpreters that a shell
//! or another Python starts, that are installed later, or that run in other namespaces.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pyrec_schema::Marker;
use support::scripted_program::{Recorder, SCRIPT, ScriptedProgram, leaf_calls};
use support::static_markers::{Gated, semaphore_addresses};
use support::trace_rows::{events, open};
use support::{Python, Recording, Setup, json, number, program, pyrec, report, run, stdout, wait_for};
use tempfile::TempDir;

fn setup() -> Option<Python> {
    Setup::usdt().map(|setup| setup.python)
}

/// A directory with the script of [`ScriptedProgram`], to be run by commands of the tests.
fn scripted_program() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("scripted.py");
    fs::write(&script, SCRIPT).expect("the write succeeds");
    let script = script.to_string_lossy().into_owned();
    (folder, script)
}

/// Records `words` by static markers, in an environment with these variables. Panics unless the
/// recording succeeds.
fn record(words: &[&str], environment: &[(&str, String)]) -> Recording {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = pyrec("record");
    command.envs(environment.iter().cloned()).args(["--provider", "usdt", "--"]).args(words);
    let recording = Recording { output: run(command.current_dir(directory.path())), directory };
    assert!(recording.output.status.success(), "{}", recording.stderr());
    recording
}

/// A library to preload into Python. It holds the interpreter before its first Python code until
/// the recorder has enabled the markers.
///
/// Without it, an interpreter that is found during the recording may reach its first Python code
/// before the recorder is scheduled, as on a busy machine. Its first events are missing then, which
/// `docs/design/static-markers.md` states.
const HOLD: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* HOLD: the name of the interpreter's file, then the addresses of its semaphores, separated by colons. */
__attribute__((constructor)) static void hold(void)
{
    char path[4096] = "", *end;
    const char *list = getenv("HOLD");
    size_t length = list ? strcspn(list, ":") : 0;
    if (!list || readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        return;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strlen(name) != length || strncmp(list, name, length))
        return;
    for (list += length; *list == ':'; list = end) {
        volatile unsigned short *semaphore = (void *)strtoul(list + 1, &end, 16);
        for (int ms = 0; !*semaphore && ms < 60000; ms++)
            usleep(1000);
    }
}
"#;

/// Compiles [`HOLD`]. Returns the environment variables that preload it into this interpreter.
fn hold(python: &Python, folder: &Path) -> [(&'static str, String); 2] {
    let (source, library) = (folder.join("hold.c"), folder.join("hold.so"));
    fs::write(&source, HOLD).expect("the write succeeds");
    let compiled = run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source));
    assert!(compiled.status.success(), "{compiled:?}");
    let gated = Gated::start(python, &program("matrix.py"), &[""; 0]);
    let exe = PathBuf::from(format!("/proc/{}/exe", gated.pid()));
    let path = fs::read_link(&exe).expect("the process runs");
    let name = path.file_name().expect("the path has a file name").to_string_lossy().into_owned();
    let addresses = semaphore_addresses(&exe);
    // CPython 3.11 fires entries only while the semaphore of `line` is raised, too.
    let line = (python.version == "3.11").then_some("line");
    let markers = ["function__entry", "function__return"].into_iter().chain(line);
    let addresses: String = markers.map(|marker| format!(":{:x}", addresses[marker])).collect();
    [("LD_PRELOAD", library.display().to_string()), ("HOLD", name + &addresses)]
}

/// Whether every entry has its return, no event was lost, and nothing was repaired.
fn is_complete(trace: &Path) -> bool {
    let info = json(trace, "info");
    let repaired = info["repaired"].as_object().expect("an object");
    number(&info, "lost") == 0 && repaired.values().all(|count| count.as_u64() == Some(0))
}

/// The number of interpreters that were recorded from their start: importlib._bootstrap is the
/// first module that an interpreter runs.
fn recorded_starts(trace: &Path) -> usize {
    let dump = report(trace, "dump", &[]);
    let lines = dump.lines().filter(|line| line.contains("<frozen\\simportlib._bootstrap>:1:<module>"));
    lines.filter(|line| line.contains("function__entry")).count()
}

#[test]
fn pythons_that_a_shell_starts_are_recorded_from_their_first_event() {
    let Some(python) = setup() else { return };
    let (folder, script) = scripted_program();
    let binary = python.program.to_str().expect("UTF-8");
    // A child, a child and a grandchild of a subshell, and the program that the shell itself
    // executes.
    let text = "\"$0\" \"$1\" burst 1000; (\"$0\" \"$1\" spawn 200; true); exec \"$0\" \"$1\" burst 30";
    let recording = record(&["sh", "-c", text, binary, &script], &hold(&python, folder.path()));
    let trace = recording.trace();
    assert_eq!((leaf_calls(&trace, &[]), recorded_starts(&trace)), (1230, 4));
    let info = recording.json("info");
    assert!(is_complete(&trace), "{info}");
    let count = |marker: &str| number(&info["markers"], marker);
    assert_eq!(count("process__start"), count("process__exit"), "{info}");
}

#[test]
fn another_python_that_a_program_starts_and_executes_is_recorded_from_its_first_event() {
    let (Some(python), Some(other)) = (setup(), Setup::usdt_of("3.9")) else { return };
    let (folder, script) = scripted_program();
    let binary = other.python.program.to_str().expect("UTF-8");
    let text = "import os, subprocess, sys\nsubprocess.run(sys.argv[1:], check=True)\nos.execv(sys.argv[1], sys.argv[1:])\n";
    let first = python.program.to_str().expect("UTF-8");
    let recording =
        record(&[first, "-c", text, binary, &script, "burst", "500"], &hold(&other.python, folder.path()));
    let trace = recording.trace();
    assert_eq!((leaf_calls(&trace, &[]), recorded_starts(&trace)), (1000, 3));
    // The first program executes another one amid its calls, which therefore have no returns.
    // Nothing else is repaired.
    let info = recording.json("info");
    let repaired = |kind| number(&info["repaired"], kind);
    assert_eq!((repaired("orphan_entries"), repaired("unmatched_returns")), (0, 0), "{info}");
    let versions = info["python"].as_str().unwrap_or_default();
    assert!(versions.contains("3.9.") && versions.contains("3.11."), "{versions}");
}

#[test]
fn a_program_without_markers_is_named() {
    let (Some(_), Some(bare)) = (setup(), Python::without_markers()) else { return };
    // Long enough for the recorder to find the program on a busy machine.
    let text = "\"$0\" -c 'import time; time.sleep(2)'; true";
    let recording = record(&["sh", "-c", text, bare.program.to_str().expect("UTF-8")], &[]);
    let stderr = recording.stderr();
    assert!(
        stderr.contains("a program that was started is not recorded: ") && stderr.contains("has no markers"),
        "{stderr}"
    );
    assert!(stderr.contains("no Python was recorded"), "{stderr}");
}

#[test]
fn with_all_a_python_that_is_installed_later_is_recorded() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let recorder = Recorder::attach(folder.path(), &["--all"]);
    let copy = folder.path().join("newly-installed");
    fs::copy(&python.program, &copy).expect("the file is copied");
    let mut program = ScriptedProgram::run(Command::new(&copy), &python.program);
    // With --all no process is stopped, so the program waits until its markers are enabled.
    wait_for("raised semaphores", || (program.raised_semaphores().len() > 2).then_some(()));
    program.execute("burst 800");
    let pid = program.pid();
    let trace = recorder.stop();
    assert_eq!(leaf_calls(&trace, &["--pid", &pid]), 800);
    assert!(program.raised_semaphores().is_empty());
}

#[test]
fn in_a_pid_namespace_rows_have_the_pids_of_that_namespace() {
    let Some(python) = setup() else { return };
    let (folder, script) = scripted_program();
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
    let printed_pid: i32 = stdout(&output).trim().parse().expect("a number");
    let trace_read = open(&trace);
    let pids: BTreeSet<i32> = events(&trace_read).map(|event| event.pid).collect();
    assert!(
        printed_pid < 100 && pids.contains(&printed_pid) && pids.iter().all(|&pid| pid < 100),
        "{printed_pid} of {pids:?}"
    );
    assert_eq!((pids.len(), leaf_calls(&trace, &[])), (2, 70));
    let commands = events(&trace_read).filter(|event| event.marker == Marker::ProcessStart);
    let commands: Vec<_> = commands.filter_map(|event| trace_read.names().text_str(event.text)).collect();
    assert!(commands.iter().any(|command| command.contains("python")), "{commands:?}");
}

/// Runs long enough for the recorder to find the root directory and mounts of the process.
const INNER: &str = "import time\ntime.sleep(0.3)\n";

#[test]
fn source_texts_are_read_in_the_mount_namespace_of_the_program() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [outer, inner] = ["outer", "inner"].map(|name| folder.path().join(name));
    for (directory, text) in [(&outer, "raise SystemExit('the outer one')\n"), (&inner, INNER)] {
        fs::create_dir(directory).expect("the directory is created");
        fs::write(directory.join("script.py"), text).expect("the write succeeds");
    }
    let script = outer.join("script.py");
    let text = format!("mount --bind {} {} && exec \"$@\"", inner.display(), outer.display());
    for provider in ["usdt", "agent"] {
        let mut words: Vec<&str> =
            vec!["--provider", provider, "--", "unshare", "--mount", "sh", "-c", &text, "sh"];
        words.extend([python.program.to_str().expect("UTF-8"), script.to_str().expect("UTF-8")]);
        let recording = Recording::of(&words);
        assert!(recording.output.status.success(), "{}", recording.stderr());
        let trace = open(&recording.trace());
        let sources = events(&trace).filter(|event| event.marker == Marker::Source);
        let of_script =
            sources.filter(|event| trace.names().code_str(event.code).contains("/outer/script.py"));
        let texts: Vec<_> = of_script.map(|event| trace.names().text_str(event.text)).collect();
        assert_eq!(texts, [Some(INNER.into())], "{provider}");
    }
}
