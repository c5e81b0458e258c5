//! When the recorder cannot keep up, or write: nothing is lost, or it is said how much.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use support::disk::SmallDisk;
use support::numbered::random;
use support::readers::Readers;
use support::{
    Background, Python, Subject, calls_in, is_root, json, number, program, pyrec, report, run, signal,
    wait_for,
};

/// Calls of `tick` in `forever.py`. Their events are three times what a ring holds.
const CALLS: u64 = 800_000;

/// What the recorder does while the program runs.
#[derive(Clone, Copy, PartialEq)]
enum Pause {
    No,
    /// It stands still until the program waits for it.
    UntilTheProgramWaits,
    /// It stands still until the program has made all its calls.
    UntilTheEnd,
}

/// Records `forever.py`. Returns `info --json`.
fn record(python: &Python, options: &[&str], pause: Pause) -> Value {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let counter = directory.path().join("calls");
    let calls = || calls_in(&counter);
    let mut command = pyrec("record");
    command
        .args(["-q", "--markers", "function"])
        .args(options)
        .arg(&python.program)
        .arg(program("forever.py"));
    command.arg(&counter).arg(CALLS.to_string()).current_dir(directory.path());
    let mut recorder = Background::start(&mut command);
    if pause != Pause::No {
        wait_for("the first call", || (calls() > 0).then_some(()));
        signal(&recorder.pid(), "STOP");
        if pause == Pause::UntilTheEnd {
            wait_for("the last call, recorder or not", || (calls() == CALLS).then_some(()));
        } else {
            std::thread::sleep(Duration::from_secs(1));
            let then = calls();
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!((calls(), then < CALLS), (then, true), "the program does not wait");
        }
        signal(&recorder.pid(), "CONT");
    }
    assert!(recorder.end().success());
    assert_eq!(calls(), CALLS);
    let trace = directory.path().join("pyrec.parquet");
    for report_name in ["stats", "tree"] {
        let text = report(&trace, report_name, &[]);
        let trust = text.lines().last().expect("a trust line");
        assert!(trust.contains("lost"), "{trust}");
    }
    json(&trace, "info")
}

fn recorded(info: &Value) -> u64 {
    number(&info["markers"], "function__entry") + number(&info["markers"], "function__return")
}

#[test]
fn a_full_ring_makes_the_program_wait() {
    let Some(python) = Python::any() else { return };
    let waited = record(&python, &[], Pause::UntilTheProgramWaits);
    assert_eq!(number(&waited, "lost"), 0);
    assert_eq!(number(&waited["markers"], "function__entry"), number(&waited["markers"], "function__return"));
    assert_eq!(recorded(&waited), recorded(&record(&python, &[], Pause::No)));
}

#[test]
fn what_a_full_ring_drops_is_counted() {
    let Some(python) = Python::any() else { return };
    losses_are_counted(&python, &["--on-full", "drop"]);
}

/// Nobody outside a process can make it wait.
#[test]
fn what_the_kernel_drops_is_counted() {
    let Some(subject) = Subject::usdt() else { return };
    losses_are_counted(&subject.python, &["--provider", "usdt", "--on-full", "drop"]);
}

/// What is recorded and what is lost is what there was, to the last event.
fn losses_are_counted(python: &Python, options: &[&str]) {
    let whole = record(python, options, Pause::No);
    let dropped = record(python, options, Pause::UntilTheEnd);
    // On a busy machine the first one may lose some, too.
    let all = |info: &Value| recorded(info) + number(info, "lost");
    assert!(all(&whole) > 2 * CALLS && number(&dropped, "lost") > 0, "{whole} {dropped}");
    assert!(number(&dropped["markers"], "lost") > 0, "{dropped}");
    assert_eq!(all(&dropped), all(&whole));
}

