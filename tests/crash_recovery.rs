//! Killed recorders, with and without their programs: the trace stays readable, `pyrec repair`
//! recovers the events that reached a ring, and the program continues.
//!
//! The program `numbered.py` counts its own calls in files that outlive it. The test polls these
//! counts, so it knows the age of the oldest call that a killed recorder had not written, and the
//! number of calls at the time of the kill.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyrec_schema::{RecordingEnd, Trace};
use support::external_readers::ExternalReaders;
use support::numbered_calls::{Thread, numbered, random, recorded};
use support::{Background, Python, Setup, in_every_way, program, pyrec, run, signal, stderr, wait_for};

/// The processes that are killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Recorder,
    Both,
}

/// A program to record, and the options of the recorder.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    threads: usize,
    children: usize,
    options: &'static [&'static str],
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { threads: 1, children: 0, options: &[] },
    Scenario { threads: 3, children: 0, options: &["--rotate", "300KB"] },
    // More threads than there are large rings.
    Scenario { threads: 10, children: 0, options: &[] },
    Scenario { threads: 2, children: 2, options: &[] },
];

/// The time of the kill after the first call, in milliseconds: while the file still contains all of
/// its footers.
const EARLY: Range<u64> = 0..1_500;

/// The same, when most earlier footers have been overwritten.
const LATE: Range<u64> = 12_000..18_000;

/// The number of calls of each thread.
type Calls = BTreeMap<Thread, u64>;

#[test]
fn events_of_a_killed_recorder_are_recovered() {
    let Some(python) = Python::any() else { return };
    let mut readers = ExternalReaders::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    for (scenario, victim) in
        SCENARIOS.into_iter().zip([Victim::Recorder, Victim::Both, Victim::Recorder, Victim::Both])
    {
        kill_and_check(&python, scenario, victim, EARLY, &mut readers, place.path());
    }
    readers.read();
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn events_of_two_hundred_killed_recorders_are_recovered() {
    kill_and_repair(200, Victim::Recorder);
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn events_of_fifty_recorders_killed_with_their_programs_are_recovered() {
    kill_and_repair(50, Victim::Both);
}

/// Runs `count` rounds, two at a time. Prints the ages of the oldest calls that had not been
/// written: an age of more than a second means that the recorder was not scheduled.
fn kill_and_repair(count: usize, victim: Victim) {
    let pythons: Vec<Python> = Python::all().collect();
    let (next, ages) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let place = tempfile::tempdir().expect("a temporary directory");
                let mut readers = ExternalReaders::default();
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= count || pythons.is_empty() {
                        break readers.read();
                    }
                    let python = &pythons[round % pythons.len()];
                    let (scenario, moments) = match round % 50 {
                        49 => (SCENARIOS[0], LATE),
                        _ => (SCENARIOS[round / pythons.len() % SCENARIOS.len()], EARLY),
                    };
                    let age = kill_and_check(python, scenario, victim, moments, &mut readers, place.path());
                    ages.lock().expect("no thread panicked").push(age);
                }
            });
        }
    });
    let mut ages = ages.into_inner().expect("no thread panicked");
    ages.sort();
    let (Some(median), Some(worst)) = (ages.get(ages.len() / 2), ages.last()) else { return };
    let slow = ages.iter().filter(|age| **age > Duration::from_secs(1)).count();
    println!(
        "{count} × {victim:?}: calls not yet written were up to {median:?} old (median), {worst:?} (worst); {slow} of more than 1 s"
    );
}

