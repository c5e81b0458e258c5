//! Recorders that cannot keep up, or cannot write: no event is lost, or the losses are counted.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use support::external_readers::ExternalReaders;
use support::numbered_calls::random;
use support::small_disk::SmallDisk;
use support::{
    Background, Python, Setup, calls_in, is_root, json, number, program, pyrec, report, run, signal, stderr,
    stdout, wait_for,
};

/// Calls of `tick` in `forever.py`. Their events fill a ring three times.
const CALLS: u64 = 800_000;

/// Whether the recorder is stopped by SIGSTOP while the program runs.
#[derive(Clone, Copy, PartialEq)]
enum Pause {
    No,
    /// Until the program waits for the recorder.
    UntilTheProgramWaits,
    /// Until the program has made all of its calls.
    UntilTheEnd,
}

/// Records `forever.py`. Returns the output of `pyrec info --json`.
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
            wait_for("the last call, without a recorder", || (calls() == CALLS).then_some(()));
        } else {
            std::thread::sleep(Duration::from_secs(1));
            let before = calls();
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!((calls(), before < CALLS), (before, true), "the program does not wait");
        }
        signal(&recorder.pid(), "CONT");
    }
    assert!(recorder.wait().success());
    assert_eq!(calls(), CALLS);
    let trace = directory.path().join("pyrec.parquet");
    for report_name in ["stats", "tree"] {
        let text = report(&trace, report_name, &[]);
        let trust = text.lines().last().expect("the report has a last line");
        assert!(trust.contains("lost"), "{trust}");
    }
    json(&trace, "info")
}

fn function_events(info: &Value) -> u64 {
    number(&info["markers"], "function__entry") + number(&info["markers"], "function__return")
}

#[test]
fn by_default_a_full_ring_makes_the_program_wait() {
    let Some(python) = Python::any() else { return };
    let waited = record(&python, &[], Pause::UntilTheProgramWaits);
    assert_eq!(number(&waited, "lost"), 0);
    assert_eq!(number(&waited["markers"], "function__entry"), number(&waited["markers"], "function__return"));
    assert_eq!(function_events(&waited), function_events(&record(&python, &[], Pause::No)));
}

#[test]
fn events_dropped_at_a_full_ring_are_counted() {
    let Some(python) = Python::any() else { return };
    assert_losses_are_counted(&python, &["--on-full", "drop"]);
}

/// Static markers never make the program wait.
#[test]
fn events_dropped_by_the_kernel_are_counted() {
    let Some(setup) = Setup::usdt() else { return };
    assert_losses_are_counted(&setup.python, &["--provider", "usdt", "--on-full", "drop"]);
}

/// Asserts that recorded and lost events of a slow recorder are as many as those of a fast one.
fn assert_losses_are_counted(python: &Python, options: &[&str]) {
    let fast = record(python, options, Pause::No);
    let slow = record(python, options, Pause::UntilTheEnd);
    // On a busy machine, the first recorder may lose events as well.
    let all = |info: &Value| function_events(info) + number(info, "lost");
    assert!(all(&fast) > 2 * CALLS && number(&slow, "lost") > 0, "{fast} {slow}");
    assert!(number(&slow["markers"], "lost") > 0, "{slow}");
    assert_eq!(all(&slow), all(&fast));
}

#[test]
fn the_memory_of_the_recorder_is_bounded() {
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
        peak_kib = peak_kib.max(peak_memory_kib(&recorder.0));
        recorder.exit_status()
    });
    assert!(status.success());
    let info = json(&directory.path().join("pyrec.parquet"), "info");
    assert!(function_events(&info) >= 12_000_000, "{info}");
    assert!(peak_kib > 0 && peak_kib < 128 << 10, "{peak_kib} KiB");
}

