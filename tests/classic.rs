//! The classic tools themselves: scripts for them that they take, and what they print, imported.

#![cfg(feature = "record")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::markers::{Gated, attach, semaphores};
use support::{
    Background, Python, Recording, Subject, is_root, json, number, program, pyrec, report, run, signal,
    skipped, wait_for,
};

/// What `start` in `classic.py` calls, by reading it: entries and returns with their levels, each on its line.
const CALLS: &str = "\
\x20function-entry:classic.py:start:4
 function-entry: classic.py:outer:13
 function-entry:  classic.py:outer:13
 function-entry:   classic.py:outer:13
 function-entry:    classic.py:inner:19
function-return:    classic.py:inner:20
function-return:   classic.py:outer:16
 function-entry:   classic.py:inner:19
function-return:   classic.py:inner:20
function-return:  classic.py:outer:16
 function-entry:  classic.py:inner:19
function-return:  classic.py:inner:20
function-return: classic.py:outer:16
 function-entry: classic.py:__init__:24
function-return: classic.py:__init__:25
 function-entry: classic.py:double:27
 function-entry:  classic.py:inner:19
function-return:  classic.py:inner:20
function-return: classic.py:double:28
 function-entry: classic.py:fails:31
 function-entry:  classic.py:fails:31
function-return:  classic.py:fails:33
function-return: classic.py:fails:34
function-return:classic.py:start:10
";

/// The calls of `start` in a trace, without their times.
fn calls(trace: &Path) -> String {
    let tree = report(trace, "tree", &["--root", "start", "--style", "dtrace"]);
    tree.lines().filter_map(|line| Some(line.split_once('\t')?.1.to_owned() + "\n")).collect()
}

/// A capture script, as a program.
fn script(tool: &str, python: &Path, options: &[&str], folder: &Path) -> PathBuf {
    let path = folder.join(format!("capture.{tool}"));
    let mut command = pyrec("script");
    let output = run(command.arg(tool).arg(python).args(options));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(&path, output.stdout).expect("it is written");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    path
}

/// Imports a capture, and returns the trace and what was said.
fn import(capture: &Path) -> (PathBuf, String) {
    let trace = capture.with_extension("parquet");
    let output = run(pyrec("import").arg(capture).arg("-f").arg("-o").arg(&trace));
    let said = String::from_utf8(output.stderr).expect("it is text");
    assert!(output.status.success(), "{said}");
    (trace, said)
}

#[test]
fn pyrecs_own_providers_record_these_calls() {
    for subject in [Subject::agent("3.11"), Subject::usdt(), Subject::agent("3.13")].into_iter().flatten() {
        let recording: Recording = subject.record(&["--markers", "function"], &[program("classic.py")]);
        assert_eq!(calls(&recording.trace()), CALLS, "{subject:?}");
    }
    let Some(Subject { python, .. }) = Subject::marked("3.15") else { return };
    let mut gated = Gated::start(&python, &program("classic.py"), &[""; 0]);
    let mut attached = attach(&gated.pid(), "function");
    gated.go();
    assert!(gated.process.end().success() && attached.recorder.end().success());
    assert_eq!(calls(&attached.trace), CALLS);
}