/// Kills a recorder at a random time, then repairs and checks the trace. Returns the age of the
/// oldest call that had not been written.
fn kill_and_check(
    python: &Python,
    scenario: Scenario,
    victim: Victim,
    moments: Range<u64>,
    readers: &mut ExternalReaders,
    place: &Path,
) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let mut recorder = start(python, folder.path(), &trace, scenario);
    let all_threads = scenario.threads * (scenario.children + 1);
    wait_for("a call of each thread", || (numbered(folder.path()).len() == all_threads).then_some(()));

    let moment = Duration::from_millis(moments.start + random(moments.end - moments.start));
    let context = format!("{python:?}, {scenario:?}, {victim:?} after {moment:?}");
    let observed = poll_calls(folder.path(), moment);
    let pids: Vec<String> = numbered(folder.path()).keys().map(|(pid, _)| pid.to_string()).collect();
    let at_kill = numbered(folder.path());
    let kill = match (victim, recorder.pid(), pids.join(" ")) {
        (Victim::Recorder, recorder, _) => format!("kill -s KILL {recorder}"),
        // The programs are stopped first, so that none runs on between two kills.
        (Victim::Both, recorder, others) => {
            format!("kill -s STOP {others}; kill -s KILL {recorder} {others}")
        }
    };
    run(Command::new("/bin/sh").args(["-c", &kill]));
    assert!(!recorder.wait().success(), "{context}");

    let written = recorded(&trace);
    let contains = |calls: &Calls| {
        calls.iter().all(|(thread, calls)| written.get(thread).is_some_and(|[_, returns]| returns >= calls))
    };
    let age =
        moment - observed.iter().rfind(|(_, calls)| contains(calls)).map_or(Duration::ZERO, |(at, _)| *at);
    readers.keep(&trace, place);
    if victim == Victim::Recorder {
        // More calls than the rings can hold, so the program does not wait for a reader.
        let more = |calls: &Calls| calls.values().sum::<u64>() > at_kill.values().sum::<u64>() + 400_000;
        wait_for("further calls of the program", || more(&numbered(folder.path())).then_some(()));
        // The rest of the test concerns files only.
        run(Command::new("/bin/sh").args(["-c", &format!("kill -s KILL {}", pids.join(" "))]));
    }
    let session = session(&trace);
    assert!(session.exists(), "{context}");
    assert!(repair(&trace).status.success(), "{context}");
    assert!(!session.exists(), "{context}");
    let all = recorded(&trace);
    assert_contains(&all, &at_kill, &format!("after the repair: {context}"));
    if victim == Victim::Both {
        for (thread, calls) in numbered(folder.path()) {
            let recorded = all[&thread];
            let is_complete = recorded.iter().all(|count| (calls..=calls + 1).contains(count));
            assert!(is_complete, "{thread:?} made {calls} calls, {recorded:?} are recorded: {context}");
        }
    }
    readers.keep(&trace, place);
    assert_repaired(&trace, &context);
    age
}

fn start(python: &Python, folder: &Path, trace: &Path, scenario: Scenario) -> Background {
    let mut command = pyrec("record");
    command.args(["-q", "-o"]).arg(trace).args(scenario.options).arg("--").arg(&python.program);
    command.arg(program("numbered.py")).arg(folder);
    command.args([&scenario.threads.to_string(), &scenario.children.to_string(), "forever"]);
    Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Polls the counted calls for `time`. Returns them with the times at which they were read.
fn poll_calls(folder: &Path, time: Duration) -> Vec<(Duration, Calls)> {
    let (start, mut observed) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        observed.push((start.elapsed(), numbered(folder)));
        std::thread::sleep(Duration::from_millis(5));
    }
    observed.retain(|(at, _)| *at <= time);
    observed
}

/// Asserts that at least these calls are recorded, each with its entry and its return.
fn assert_contains(recorded: &BTreeMap<Thread, [u64; 2]>, calls: &Calls, context: &str) {
    for (thread, calls) in calls {
        let counts = recorded.get(thread).copied().unwrap_or_default();
        assert!(
            counts.iter().all(|count| count >= calls),
            "{thread:?} made {calls} calls, {counts:?} are recorded {context}"
        );
    }
}

/// Asserts that the manifest states the repair, and that a second repair changes nothing.
fn assert_repaired(trace: &Path, context: &str) {
    let opened = Trace::open(&[trace]).expect("the trace opens");
    assert_eq!(
        (&opened.manifest().ended, &opened.manifest().session),
        (&RecordingEnd::Repaired, &None),
        "{context}"
    );
    let last = opened.files().last().expect("the trace has a file").path().clone();
    let bytes = fs::read(&last).expect("the file is readable");
    let second = repair(trace);
    assert!(second.status.success() && stderr(&second).contains("no repair"), "{}", stderr(&second));
    assert!(fs::read(&last).expect("the file is readable") == bytes, "{context}");
}

fn repair(trace: &Path) -> Output {
    run(pyrec("repair").arg(trace))
}

fn session(trace: &Path) -> PathBuf {
    let trace = Trace::open(&[trace]).expect("the trace opens");
    trace.manifest().session.clone().expect("the manifest names the session directory").directory
}

