//! Long recordings: rotated files, `--keep`, snapshots, reports of a growing trace, and
//! `--max-size`.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pyrec_schema::{RecordingEnd, Trace};
use serde_json::json as object;
use support::call_counts::function;
use support::external_readers::ExternalReaders;
use support::{
    Background, Python, Setup, calls_in, in_every_way, json, number, program, pyrec, report, run, signal,
    stderr, stdout, wait_for,
};
use tempfile::TempDir;

/// A recording of `forever.py` in progress.
struct Running {
    directory: TempDir,
    recorder: Background,
}

impl Running {
    fn start(setup: &Setup, options: &[&str], calls: u64) -> Running {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = pyrec("record");
        command.args(["-q", "--provider", setup.provider, "--markers", "function"]).args(options);
        command.arg("--").arg(&setup.python.program).arg(program("forever.py"));
        command.arg(directory.path().join("calls")).arg(calls.to_string());
        command.current_dir(directory.path()).stdout(Stdio::null());
        let recorder = Background::start(&mut command);
        let running = Running { directory, recorder };
        wait_for("a call", || (running.calls() > 0).then_some(()));
        running
    }

    fn trace(&self) -> PathBuf {
        self.directory.path().join("pyrec.parquet")
    }

    /// Sends a signal to the program.
    fn signal_program(&self, name: &str) {
        let children = format!("/proc/{0}/task/{0}/children", self.recorder.pid());
        signal(fs::read_to_string(children).expect("the file is readable").trim(), name);
    }

    fn calls(&self) -> u64 {
        calls_in(&self.directory.path().join("calls"))
    }

    fn wait_for_calls(&self, more: u64) {
        let before = self.calls();
        wait_for("more calls", || (self.calls() >= before + more).then_some(()));
    }

