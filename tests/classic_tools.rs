//! The scripts of `pyrec script`, run by bpftrace, DTrace and SystemTap, and `pyrec import` of
//! their output.

#![cfg(feature = "record")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::static_markers::{Gated, attach, semaphores};
use support::{
    Background, Python, Recording, Setup, has_program, is_root, json, number, program, pyrec, report, run,
    signal, skip, stderr, wait_for,
};

/// The calls of `start` in `classic.py`, derived from its source: entries and returns with their
/// levels and lines.
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

/// Writes a capture script for a tool, as an executable file.
fn capture_script(tool: &str, python: &Path, options: &[&str], folder: &Path) -> PathBuf {
    let path = folder.join(format!("capture.{tool}"));
    let mut command = pyrec("script");
    let output = run(command.arg(tool).arg(python).args(options));
    assert!(output.status.success(), "{}", stderr(&output));
    fs::write(&path, output.stdout).expect("the write succeeds");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("the permissions are changed");
    path
}

/// Imports a capture. Returns the trace and the messages.
fn import(capture: &Path) -> (PathBuf, String) {
    let trace = capture.with_extension("parquet");
    let output = run(pyrec("import").arg(capture).arg("-f").arg("-o").arg(&trace));
    let messages = stderr(&output);
    assert!(output.status.success(), "{messages}");
    (trace, messages)
}

#[test]
fn both_providers_record_the_expected_calls() {
    for setup in [Setup::agent("3.11"), Setup::usdt(), Setup::agent("3.13")].into_iter().flatten() {
        let recording: Recording = setup.record(&["--markers", "function"], &[program("classic.py")]);
        assert_eq!(calls(&recording.trace()), CALLS, "{setup:?}");
    }
    let Some(Setup { python, .. }) = Setup::usdt_of("3.15") else { return };
    let mut gated = Gated::start(&python, &program("classic.py"), &[""; 0]);
    let mut attached = attach(&gated.pid(), "function");
    gated.go();
    assert!(gated.process.wait().success() && attached.recorder.wait().success());
    assert_eq!(calls(&attached.trace), CALLS);
}

