//! Long recordings: cut into files, only the last of them kept, copied and read while they go on, ended by their size.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pyrec_schema::{RecordingEnd, Trace};
use serde_json::json as object;
use support::calls::function;
use support::readers::Readers;
use support::{
    Background, Python, Subject, calls_in, in_every_way, json, number, program, pyrec, report, run, signal,
    skipped, wait_for,
};
use tempfile::TempDir;

/// A recording of `forever.py` that goes on.
struct Running {
    directory: TempDir,
    recorder: Background,
}

impl Running {
    fn start(subject: &Subject, options: &[&str], calls: u64) -> Running {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = pyrec("record");
        command.args(["-q", "--provider", subject.provider, "--markers", "function"]).args(options);
        command.arg("--").arg(&subject.python.program).arg(program("forever.py"));
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

    /// Sends the program a signal.
    fn program(&self, name: &str) {
        let children = format!("/proc/{0}/task/{0}/children", self.recorder.pid());
        signal(fs::read_to_string(children).expect("the recorder runs").trim(), name);
    }

    fn calls(&self) -> u64 {
        calls_in(&self.directory.path().join("calls"))
    }

    fn wait_for_calls(&self, more: u64) {
        let then = self.calls();
        wait_for("more calls", || (self.calls() >= then + more).then_some(()));
    }

    /// Ends the program, and so the recording.
    fn end(mut self) -> TempDir {
        signal(&self.recorder.pid(), "TERM");
        assert_eq!(self.recorder.end().code(), Some(128 + 15));
        self.directory
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn ticks(trace: &Path) -> u64 {
    number(function(&json(trace, "stats"), "tick"), "calls")
}

in_every_way!(each_file_is_a_trace_by_itself, reports_read_what_grows);

fn each_file_is_a_trace_by_itself(subject: &Subject) {
    let (calls, size) = if subject.provider == "usdt" { (400_000, "100KB") } else { (1_500_000, "150KB") };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", subject.provider, "--markers", "function", "--rotate", size, "--"]);
    command.arg(&subject.python.program).arg(program("forever.py")).arg(directory.path().join("calls"));
    let output = run(command.arg(calls.to_string()).current_dir(directory.path()));
    assert!(output.status.success(), "{output:?}");

    let trace = directory.path().join("pyrec.parquet");
    let files = files(&trace);
    assert!(files.len() > 2, "{files:?}");
    assert!(files.iter().all(|file| file.extension().is_some_and(|name| name == "parquet")), "{files:?}");
    // Together they are one recording: nothing is cut, nothing is there twice.
    let whole = json(&trace, "info");
    assert_eq!(number(&whole["repaired"], "unmatched_returns"), 0, "{whole}");
    assert!(number(&whole["repaired"], "still_open") == 0 || subject.provider == "usdt", "{whole}");
    assert_eq!(whole["ended"], object!({"how": "exited", "status": 0}));
    let main = json(&trace, "stats");
    assert_eq!((number(function(&main, "main"), "calls"), ticks(&trace)), (1, calls));
    // And each by itself has the calls that were open when it began, and those that it saw.
    let mut all = 0;
    for file in &files {
        all += ticks(file);
        let info = json(file, "info");
        assert_eq!(number(&info["repaired"], "unmatched_returns"), 0, "{}: {info}", file.display());
        let folded = report(file, "export", &["collapsed", "-"]);
        let inside = folded.lines().all(|line| !line.contains("tick") || line.contains("main"));
        assert!(inside, "{}: {folded}", file.display());
        assert!(subject.provider == "usdt" || report(file, "threads", &[]).contains("MainThread"));
    }
    // One that was open when a file ended is in the next one, too.
    assert!((calls..calls + files.len() as u64).contains(&all), "{all}");
    let mut readers = Readers::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    readers.keep(&trace, place.path());
    readers.read();
}

/// Every report, again and again, on a file and on a directory whose oldest files go.
fn reports_read_what_grows(subject: &Subject) {
    for options in [&[][..], &["--rotate", "60KB", "--keep", "300KB"]] {
        let running = Running::start(subject, options, 0);
        let trace = running.trace();
        wait_for("the first checkpoint", || (number(&json(&trace, "info"), "events") > 0).then_some(()));
        let mut events = 0;
        for _ in 0..2 {
            running.wait_for_calls(100_000);
            // Else a report of an unoptimised build would never come to the end of what grows faster.
            running.program("STOP");
            for command in ["stats", "threads", "gc", "info", "heat", "imports", "audit"] {
                let said = report(&trace, command, &[]);
                assert!(said.contains("not finished"), "{command}: {said}");
            }
            report(&trace, "tree", &["--depth", "2", "--fold"]);
            report(&trace, "worst", &["tick"]);
            let seen = number(&json(&trace, "info"), "events");
            assert!(seen >= events || !options.is_empty(), "{seen} < {events}");
            events = seen;
            running.program("CONT");
        }
        let directory = running.end();
        assert_eq!(json(&directory.path().join("pyrec.parquet"), "info")["ended"]["how"], "killed");
    }
}

#[test]
fn the_last_is_kept_and_no_more() {
    let Some(subject) = Subject::any() else { return };
    flies(&subject, &["--keep", "400KB"], Duration::from_secs(4), 400_000);
}

#[test]
fn the_last_seconds_are_kept() {
    let Some(subject) = Subject::any() else { return };
    let running = Running::start(&subject, &["--keep", "2s"], 0);
    let begun = Instant::now();
    wait_for("six seconds", || (begun.elapsed() > Duration::from_secs(6)).then_some(()));
    let directory = running.end();
    let trace = directory.path().join("pyrec.parquet");
    let kept_ns = number(&json(&trace, "info"), "duration_ns");
    // As long as was asked for, and not as long as it took: files are thrown away whole.
    assert!((2_000_000_000..5_500_000_000).contains(&kept_ns), "{kept_ns}");
}

/// A minute, from which an hour can be told: neither disk nor memory grows after the first seconds.
#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn a_flight_recorder_stays_within_its_bounds() {
    let Some(subject) = Subject::any() else { return };
    flies(&subject, &["--keep", "4MB"], Duration::from_secs(60), 4_000_000);
}

/// Keeps so many bytes for so long; what is kept is a recording with the last calls in it.
fn flies(subject: &Subject, options: &[&str], time: Duration, bytes: u64) {
    let running = Running::start(subject, options, 0);
    let trace = running.trace();
    let (begun, mut most_bytes, mut early_kib, mut numbers) = (Instant::now(), 0, 0, 0);
    while begun.elapsed() < time {
        let sizes =
            files(&trace).into_iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len());
        most_bytes = most_bytes.max(sizes.sum());
        if begun.elapsed() < time / 3 {
            early_kib = peak_kib(&running.recorder.0);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let late_kib = peak_kib(&running.recorder.0);
    numbers += files(&trace).len();
    // The one that comes next is hidden for a moment, under a name without a number.
    let visible = files(&trace);
    let number_of = |file: &PathBuf| file.file_stem()?.to_str()?.parse::<u64>().ok();
    let first = visible.iter().find_map(number_of).expect("a number");
    let calls = running.calls();
    let directory = running.end();
    let trace = directory.path().join("pyrec.parquet");
    println!(
        "{calls} calls in {time:?}: at most {most_bytes} of {bytes} bytes, {numbers} files from number {first} on, \
         memory {early_kib} KiB after a third, {late_kib} KiB in the end"
    );
    // A file that is being closed gets its last row group and footer before an old one goes.
    assert!(most_bytes <= bytes + bytes / 2, "{most_bytes}");
    assert!(first > 1 && late_kib < 128 << 10, "{first} {late_kib}");
    assert!(late_kib <= early_kib + early_kib / 4, "{early_kib} {late_kib}");
    let seen = ticks(&trace);
    assert!(seen > 0 && seen < calls, "{seen} of {calls}");
    assert_eq!(number(&json(&trace, "info")["repaired"], "unmatched_returns"), 0);
}

/// The most memory that a process has taken so far.
fn peak_kib(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn a_snapshot_is_whole_and_recording_goes_on() {
    let Some(subject) = Subject::any() else { return };
    for options in [&[][..], &["--rotate", "200KB"]] {
        let running = Running::start(&subject, options, 0);
        // Of so many the rings hold no more than half.
        running.wait_for_calls(1_000_000);
        let asked = run(pyrec("snapshot").current_dir(running.directory.path()));
        assert!(asked.status.success(), "{asked:?}");
        signal(&running.recorder.pid(), "USR2");
        let second = running.directory.path().join("pyrec.snapshot-2.parquet");
        wait_for("the second snapshot", || second.exists().then_some(()));
        let first = running.directory.path().join("pyrec.snapshot-1.parquet");
        let seen = ticks(&first);
        let (later, made) = (ticks(&second), running.calls());
        assert!((500_000..=later).contains(&seen) && later <= made, "{seen} {later} {made}");
        let opened = Trace::open(&[&first]).expect("it is whole");
        assert_eq!((&opened.manifest().ended, &opened.manifest().session), (&RecordingEnd::Stopped, &None));
        let directory = running.end();
        let whole = directory.path().join("pyrec.parquet");
        assert!(ticks(&whole) >= ticks(&second));
        assert_eq!(json(&whole, "info")["ended"]["how"], "killed");
        let refused = run(pyrec("snapshot").current_dir(directory.path()));
        assert!(!refused.status.success());
    }
}

in_every_way!(its_size_ends_the_recording_and_not_the_program);

fn its_size_ends_the_recording_and_not_the_program(subject: &Subject) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "import sys\ndef f(): pass\nfor _ in range(3_000_000): f()\nprint('done')\nsys.exit(3)";
    let mut command = pyrec("record");
    command.args(["--provider", subject.provider, "--max-size", "100KB", "--"]).arg(&subject.python.program);
    let output = run(command.args(["-c", source]).current_dir(directory.path()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(3), "done\n"),
        "{said}"
    );
    assert!(said.contains("--max-size"), "{said}");
    let trace = directory.path().join("pyrec.parquet");
    let info = json(&trace, "info");
    assert_eq!(info["ended"], object!({"how": "stopped"}));
    assert!((50_000..1_000_000).contains(&number(&info, "events")), "{info}");
    // What had been read by then is in it, too.
    let bytes = fs::metadata(&trace).expect("it is there").len();
    assert!((90_000..1_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_directory_that_vanishes_ends_the_recording_and_not_the_program() {
    let Some(python) = Python::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).expect("it is ours");
    let source = "import shutil, sys\nshutil.rmtree(sys.argv[1])\nprint('done')";
    for options in [&["-o", "x.parquet"][..], &["-o", "x.parquet", "--rotate", "50KB"]] {
        fs::create_dir_all(&folder).expect("it is ours");
        let mut command = pyrec("record");
        command.args(options).arg("--").arg(&python.program).args(["-c", source]).arg(&folder);
        let output = run(command.current_dir(&folder));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{said}");
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains("x.parquet"), "{said}");
    }
}

/// The terminal is closed: everybody in front of it hears of it, and nobody can write to it any more.
#[test]
fn a_closed_terminal_leaves_a_whole_trace() {
    let Some(subject) = Subject::any() else { return };
    // Whoever runs the tests by nohup(1) has told all that they start to live on.
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    if ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 != 0)) {
        return skipped("SIGHUP is ignored here");
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let binary = env!("CARGO_BIN_EXE_pyrec");
    let line = format!(
        "{binary} record -- {} {} {}/calls",
        subject.python.program.display(),
        program("forever.py").display(),
        directory.path().display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--command", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut terminal = Background::start(terminal.current_dir(directory.path()));
    wait_for("a call", || (calls_in(&directory.path().join("calls")) > 0).then_some(()));
    signal(&terminal.pid(), "KILL");
    terminal.end();
    let trace = directory.path().join("pyrec.parquet");
    let ended = || {
        let trace = Trace::open(&[&trace]).expect("it is whole");
        trace.manifest().ended.clone()
    };
    wait_for("the recording's end", || (ended() != RecordingEnd::Recording).then_some(()));
    assert_eq!(ended(), RecordingEnd::Killed { signal: 1 });
}