#[test]
fn memory_of_the_recorder_is_bounded() {
    let Some(python) = Python::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = pyrec("record");
    command
        .args(["-q", "--markers", "function"])
        .arg(&python.program)
        .arg(program("burst.py"))
        .args(["3000000", "2"]);
    let mut recorder = Background::start(command.current_dir(directory.path()));
    let mut peak_kib = 0;
    let status = wait_for("the end", || {
        peak_kib = peak_kib.max(peak_of(&recorder.0));
        recorder.0.try_wait().expect("it can be asked")
    });
    assert!(status.success());
    let info = json(&directory.path().join("pyrec.parquet"), "info");
    assert!(recorded(&info) >= 12_000_000, "{info}");
    assert!(peak_kib > 0 && peak_kib < 128 << 10, "{peak_kib} KiB");
}

/// The most memory that a process has taken so far, in KiB; 0 if it is gone.
fn peak_of(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_program() {
    let (Some(python), true) = (Python::any(), is_root()) else { return };
    let mut readers = Readers::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    fills(&python, 1 << 20, Full::Disk, &mut readers, place.path());
    fills(&python, 1 << 20, Full::Limit, &mut readers, place.path());
    readers.read();
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn fifty_disks_are_full_and_twenty_limits_are_met() {
    let pythons: Vec<Python> = Python::all().collect();
    let mut readers = Readers::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    for round in 0..70 {
        let full = if round < 50 { Full::Disk } else { Full::Limit };
        if full == Full::Disk && !is_root() {
            continue;
        }
        let bytes = (64 << 10) + random(1 << 20);
        fills(&pythons[round % pythons.len()], bytes, full, &mut readers, place.path());
    }
    readers.read();
}

/// What does not take everything.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Full {
    /// A file system of that size.
    Disk,
    /// The recorder's files may not be longer.
    Limit,
}

/// The program does not notice; there is one sentence, and a whole file.
fn fills(python: &Python, bytes: u64, full: Full, readers: &mut Readers, place: &Path) {
    let disk = SmallDisk::mount(&if full == Full::Disk { bytes.to_string() } else { "100m".into() });
    let Some(disk) = disk else { return };
    let trace = disk.path().join("x.parquet");
    let recorder = env!("CARGO_BIN_EXE_pyrec");
    // The program is there before the file is, so that the limit is the recorder's alone.
    let limited = format!(
        "\"$0\" \"$@\" & while [ ! -e \"$3\" ]; do sleep 0.01; done; prlimit --pid $! --fsize={bytes}; wait $!"
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", if full == Full::Limit { &limited } else { "exec \"$0\" \"$@\"" }]);
    command.args([recorder, "record", "-o"]).arg(&trace).arg(&python.program);
    command.args(["-c", "def f(): pass\nfor _ in range(6_000_000): f()\nprint('done')"]);
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    let how = format!("{python:?}, {full:?} of {bytes} bytes: {said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{how}");
    let why = if full == Full::Disk { "no space" } else { "file too large" };
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{how}");
    assert!(said.contains("x.parquet") && said.to_lowercase().contains(why), "{how}");

    let info = json(&trace, "info");
    // What is smaller than the first row group holds a file without rows, and that is said.
    assert_eq!(number(&info, "events") == 0, said.contains("the 0 rows"), "{info}: {how}");
    assert_ne!(info["ended"]["how"], "exited", "{info}");
    report(&trace, "stats", &[]);
    readers.keep(&trace, place);
}

#[test]
fn a_directory_that_takes_no_file_is_refused_before_anything_runs() {
    let (Some(python), true) = (Python::any(), is_root()) else { return };
    let Some(disk) = SmallDisk::mount("1m,ro") else { return };
    let mut command = pyrec("record");
    command.arg("-o").arg(disk.path().join("x.parquet")).arg(&python.program).args(["-c", "print('done')"]);
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count(), output.stdout.len()), (Some(1), 1, 0), "{said}");
    assert!(said.contains("x.parquet") && said.to_lowercase().contains("read-only"), "{said}");
}

#[test]
fn a_disk_that_is_full_from_the_start() {
    let (Some(python), true) = (Python::any(), is_root()) else { return };
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let filler = disk.path().join("filler");
    let filled = fs::write(&filler, vec![0; 1 << 20]).expect_err("it does not fit");
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let mut command = pyrec("record");
    command.arg("-o").arg(disk.path().join("x.parquet")).arg(&python.program).args(["-c", "print('done')"]);
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("x.parquet") && said.to_lowercase().contains("no space"), "{said}");
}