#[test]
fn bpftrace_captures_the_expected_calls() {
    let Some(Setup { python, .. }) = Setup::usdt() else { return };
    if !has_program("bpftrace") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = capture_script("bpftrace", &python.program, &[], folder.path());
    let capture = folder.path().join("capture.txt");
    let mut gated = Gated::start(&python, &program("classic.py"), &[""; 0]);
    let mut command = Command::new(script);
    command.args(["-p", &gated.pid()]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut bpftrace =
        Background::start(command.stdout(File::create(&capture).expect("the file is created")));
    wait_for("the markers to be on", || {
        assert_eq!(bpftrace.exit_status(), None, "bpftrace ended");
        let semaphores = semaphores(&gated.pid());
        ["function__entry", "function__return", "line"].iter().all(|name| semaphores[*name] > 0).then_some(())
    });
    gated.go();
    assert!(gated.process.wait().success());
    // bpftrace may notice the end of the process by itself.
    if bpftrace.exit_status().is_none() {
        signal(&bpftrace.pid(), "INT");
    }
    bpftrace.wait();
    let (trace, messages) = import(&capture);
    assert_eq!(calls(&trace), CALLS, "{messages}");
    let info = json(&trace, "info");
    assert_eq!((&info["provider"], number(&info, "lost")), (&"import".into(), 0), "{info}");
    assert_eq!(info["ended"]["how"], "stopped", "{info}");
}

/// A copy of DTrace's libraries without that of the io provider, which this kernel may lack.
fn dtrace_libraries(debian: &Path, folder: &Path) -> PathBuf {
    let libraries = folder.join("dtrace");
    let from = debian.join("usr/lib/x86_64-linux-gnu/dtrace");
    let copied = run(Command::new("cp").arg("-r").arg(from).arg(&libraries));
    assert!(copied.status.success(), "{copied:?}");
    for version in fs::read_dir(&libraries).expect("the directory is readable") {
        let _ = fs::remove_file(version.expect("the file is removed").path().join("io.d"));
    }
    libraries
}

#[test]
fn dtrace_captures_the_expected_calls() {
    let Some(python) = Python::in_container("3.15").filter(|_| is_root()) else {
        return skip("no Python 3.15 by scripts/pythons, or not root");
    };
    let debian = python.program.with_file_name("sid");
    if !debian.join("usr/sbin/dtrace").exists() {
        return skip("no DTrace by scripts/pythons");
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = capture_script(
        "dtrace",
        &debian.join("usr/bin/python3.15"),
        &["--markers", "function"],
        folder.path(),
    );
    let (capture, libraries) = (folder.path().join("capture.txt"), dtrace_libraries(&debian, folder.path()));
    let mut command = Command::new(debian.with_file_name("sid.run"));
    command.args(["sh", "-c", "mount -t tracefs t /sys/kernel/tracing 2>/dev/null; mount -t debugfs d /sys/kernel/debug 2>/dev/null; exec \"$@\"", "sh"]);
    command.arg("/usr/sbin/dtrace").arg("-x").arg(format!("syslibdir={}", libraries.display()));
    command.arg("-s").arg(script).arg("-o").arg(&capture);
    command.arg("-c").arg(format!("/usr/bin/python3.15 -S {}", program("classic.py").display()));
    let output = run(&mut command);
    if !output.status.success() {
        return skip(&format!("DTrace fails on this kernel: {}", stderr(&output).trim()));
    }
    let (trace, messages) = import(&capture);
    assert_eq!(calls(&trace), CALLS, "{messages}");
    assert_eq!(json(&trace, "info")["lost"], 0);
}

/// A kernel build directory with the files that SystemTap reads before it processes a script, and
/// nothing else.
fn kernel_for_stap(folder: &Path) -> PathBuf {
    let kernel = folder.join("kernel");
    fs::create_dir_all(kernel.join("include/config")).expect("the directory is created");
    let config = "CONFIG_UPROBES=y\nCONFIG_ARCH_SUPPORTS_UPROBES=y\nCONFIG_TRACEPOINTS=y\n";
    for (file, text) in
        [(".config", config), ("Module.symvers", ""), ("include/config/kernel.release", "6.1.0\n")]
    {
        fs::write(kernel.join(file), text).expect("the write succeeds");
    }
    kernel
}

/// Runs the first two passes of SystemTap, which resolve every probe point and variable. The third
/// needs the source of the kernel.
#[test]
fn systemtap_resolves_the_probes_and_variables_of_script_and_tapset() {
    let Some(Setup { python, .. }) = Setup::usdt() else { return };
    if !has_program("stap") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let kernel = kernel_for_stap(folder.path());
    let assert_resolves = |stap: &mut Command| {
        let output = run(stap.arg("-r").arg(&kernel).arg("-p2"));
        assert!(output.status.success(), "{stap:?}: {}", stderr(&output));
    };
    for markers in ["function", "function,line,gc,import,audit"] {
        let script = capture_script("stap", &python.program, &["--markers", markers], folder.path());
        assert_resolves(Command::new("stap").arg(script));
    }
    // Replaces the tapset of SystemTap that has the same name.
    let tapset = folder.path().join("tapset");
    let copied = run(Command::new("cp").args(["-r", "/usr/share/systemtap/tapset"]).arg(&tapset));
    assert!(copied.status.success(), "{copied:?}");
    fs::rename(capture_script("tapset", &python.program, &[], folder.path()), tapset.join("python.stp"))
        .expect("the tapset is moved");
    let user = "\
        probe python.function.entry, python.function.return { println(filename, funcname, lineno, frameptr) }\n\
        probe python.line { println(filename, lineno) }\n\
        probe python.gc.start { println(generation) }\n\
        probe python.gc.done { println(collected) }\n\
        probe python.import.start { println(modulename) }\n\
        probe python.import.done { println(modulename, found) }\n";
    assert_resolves(Command::new("stap").env("SYSTEMTAP_TAPSET", &tapset).args(["-e", user]));
}

#[test]
fn the_classic_styles_of_the_tree_report_can_be_imported() {
    let Some(setup) = Setup::any() else { return };
    let recording = setup.record(&["--markers", "function"], &[program("classic.py")]);
    for style in ["dtrace", "stap"] {
        let capture = recording.directory.path().join(format!("{style}.txt"));
        let printed = recording.report("tree", &["--root", "start", "--style", style]);
        fs::write(&capture, printed).expect("the write succeeds");
        let (trace, messages) = import(&capture);
        assert_eq!(calls(&trace), CALLS, "{style}: {messages}");
        assert_eq!(messages.contains("cannot be compared"), style == "stap", "{messages}");
        assert_eq!(json(&trace, "info")["ended"]["how"], "unknown");
    }
}

#[test]
fn a_script_for_a_python_without_markers_is_refused() {
    let Some(python) = Python::without_markers() else { return };
    let output = run(pyrec("script").arg("bpftrace").arg(&python.program));
    let stderr = stderr(&output);
    assert!(output.status.code() == Some(1) && stderr.contains("pyrec record CMD"), "{stderr}");
}
