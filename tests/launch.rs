//! Programs started by pyrec: with options of the interpreter, modules, virtual environments, and
//! children.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::call_counts::function;
use support::venv::Environment;
use support::{Python, Recording, Setup, json, number, on_every_python, program, pyrec, report, run, stdout};

on_every_python!(every_way_to_start_python_is_recorded);

/// Calls `work` twice.
const CODE: &str = "def work(): pass\nwork()\nwork()";

fn every_way_to_start_python_is_recorded(setup: &Setup) {
    let script = program("endings.py").to_string_lossy().into_owned();
    let table: &[(&[&str], &str, u64)] = &[
        (&[&script, "status"], "work", 1),
        (&["-c", CODE], "work", 2),
        (&["-I", "-c", CODE], "work", 2),
        (&["-E", "-s", "-c", CODE], "work", 2),
        (&["-S", "-c", CODE], "work", 2),
        (&["-I", "-S", "-X", "dev", "-W", "error", "-O", "-u", &script, "status"], "work", 1),
        (&["-m", "timeit", "-n", "3", "-r", "1", "-s", CODE, "work()"], "work", 2 + 3),
        (&["-m", "calendar", "2026", "11"], "formatmonth", 1),
    ];
    for (arguments, name, calls) in table {
        let recording = setup.record(&[], arguments);
        assert_eq!(function(&recording.json("stats"), name)["calls"], *calls, "{arguments:?}");
    }
}

#[test]
fn a_script_without_an_interpreter_runs_with_python3_on_the_path() {
    let Some(environment) = Environment::any() else { return };
    let script = program("endings.py");
    for words in
        [vec![script.to_str().expect("UTF-8"), "status"], vec!["-c", CODE], vec!["-m", "json.tool", "--help"]]
    {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = pyrec("record");
        command.args(&words).env("PATH", environment.bin()).current_dir(directory.path());
        let output = run(&mut command);
        assert!(output.status.success(), "{words:?}: {output:?}");
        let info = json(&directory.path().join("pyrec.parquet"), "info");
        assert!(number(&info, "events") > 0, "{words:?}: {info}");
    }
}

#[test]
fn console_scripts_run_in_their_virtual_environment() {
    let Some(environment) = Environment::any() else { return };
    let script = environment.bin().join("tool");
    let python = environment.bin().join("python");
    let text =
        format!("#!{}\nimport sys\ndef main():\n    return sys.prefix\nprint(main())\n", python.display());
    fs::write(&script, text)
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
        .expect("the script is written");
    for words in [vec![script.clone()], vec![python, script]] {
        let recording = Recording::of(&words);
        let prefix = fs::canonicalize(stdout(&recording.output).trim()).expect("the prefix exists");
        assert_eq!(prefix, fs::canonicalize(environment.path()).expect("the environment exists"));
        assert_eq!(function(&recording.json("stats"), "main")["calls"], 1);
    }
}

#[test]
fn children_are_in_the_same_trace() {
    let Some(python) = Python::any() else { return };
    let script = program("endings.py");
    let line = format!(
        "{0} {1} status; {0} {1} now & wait; env {0} {1} status",
        python.program.display(),
        script.display()
    );
    let recording = Recording::of(&["/bin/sh", "-c", &line]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    assert_eq!(function(&recording.json("stats"), "work")["calls"], 3);
    assert_eq!(recording.json("info")["processes"], 3);
}

#[test]
fn the_recording_does_not_wait_for_a_daemon_that_outlives_the_program() {
    let Some(python) = Python::any() else { return };
    let code = "import subprocess, sys\n\
                subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'], stdin=-3, stdout=-3, stderr=-3, start_new_session=True)";
    let start = std::time::Instant::now();
    let recording = Recording::of(&[python.program.to_str().expect("UTF-8"), "-c", code]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    assert!(start.elapsed().as_secs() < 25, "the recording waited for the daemon");
    assert_eq!(recording.json("info")["ended"]["how"], "exited");
}

#[test]
fn programs_that_are_not_python_are_not_affected() {
    let Some(python) = Python::any() else { return };
    let line = format!(
        "echo $((1 + 1)); {} -c 'print(3)' | cat; /bin/ls / >/dev/null; exit 6",
        python.program.display()
    );
    let recording = Recording::of(&["-q", "/bin/sh", "-c", &line]);
    assert_eq!(recording.output.status.code(), Some(6));
    assert_eq!(stdout(&recording.output), "2\n3\n");
    assert_eq!(recording.stderr(), "");
    assert_eq!(recording.json("info")["processes"], 1);
}

#[test]
fn the_program_observes_no_difference() {
    let Some(setup) = Setup::any() else { return };
    let code = "import sys, threading\n\
                print(sys.getprofile(), sys.gettrace(), threading.active_count(), sorted(sys.argv), sys.flags, sys.path)\n\
                print([name for name in sys.modules if 'pyrec' in name])\n\
                sys.exit(sys.getrefcount(type('X', (), {})) )";
    let plain = run(setup.python.command().args(["-c", code]));
    let words = ["-q", &setup.python.program.to_string_lossy(), "-c", code];
    assert_eq!(Recording::of(&words).output, plain);
}

#[test]
fn source_texts_threads_and_processes_are_in_the_trace() {
    let Some(setup) = Setup::any() else { return };
    let recording = setup.record(&[], &[program("burst.py").as_os_str(), "10".as_ref(), "3".as_ref()]);
    let info = recording.json("info");
    assert_eq!(number(&info, "threads"), 3, "{info}");
    assert_eq!(number(&info["markers"], "thread__start"), 3, "{info}");
    assert_eq!(number(&info["markers"], "thread__exit"), 3, "{info}");
    assert_eq!(number(&info["markers"], "process__start"), 1, "{info}");
    assert_eq!(number(&info["markers"], "process__exit"), 1, "{info}");
    assert!(number(&info["markers"], "source") >= 1, "{info}");
}

#[test]
fn only_requested_marker_groups_are_recorded() {
    let Some(setup) = Setup::any() else { return };
    let table: &[(&[&str], &[&str])] = &[
        (&["--markers", "function"], &["function__entry", "function__return"]),
        (&["--markers", "line"], &["line"]),
        (&["--markers", "gc"], &["gc__done", "gc__start"]),
        (&["--markers", "import"], &["import__find__load__done", "import__find__load__start"]),
        (
            &["--lines"],
            &[
                "function__entry",
                "function__return",
                "gc__done",
                "gc__start",
                "import__find__load__done",
                "import__find__load__start",
                "line",
            ],
        ),
    ];
    for (options, expected) in table {
        let code = "import gc, colorsys\nimport colorsys\ngc.collect()\ndef f(): pass\nf()";
        let recording = setup.record(options, &["-c", code]);
        let info = recording.json("info");
        let markers = info["markers"].as_object().expect("an object");
        let mut names: Vec<&str> =
            markers.keys().map(String::as_str).filter(|name| !RECORDER_MARKERS.contains(name)).collect();
        names.sort_unstable();
        assert_eq!(names, *expected, "{options:?}");
        if options[0] == "--markers" && options[1] == "import" {
            assert!(report(&recording.trace(), "tree", &[]).contains("colorsys"));
        }
    }
}

/// Markers of rows that are in every trace.
const RECORDER_MARKERS: [&str; 6] =
    ["process__start", "process__exit", "thread__start", "thread__exit", "lost", "source"];