/// The peak memory of a process in KiB; 0 if it has ended.
fn peak_memory_kib(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_program() {
    let (Some(python), true) = (Python::any(), is_root()) else { return };
    let mut readers = ExternalReaders::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    record_to_limit(&python, 1 << 20, Limit::Disk, &mut readers, place.path());
    record_to_limit(&python, 1 << 20, Limit::FileSize, &mut readers, place.path());
    readers.read();
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn fifty_full_disks_and_twenty_file_size_limits_end_the_recording_and_not_the_program() {
    let pythons: Vec<Python> = Python::all().collect();
    let mut readers = ExternalReaders::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    for round in 0..70 {
        let limit = if round < 50 { Limit::Disk } else { Limit::FileSize };
        if limit == Limit::Disk && !is_root() {
            continue;
        }
        let bytes = (64 << 10) + random(1 << 20);
        record_to_limit(&pythons[round % pythons.len()], bytes, limit, &mut readers, place.path());
    }
    readers.read();
}

/// What limits the size of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// The size of the file system.
    Disk,
    /// The recorder's limit on the size of files.
    FileSize,
}

/// Records until the trace exceeds the limit. Asserts that the program is not affected, that the
/// error is one sentence, and that the trace is readable.
fn record_to_limit(python: &Python, bytes: u64, limit: Limit, readers: &mut ExternalReaders, place: &Path) {
    let disk = SmallDisk::mount(&if limit == Limit::Disk { bytes.to_string() } else { "100m".into() });
    let Some(disk) = disk else { return };
    let trace = disk.path().join("x.parquet");
    let recorder = env!("CARGO_BIN_EXE_pyrec");
    // The program starts before the trace exists, so the limit applies to the recorder alone.
    let limited = format!(
        "\"$0\" \"$@\" & while [ ! -e \"$3\" ]; do sleep 0.01; done; prlimit --pid $! --fsize={bytes}; wait $!"
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", if limit == Limit::FileSize { &limited } else { "exec \"$0\" \"$@\"" }]);
    command.args([recorder, "record", "-o"]).arg(&trace).arg(&python.program);
    command.args(["-c", "def f(): pass\nfor _ in range(6_000_000): f()\nprint('done')"]);
    let output = run(&mut command);
    let stderr = stderr(&output);
    let context = format!("{python:?}, {limit:?} of {bytes} bytes: {stderr}");
    assert_eq!(stdout(&output), "done\n", "{context}");
    let reason = if limit == Limit::Disk { "no space" } else { "file too large" };
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{context}");
    assert!(stderr.contains("x.parquet") && stderr.to_lowercase().contains(reason), "{context}");

    let info = json(&trace, "info");
    // A limit below the size of the first row group leaves a trace without rows, and the message
    // says so.
    assert_eq!(number(&info, "events") == 0, stderr.contains("the 0 rows"), "{info}: {context}");
    assert_ne!(info["ended"]["how"], "exited", "{info}");
    report(&trace, "stats", &[]);
    readers.keep(&trace, place);
}

#[test]
fn a_read_only_directory_is_refused_before_the_program_starts() {
    let (Some(python), true) = (Python::any(), is_root()) else { return };
    let Some(disk) = SmallDisk::mount("1m,ro") else { return };
    let mut command = pyrec("record");
    command.arg("-o").arg(disk.path().join("x.parquet")).arg(&python.program).args(["-c", "print('done')"]);
    let output = run(&mut command);
    let stderr = stderr(&output);
    assert_eq!(
        (output.status.code(), stderr.lines().count(), output.stdout.len()),
        (Some(1), 1, 0),
        "{stderr}"
    );
    assert!(stderr.contains("x.parquet") && stderr.to_lowercase().contains("read-only"), "{stderr}");
}

#[test]
fn a_full_disk_is_named_before_the_program_starts() {
    let (Some(python), true) = (Python::any(), is_root()) else { return };
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let filler = disk.path().join("filler");
    let error = fs::write(&filler, vec![0; 1 << 20]).expect_err("the disk is too small");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let mut command = pyrec("record");
    command.arg("-o").arg(disk.path().join("x.parquet")).arg(&python.program).args(["-c", "print('done')"]);
    let output = run(&mut command);
    let stderr = stderr(&output);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("x.parquet") && stderr.to_lowercase().contains("no space"), "{stderr}");
}