    /// Kills the program, which ends the recording. Returns the directory.
    fn finish(mut self) -> TempDir {
        signal(&self.recorder.pid(), "TERM");
        assert_eq!(self.recorder.wait().code(), Some(128 + 15));
        self.directory
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory is readable").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The calls of `tick` in a trace, which has some.
fn recorded_calls(trace: &Path) -> u64 {
    number(function(&json(trace, "stats"), "tick"), "calls")
}

/// The calls of `tick` in one file of a rotated trace. The last file may begin after the last call.
fn recorded_calls_of_file(file: &Path) -> u64 {
    let stats = json(file, "stats");
    let functions = stats["functions"].as_array().expect("an array");
    functions.iter().find(|function| function["name"] == "tick").map_or(0, |tick| number(tick, "calls"))
}

in_every_way!(each_rotated_file_is_a_complete_trace, every_report_reads_a_growing_trace);

fn each_rotated_file_is_a_complete_trace(setup: &Setup) {
    let (calls, size) = if setup.provider == "usdt" { (400_000, "100KB") } else { (1_500_000, "150KB") };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", setup.provider, "--markers", "function", "--rotate", size, "--"]);
    command.arg(&setup.python.program).arg(program("forever.py")).arg(directory.path().join("calls"));
    let output = run(command.arg(calls.to_string()).current_dir(directory.path()));
    assert!(output.status.success(), "{output:?}");

    let trace = directory.path().join("pyrec.parquet");
    let files = files(&trace);
    assert!(files.len() > 2, "{files:?}");
    assert!(files.iter().all(|file| file.extension().is_some_and(|name| name == "parquet")), "{files:?}");
    // All files together are one recording: no call is split or duplicated.
    let whole = json(&trace, "info");
    assert_eq!(number(&whole["repaired"], "unmatched_returns"), 0, "{whole}");
    assert!(number(&whole["repaired"], "still_open") == 0 || setup.provider == "usdt", "{whole}");
    assert_eq!(whole["ended"], object!({"how": "exited", "status": 0}));
    let main = json(&trace, "stats");
    assert_eq!((number(function(&main, "main"), "calls"), recorded_calls(&trace)), (1, calls));
    // Each file also contains the calls that were open at its start.
    let mut all = 0;
    for file in &files {
        all += recorded_calls_of_file(file);
        let info = json(file, "info");
        assert_eq!(number(&info["repaired"], "unmatched_returns"), 0, "{}: {info}", file.display());
        let folded = report(file, "export", &["collapsed", "-"]);
        let has_callers = folded.lines().all(|line| !line.contains("tick") || line.contains("main"));
        assert!(has_callers, "{}: {folded}", file.display());
        assert!(setup.provider == "usdt" || report(file, "threads", &[]).contains("MainThread"));
    }
    // A call that was open at the end of a file is in the next file again.
    assert!((calls..calls + files.len() as u64).contains(&all), "{all}");
    let mut readers = ExternalReaders::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    readers.keep(&trace, place.path());
    readers.read();
}

/// Runs every report on a growing file, and on a directory whose oldest files are removed.
fn every_report_reads_a_growing_trace(setup: &Setup) {
    for options in [&[][..], &["--rotate", "60KB", "--keep", "300KB"]] {
        let running = Running::start(setup, options, 0);
        let trace = running.trace();
        wait_for("the first checkpoint", || (number(&json(&trace, "info"), "events") > 0).then_some(()));
        let mut events = 0;
        for _ in 0..2 {
            running.wait_for_calls(100_000);
            // An unoptimised build reads more slowly than the trace grows.
            running.signal_program("STOP");
            for command in ["stats", "threads", "gc", "info", "heat", "imports", "audit"] {
                let text = report(&trace, command, &[]);
                assert!(text.contains("not finished"), "{command}: {text}");
            }
            report(&trace, "tree", &["--depth", "2", "--fold"]);
            report(&trace, "worst", &["tick"]);
            let later = number(&json(&trace, "info"), "events");
            assert!(later >= events || !options.is_empty(), "{later} < {events}");
            events = later;
            running.signal_program("CONT");
        }
        let directory = running.finish();
        assert_eq!(json(&directory.path().join("pyrec.parquet"), "info")["ended"]["how"], "killed");
    }
}

#[test]
fn keep_limits_the_bytes_of_all_files() {
    let Some(setup) = Setup::any() else { return };
    record_and_watch(&setup, &["--keep", "400KB"], Duration::from_secs(4), 400_000);
}

#[test]
fn keep_limits_the_recorded_time() {
    let Some(setup) = Setup::any() else { return };
    let running = Running::start(&setup, &["--keep", "2s"], 0);
    std::thread::sleep(Duration::from_secs(6));
    let directory = running.finish();
    let trace = directory.path().join("pyrec.parquet");
    let kept_ns = number(&json(&trace, "info"), "duration_ns");
    // At least the requested time, since files are removed as a whole, and less than the whole
    // recording.
    assert!((2_000_000_000..5_500_000_000).contains(&kept_ns), "{kept_ns}");
}

/// For a minute, neither the files nor the memory of the recorder grow after the first seconds.
#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn a_long_recording_with_keep_does_not_grow() {
    let Some(setup) = Setup::any() else { return };
    record_and_watch(&setup, &["--keep", "4MB"], Duration::from_secs(60), 4_000_000);
}

/// Records with `--keep` for `time`. Asserts limits on the bytes of all files and on the memory of
/// the recorder.
fn record_and_watch(setup: &Setup, options: &[&str], time: Duration, bytes: u64) {
    let running = Running::start(setup, options, 0);
    let trace = running.trace();
    let (start, mut peak_bytes, mut early_kib) = (Instant::now(), 0, 0);
    while start.elapsed() < time {
        let sizes =
            files(&trace).into_iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len());
        peak_bytes = peak_bytes.max(sizes.sum());
        if start.elapsed() < time / 3 {
            early_kib = peak_kib(&running.recorder.0);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let late_kib = peak_kib(&running.recorder.0);
    let files = files(&trace);
    // A file that is being created has a name without a number.
    let number_of = |file: &PathBuf| file.file_stem()?.to_str()?.parse::<u64>().ok();
    let first = files.iter().find_map(number_of).expect("a file has a number");
    let calls = running.calls();
    let directory = running.finish();
    let trace = directory.path().join("pyrec.parquet");
    println!(
        "{calls} calls in {time:?}: at most {peak_bytes} of {bytes} bytes, {} files from number {first} on, \
         memory {early_kib} KiB after a third, {late_kib} KiB in the end",
        files.len()
    );
    // A file gets its last row group and its footer before an old file is removed.
    assert!(peak_bytes <= bytes + bytes / 2, "{peak_bytes}");
    assert!(first > 1 && late_kib < 128 << 10, "{first} {late_kib}");
    assert!(late_kib <= early_kib + early_kib / 4, "{early_kib} {late_kib}");
    let kept = recorded_calls(&trace);
    assert!(kept > 0 && kept < calls, "{kept} of {calls}");
    assert_eq!(number(&json(&trace, "info")["repaired"], "unmatched_returns"), 0);
}

/// The peak memory of a process in KiB.
fn peak_kib(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn a_snapshot_is_a_complete_trace_and_the_recording_continues() {
    let Some(setup) = Setup::any() else { return };
    for options in [&[][..], &["--rotate", "200KB"]] {
        let running = Running::start(&setup, options, 0);
        // The rings hold at most half of these calls.
        running.wait_for_calls(1_000_000);
        let output = run(pyrec("snapshot").current_dir(running.directory.path()));
        assert!(output.status.success(), "{output:?}");
        signal(&running.recorder.pid(), "USR2");
        let second = running.directory.path().join("pyrec.snapshot-2.parquet");
        wait_for("the second snapshot", || second.exists().then_some(()));
        let first = running.directory.path().join("pyrec.snapshot-1.parquet");
        let (in_first, in_second, made) = (recorded_calls(&first), recorded_calls(&second), running.calls());
        assert!(
            (500_000..=in_second).contains(&in_first) && in_second <= made,
            "{in_first} {in_second} {made}"
        );
        let opened = Trace::open(&[&first]).expect("the trace opens");
        assert_eq!((&opened.manifest().ended, &opened.manifest().session), (&RecordingEnd::Stopped, &None));
        let directory = running.finish();
        let whole = directory.path().join("pyrec.parquet");
        assert!(recorded_calls(&whole) >= recorded_calls(&second));
        assert_eq!(json(&whole, "info")["ended"]["how"], "killed");
        let refused = run(pyrec("snapshot").current_dir(directory.path()));
        assert!(!refused.status.success());
    }
}

in_every_way!(max_size_ends_the_recording_and_not_the_program);

fn max_size_ends_the_recording_and_not_the_program(setup: &Setup) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "import sys\ndef f(): pass\nfor _ in range(3_000_000): f()\nprint('done')\nsys.exit(3)";
    let mut command = pyrec("record");
    command.args(["--provider", setup.provider, "--max-size", "100KB", "--"]).arg(&setup.python.program);
    let output = run(command.args(["-c", source]).current_dir(directory.path()));
    let stderr = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output).as_ref()), (Some(3), "done\n"), "{stderr}");
    assert!(stderr.contains("--max-size"), "{stderr}");
    let trace = directory.path().join("pyrec.parquet");
    let info = json(&trace, "info");
    assert_eq!(info["ended"], object!({"how": "stopped"}));
    assert!((50_000..1_000_000).contains(&number(&info, "events")), "{info}");
    // The trace exceeds the limit by the events that were already read.
    let bytes = fs::metadata(&trace).expect("the file exists").len();
    assert!((90_000..1_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn removing_the_directory_ends_the_recording_and_not_the_program() {
    let Some(python) = Python::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).expect("the directory is created");
    let source = "import shutil, sys\nshutil.rmtree(sys.argv[1])\nprint('done')";
    for options in [&["-o", "x.parquet"][..], &["-o", "x.parquet", "--rotate", "50KB"]] {
        fs::create_dir_all(&folder).expect("the directory is created");
        let mut command = pyrec("record");
        command.args(options).arg("--").arg(&python.program).args(["-c", source]).arg(&folder);
        let output = run(command.current_dir(&folder));
        let stderr = stderr(&output);
        assert_eq!(stdout(&output), "done\n", "{stderr}");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains("x.parquet"), "{stderr}");
    }
}

/// Closing a terminal sends SIGHUP to its processes, and their output fails.
#[test]
fn after_the_terminal_was_closed_the_trace_is_complete() {
    let Some(setup) = Setup::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let binary = env!("CARGO_BIN_EXE_pyrec");
    let line = format!(
        "{binary} record -- {} {} {}/calls",
        setup.python.program.display(),
        program("forever.py").display(),
        directory.path().display()
    );
    // nohup(1) makes all child processes ignore SIGHUP.
    let mut terminal = Command::new("env");
    terminal
        .args(["--default-signal=HUP", "script", "--quiet", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut terminal = Background::start(terminal.current_dir(directory.path()));
    wait_for("a call", || (calls_in(&directory.path().join("calls")) > 0).then_some(()));
    signal(&terminal.pid(), "KILL");
    terminal.wait();
    let trace = directory.path().join("pyrec.parquet");
    let ended = || {
        let trace = Trace::open(&[&trace]).expect("the trace opens");
        trace.manifest().ended.clone()
    };
    wait_for("the recording's end", || (ended() != RecordingEnd::Recording).then_some(()));
    assert_eq!(ended(), RecordingEnd::Killed { signal: 1 });
}