#[test]
fn a_trace_that_is_still_written_is_not_repaired() {
    let Some(python) = Python::any() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let mut recorder = start(&python, folder.path(), &trace, SCENARIOS[0]);
    wait_for("a call", || (!numbered(folder.path()).is_empty()).then_some(()));
    let refused = repair(&trace);
    assert!(
        !refused.status.success() && stderr(&refused).contains("still being recorded"),
        "{}",
        stderr(&refused)
    );
    signal(&recorder.pid(), "TERM");
    recorder.wait();
    assert!(stderr(&repair(&trace)).contains("no repair"));
}

in_every_way!(repair_reports_events_that_cannot_be_recovered);

fn repair_reports_events_that_cannot_be_recovered(setup: &Setup) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", setup.provider, "-o"]).arg(&trace).arg("--").arg(&setup.python.program);
    command.arg(program("numbered.py")).arg(folder.path()).args(["1", "0", "forever"]);
    let mut recorder = Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_for("a call", || (!numbered(folder.path()).is_empty()).then_some(()));
    signal(&recorder.pid(), "KILL");
    recorder.wait();
    let expected = if setup.provider == "agent" {
        let session = session(&trace);
        fs::remove_dir_all(&session).expect("the file is removed");
        session.display().to_string()
    } else {
        "the kernel kept".into()
    };
    // An incomplete row group at the end is cut off.
    let whole = fs::read(&trace).expect("the file is readable");
    fs::write(&trace, [whole.as_slice(), b"half a row group"].concat()).expect("the write succeeds");
    for _ in 0..2 {
        let output = repair(&trace);
        assert!(output.status.success() && stderr(&output).contains(&expected), "{}", stderr(&output));
        assert!(fs::read(&trace).expect("the file is readable") == whole);
    }
}

/// The kernel discards the events of static markers with the recorder, and disables the markers.
#[test]
fn by_static_markers_the_trace_is_readable_and_no_event_can_be_recovered() {
    let Some(setup) = Setup::usdt() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let scenario = Scenario { threads: 2, children: 0, options: &["--provider", "usdt"] };
    let mut recorder = start(&setup.python, folder.path(), &trace, scenario);
    wait_for("calls of each thread", || (numbered(folder.path()).len() == 2).then_some(()));
    wait_for("a checkpoint", || (recorded(&trace).len() == 2).then_some(()));
    let before = recorded(&trace);
    signal(&recorder.pid(), "KILL");
    recorder.wait();
    let calls = numbered(folder.path());
    let written = recorded(&trace);
    for (thread, counts) in &written {
        assert!(
            before[thread][0] <= counts[0] && counts[1] <= calls[thread] + 1,
            "{counts:?} {before:?} {calls:?}"
        );
    }
    wait_for("further calls of the program", || {
        let now = numbered(folder.path());
        now.iter().all(|(thread, count)| *count > calls[thread] + 100_000).then_some(())
    });
    let output = repair(&trace);
    assert!(output.status.success() && stderr(&output).contains("the kernel kept"), "{}", stderr(&output));
    assert_eq!(recorded(&trace), written);
}

/// A trace is untrusted input, and its manifest may name any directory.
#[test]
fn repair_removes_no_directory_that_is_not_a_session_directory() {
    use pyrec_schema::{JournalLocation, Names, TraceWriter, WriterOptions};
    let Some(python) = Python::any() else { return };
    let recording = support::Recording::of(&[python.program.as_os_str(), "-c".as_ref(), "pass".as_ref()]);
    let manifest = Trace::open(&[recording.trace()]).expect("the trace opens").manifest().clone();
    let precious = tempfile::Builder::new().prefix("pyrec-").tempdir().expect("a temporary directory");
    fs::write(precious.path().join("letters"), "precious").expect("the write succeeds");
    let trace = recording.directory.path().join("evil.parquet");
    let session = Some(JournalLocation { directory: precious.path().into(), checkpoint: 3 });
    let manifest = pyrec_schema::Manifest { session, ended: RecordingEnd::Recording, ..manifest };
    drop(
        TraceWriter::create(&trace, Names::new().into(), manifest, WriterOptions::default())
            .expect("the trace is created"),
    );
    let _ = fs::remove_file(precious.path().join("journal-4"));
    let refused = repair(&trace);
    assert!(!refused.status.success(), "{}", stderr(&refused));
    assert_eq!(fs::read_dir(precious.path()).expect("the directory is readable").count(), 1);
}
