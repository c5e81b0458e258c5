//! Static markers in interpreters whose binary is not at its path: deleted, replaced, in a shared
//! library, in another root directory or mount namespace.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::scripted_program::{Recorder, ScriptedProgram, leaf_calls};
use support::{Python, Setup, json, report, run, skip, wait_for};
use tempfile::TempDir;

fn setup() -> Option<Python> {
    Setup::usdt().map(|setup| setup.python)
}

/// Attaches to the process `pid`, and asserts that 1,000 calls of the program are recorded.
fn assert_records(service: &mut ScriptedProgram, pid: &str) {
    let recorder = Recorder::attach(service.directory.path(), &["-p", pid]);
    service.execute("burst 1000");
    assert_eq!(leaf_calls(&recorder.stop(), &["--pid", pid]), 1000);
}

fn assert_records_itself(service: &mut ScriptedProgram) {
    let pid = service.pid();
    assert_records(service, &pid);
}

/// A copy of a file in a temporary directory.
fn copied(file: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let copy = folder.path().join("a python");
    fs::copy(file, &copy).expect("the file is copied");
    (folder, copy)
}

#[test]
fn a_program_whose_file_was_deleted_or_replaced_is_recorded() {
    let Some(python) = setup() else { return };
    for replace in [false, true] {
        let (_folder, copy) = copied(&python.program);
        let mut service = ScriptedProgram::run(Command::new(&copy), &python.program);
        fs::remove_file(&copy).expect("the file is removed");
        if replace {
            fs::copy("/bin/true", &copy).expect("the file is copied");
        }
        assert_records_itself(&mut service);
    }
}

/// A C program that embeds Debian's `libpython3.11.so.1.0`. Skips the test if it cannot be
/// compiled.
fn embedding_program(folder: &Path) -> Option<PathBuf> {
    let headers = Path::new("/usr/include/python3.11");
    if !headers.join("Python.h").exists() {
        skip("no /usr/include/python3.11/Python.h (apt-get install libpython3.11-dev)");
        return None;
    }
    let (source, program) = (folder.join("embedding.c"), folder.join("embedding"));
    let text = "#include <Python.h>\nint main(int c, char **v) { return Py_BytesMain(c, v); }\n";
    fs::write(&source, text).expect("the write succeeds");
    let mut compiler = Command::new("cc");
    let built = run(compiler.arg("-I").arg(headers).arg("-o").arg(&program).arg(&source).arg("-lpython3.11"));
    assert!(built.status.success(), "{built:?}");
    Some(program)
}

#[test]
fn a_program_that_embeds_a_versioned_library_is_recorded() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let Some(program) = embedding_program(folder.path()) else { return };
    assert_records_itself(&mut ScriptedProgram::run(Command::new(&program), &python.program));
    // Recorded from its start: the library is found by the rules of the loader, before it is
    // mapped.
    let script = folder.path().join("script.py");
    fs::write(&script, "def leaf(): pass\nfor _ in range(500): leaf()\n").expect("the write succeeds");
    let trace = folder.path().join("x.parquet");
    let mut command = support::pyrec("record");
    command.args(["-q", "--provider", "usdt", "-o"]).arg(&trace).arg(&program).arg(&script);
    assert!(run(&mut command).status.success());
    assert_eq!(leaf_calls(&trace, &[]), 500);
}

#[test]
fn a_library_in_another_mount_namespace_is_recorded() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let Some(program) = embedding_program(folder.path()) else { return };
    let hidden = folder.path().join("hidden");
    fs::create_dir(&hidden).expect("the directory is created");
    let script = "mount -t tmpfs none \"$0\" && cp /usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0 \"$0\" && \
                  LD_LIBRARY_PATH=$0 exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(&hidden).arg(&program);
    assert_records_itself(&mut ScriptedProgram::run(command, &python.program));
}

#[test]
fn a_program_in_another_mount_namespace_is_recorded() {
    let Some(python) = setup() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script =
        "mount -t tmpfs none \"$0\" && cp \"$1\" \"$0/python\" && shift && exec \"$0/python\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(folder.path()).arg(&python.program);
    assert_records_itself(&mut ScriptedProgram::run(command, &python.program));
}

#[test]
fn a_python_in_another_root_directory_is_recorded() {
    let Some(python) = setup() else { return };
    for version in ["3.9", "3.15"] {
        let Some(setup) = Setup::usdt_of(version) else { continue };
        assert_records_itself(&mut ScriptedProgram::run(
            Command::new(&setup.python.program),
            &python.program,
        ));
    }
}

#[test]
fn a_process_in_another_pid_namespace_has_the_pid_of_the_recorders_namespace() {
    let Some(python) = setup() else { return };
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "--kill-child"]).arg(&python.program);
    let mut service = ScriptedProgram::run(command, &python.program);
    let children = format!("/proc/{0}/task/{0}/children", service.pid());
    let pid = wait_for("the process", || {
        let children = fs::read_to_string(&children).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    });
    assert_records(&mut service, &pid);
}

#[test]
fn processes_of_two_pythons_are_in_one_trace() {
    let Some(python) = setup() else { return };
    let Some(other) = Setup::usdt_of("3.15") else { return };
    let mut one = ScriptedProgram::start(&python);
    let mut two = ScriptedProgram::run(Command::new(&other.python.program), &python.program);
    let pids = format!("{},{}", one.pid(), two.pid());
    let recorder = Recorder::attach(one.directory.path(), &["-p", &pids]);
    one.execute("burst 300");
    two.execute("burst 4000");
    let trace = recorder.stop();
    let calls = [one.pid(), two.pid()].map(|pid| leaf_calls(&trace, &["--pid", &pid]));
    assert_eq!(calls, [300, 4000]);
    let text = report(&trace, "info", &[]);
    assert!(text.contains("3.11.") && text.contains("3.15."), "{text}");
    assert_eq!(json(&trace, "info")["lost"], 0);
}
