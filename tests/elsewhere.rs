//! Pythons that are not where their path leads: deleted, replaced, in a library, in another root or namespace.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::service::{Recorder, Service, leaves};
use support::{Python, Subject, json, report, run, skipped, wait_for};
use tempfile::TempDir;

fn subject() -> Option<Python> {
    Subject::usdt().map(|subject| subject.python)
}

/// Records the service while it calls `leaf` so often, by the number of the process that is it.
fn record(service: &mut Service, pid: &str) {
    let recorder = Recorder::attach(service.directory.path(), &["-p", pid]);
    service.does("burst 1000");
    assert_eq!(leaves(&recorder.stop(), &["--pid", pid]), 1000);
}

fn record_itself(service: &mut Service) {
    let pid = service.pid();
    record(service, &pid);
}

/// A command with its own copy of a file, in a folder that goes with it.
fn copied(file: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let copy = folder.path().join("a python");
    fs::copy(file, &copy).expect("room for a program");
    (folder, copy)
}

#[test]
fn a_program_that_was_deleted_or_replaced() {
    let Some(python) = subject() else { return };
    for replace in [false, true] {
        let (_folder, copy) = copied(&python.program);
        let mut service = Service::run(Command::new(&copy), &python.program);
        fs::remove_file(&copy).expect("it is ours");
        if replace {
            fs::copy("/bin/true", &copy).expect("room for a program");
        }
        record_itself(&mut service);
    }
}

/// A program in C that is a Python by Debian's `libpython3.11.so.1.0`; none where that cannot be built.
fn embedding(folder: &Path) -> Option<PathBuf> {
    let headers = Path::new("/usr/include/python3.11");
    if !headers.join("Python.h").exists() {
        skipped("there are no headers (apt-get install libpython3.11-dev)");
        return None;
    }
    let (source, program) = (folder.join("embedding.c"), folder.join("embedding"));
    let text = "#include <Python.h>\nint main(int c, char **v) { return Py_BytesMain(c, v); }\n";
    fs::write(&source, text).expect("room for a small file");
    let mut compiler = Command::new("cc");
    let built = run(compiler.arg("-I").arg(headers).arg("-o").arg(&program).arg(&source).arg("-lpython3.11"));
    assert!(built.status.success(), "{built:?}");
    Some(program)
}

#[test]
fn a_versioned_library() {
    let Some(python) = subject() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let Some(program) = embedding(folder.path()) else { return };
    record_itself(&mut Service::run(Command::new(&program), &python.program));
    // From its start, when nothing is mapped yet and the loader's rules say which library it will be.
    let script = folder.path().join("script.py");
    fs::write(&script, "def leaf(): pass\nfor _ in range(500): leaf()\n").expect("room for a small file");
    let trace = folder.path().join("x.parquet");
    let mut command = support::pyrec("record");
    command.args(["-q", "--provider", "usdt", "-o"]).arg(&trace).arg(&program).arg(&script);
    assert!(run(&mut command).status.success());
    assert_eq!(leaves(&trace, &[]), 500);
}

#[test]
fn a_library_that_only_its_process_sees() {
    let Some(python) = subject() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let Some(program) = embedding(folder.path()) else { return };
    let hidden = folder.path().join("hidden");
    fs::create_dir(&hidden).expect("room for a folder");
    let script = "mount -t tmpfs none \"$0\" && cp /usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0 \"$0\" && \
                  LD_LIBRARY_PATH=$0 exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(&hidden).arg(&program);
    record_itself(&mut Service::run(command, &python.program));
}

#[test]
fn a_program_that_only_its_process_sees() {
    let Some(python) = subject() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script =
        "mount -t tmpfs none \"$0\" && cp \"$1\" \"$0/python\" && shift && exec \"$0/python\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(folder.path()).arg(&python.program);
    record_itself(&mut Service::run(command, &python.program));
}

#[test]
fn a_python_in_another_root() {
    let Some(python) = subject() else { return };
    for version in ["3.9", "3.15"] {
        let Some(subject) = Subject::marked(version) else { continue };
        record_itself(&mut Service::run(Command::new(&subject.python.program), &python.program));
    }
}

#[test]
fn a_process_in_another_pid_namespace_has_the_number_that_we_see() {
    let Some(python) = subject() else { return };
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "--kill-child"]).arg(&python.program);
    let mut service = Service::run(command, &python.program);
    let children = format!("/proc/{0}/task/{0}/children", service.pid());
    let pid = wait_for("the process", || {
        let children = fs::read_to_string(&children).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    });
    record(&mut service, &pid);
}

#[test]
fn several_pythons_are_in_one_trace() {
    let Some(python) = subject() else { return };
    let Some(other) = Subject::marked("3.15") else { return };
    let mut one = Service::start(&python);
    let mut two = Service::run(Command::new(&other.python.program), &python.program);
    let pids = format!("{},{}", one.pid(), two.pid());
    let recorder = Recorder::attach(one.directory.path(), &["-p", &pids]);
    one.does("burst 300");
    two.does("burst 4000");
    let trace = recorder.stop();
    let calls = [one.pid(), two.pid()].map(|pid| leaves(&trace, &["--pid", &pid]));
    assert_eq!(calls, [300, 4000]);
    let text = report(&trace, "info", &[]);
    assert!(text.contains("3.11.") && text.contains("3.15."), "{text}");
    assert_eq!(json(&trace, "info")["lost"], 0);
}