#[test]
fn bpftrace_captures_the_same_calls() {
    let Some(Subject { python, .. }) = Subject::usdt() else { return };
    if Command::new("bpftrace").arg("--version").output().is_err() {
        return skipped("there is no bpftrace");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = script("bpftrace", &python.program, &[], folder.path());
    let capture = folder.path().join("capture.txt");
    let mut gated = Gated::start(&python, &program("classic.py"), &[""; 0]);
    let mut command = Command::new(script);
    command.args(["-p", &gated.pid()]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut bpftrace = Background::start(command.stdout(File::create(&capture).expect("a new file")));
    wait_for("the markers to be on", || {
        assert_eq!(bpftrace.0.try_wait().expect("it can be asked"), None, "bpftrace ended");
        let semaphores = semaphores(&gated.pid());
        ["function__entry", "function__return", "line"].iter().all(|name| semaphores[*name] > 0).then_some(())
    });
    gated.go();
    assert!(gated.process.end().success());
    // It may see that itself.
    if bpftrace.0.try_wait().expect("it can be asked").is_none() {
        signal(&bpftrace.pid(), "INT");
    }
    bpftrace.end();
    let (trace, said) = import(&capture);
    assert_eq!(calls(&trace), CALLS, "{said}");
    let info = json(&trace, "info");
    assert_eq!((&info["provider"], number(&info, "lost")), (&"import".into(), 0), "{info}");
    assert_eq!(info["ended"]["how"], "stopped", "{info}");
}

/// DTrace's own libraries, but for that of the io provider, which this kernel may not have.
fn dtrace_libraries(debian: &Path, folder: &Path) -> PathBuf {
    let libraries = folder.join("dtrace");
    let from = debian.join("usr/lib/x86_64-linux-gnu/dtrace");
    let copied = run(Command::new("cp").arg("-r").arg(from).arg(&libraries));
    assert!(copied.status.success(), "{copied:?}");
    for version in fs::read_dir(&libraries).expect("it can be listed") {
        let _ = fs::remove_file(version.expect("it can be listed").path().join("io.d"));
    }
    libraries
}

#[test]
fn dtrace_captures_the_same_calls() {
    let Some(python) = Python::made("3.15").filter(|_| is_root()) else {
        return skipped("scripts/pythons has made no Python 3.15");
    };
    let debian = python.program.with_file_name("sid");
    if !debian.join("usr/sbin/dtrace").exists() {
        return skipped("scripts/pythons has installed no DTrace");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script =
        script("dtrace", &debian.join("usr/bin/python3.15"), &["--markers", "function"], folder.path());
    let (capture, libraries) = (folder.path().join("capture.txt"), dtrace_libraries(&debian, folder.path()));
    let mut command = Command::new(debian.with_file_name("sid.run"));
    command.args(["sh", "-c", "mount -t tracefs t /sys/kernel/tracing 2>/dev/null; mount -t debugfs d /sys/kernel/debug 2>/dev/null; exec \"$@\"", "sh"]);
    command.arg("/usr/sbin/dtrace").arg("-x").arg(format!("syslibdir={}", libraries.display()));
    command.arg("-s").arg(script).arg("-o").arg(&capture);
    command.arg("-c").arg(format!("/usr/bin/python3.15 -S {}", program("classic.py").display()));
    let output = run(&mut command);
    if !output.status.success() {
        return skipped(&format!(
            "DTrace does not run here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let (trace, said) = import(&capture);
    assert_eq!(calls(&trace), CALLS, "{said}");
    assert_eq!(json(&trace, "info")["lost"], 0);
}

/// What SystemTap wants to see of a kernel before it looks at a script: not its code, which nobody builds here.
fn kernel_for_stap(folder: &Path) -> PathBuf {
    let kernel = folder.join("kernel");
    fs::create_dir_all(kernel.join("include/config")).expect("they are made");
    let config = "CONFIG_UPROBES=y\nCONFIG_ARCH_SUPPORTS_UPROBES=y\nCONFIG_TRACEPOINTS=y\n";
    for (file, text) in
        [(".config", config), ("Module.symvers", ""), ("include/config/kernel.release", "6.1.0\n")]
    {
        fs::write(kernel.join(file), text).expect("it is written");
    }
    kernel
}

/// Up to its second pass, in which every probe point and every variable is found: the third one needs a kernel.
#[test]
fn systemtap_takes_script_and_tapset() {
    let Some(Subject { python, .. }) = Subject::usdt() else { return };
    if Command::new("stap").arg("--version").output().is_err() {
        return skipped("there is no SystemTap");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let kernel = kernel_for_stap(folder.path());
    let passes = |stap: &mut Command| {
        let output = run(stap.arg("-r").arg(&kernel).arg("-p2"));
        assert!(output.status.success(), "{stap:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for markers in ["function", "function,line,gc,import,audit"] {
        let script = script("stap", &python.program, &["--markers", markers], folder.path());
        passes(Command::new("stap").arg(script));
    }
    // SystemTap has a tapset of that name, whose probes this one's replace.
    let tapset = folder.path().join("tapset");
    let copied = run(Command::new("cp").args(["-r", "/usr/share/systemtap/tapset"]).arg(&tapset));
    assert!(copied.status.success(), "{copied:?}");
    fs::rename(script("tapset", &python.program, &[], folder.path()), tapset.join("python.stp"))
        .expect("a folder");
    let user = "\
        probe python.function.entry, python.function.return { println(filename, funcname, lineno, frameptr) }\n\
        probe python.line { println(filename, lineno) }\n\
        probe python.gc.start { println(generation) }\n\
        probe python.gc.done { println(collected) }\n\
        probe python.import.start { println(modulename) }\n\
        probe python.import.done { println(modulename, found) }\n";
    passes(Command::new("stap").env("SYSTEMTAP_TAPSET", &tapset).args(["-e", user]));
}

#[test]
fn what_pyrec_prints_as_the_classic_tools_do_can_be_imported() {
    let Some(subject) = Subject::any() else { return };
    let recording = subject.record(&["--markers", "function"], &[program("classic.py")]);
    for style in ["dtrace", "stap"] {
        let capture = recording.directory.path().join(format!("{style}.txt"));
        let printed = recording.report("tree", &["--root", "start", "--style", style]);
        fs::write(&capture, printed).expect("it is written");
        let (trace, said) = import(&capture);
        assert_eq!(calls(&trace), CALLS, "{style}: {said}");
        assert_eq!(said.contains("cannot be compared"), style == "stap", "{said}");
        assert_eq!(json(&trace, "info")["ended"]["how"], "unknown");
    }
}

#[test]
fn a_python_without_markers_has_no_script() {
    let Some(python) = Python::without_markers() else { return };
    let output = run(pyrec("script").arg("bpftrace").arg(&python.program));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("pyrec record CMD"), "{said}");
}
