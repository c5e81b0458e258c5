//! The recorder is killed, with the program or without: the file is whole, `pyrec repair` puts back what reached a ring,
//! and the program goes on.
//!
//! The program numbers its calls itself (`numbered.py`), in files that outlive it, and we look at these numbers again and
//! again. So it is known how old the oldest call is that a killed recorder had not written, and how many calls there were
//! just then.

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
use support::numbered::{Thread, numbered, random, recorded};
use support::readers::Readers;
use support::{Background, Python, Subject, in_every_way, program, pyrec, run, signal, wait_for};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Recorder,
    Both,
}

/// What is recorded, and how.
#[derive(Clone, Copy, Debug)]
struct Shape {
    threads: usize,
    children: usize,
    options: &'static [&'static str],
}

const SHAPES: [Shape; 4] = [
    Shape { threads: 1, children: 0, options: &[] },
    Shape { threads: 3, children: 0, options: &["--rotate", "300KB"] },
    // More threads than there are large rings.
    Shape { threads: 10, children: 0, options: &[] },
    Shape { threads: 2, children: 2, options: &[] },
];

/// When they are killed, milliseconds after the first call: while all footers stay, and when most no longer do.
const SOON: Range<u64> = 0..1_500;
const LATE: Range<u64> = 12_000..18_000;

/// How many calls each thread had made by then.
type Calls = BTreeMap<Thread, u64>;

#[test]
fn a_recorder_is_killed() {
    let Some(python) = Python::any() else { return };
    let mut readers = Readers::default();
    let place = tempfile::tempdir().expect("a temporary directory");
    for (shape, victim) in
        SHAPES.into_iter().zip([Victim::Recorder, Victim::Both, Victim::Recorder, Victim::Both])
    {
        is_killed(&python, shape, victim, SOON, &mut readers, place.path());
    }
    readers.read();
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn recorders_are_killed_two_hundred_times() {
    rounds(200, Victim::Recorder);
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn recorders_and_programs_are_killed_fifty_times() {
    rounds(50, Victim::Both);
}

/// Two at a time. Says how old calls were that were not in the file yet: more than a second only where so many others
/// want the processors that the recorder gets none.
fn rounds(count: usize, victim: Victim) {
    let pythons: Vec<Python> = Python::all().collect();
    let (next, ages) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let place = tempfile::tempdir().expect("a temporary directory");
                let mut readers = Readers::default();
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= count || pythons.is_empty() {
                        break readers.read();
                    }
                    let python = &pythons[round % pythons.len()];
                    let (shape, moments) = match round % 50 {
                        49 => (SHAPES[0], LATE),
                        _ => (SHAPES[round / pythons.len() % SHAPES.len()], SOON),
                    };
                    let age = is_killed(python, shape, victim, moments, &mut readers, place.path());
                    ages.lock().expect("nobody panics").push(age);
                }
            });
        }
    });
    let mut ages = ages.into_inner().expect("nobody panics");
    ages.sort();
    let (Some(median), Some(worst)) = (ages.get(ages.len() / 2), ages.last()) else { return };
    let late = ages.iter().filter(|age| **age > Duration::from_secs(1)).count();
    println!(
        "{count} × {victim:?}: not yet written were calls of the last {median:?} (median), {worst:?} (worst); {late} of more than 1 s"
    );
}

/// Returns how old the oldest call was that had not been written.
fn is_killed(
    python: &Python,
    shape: Shape,
    victim: Victim,
    moments: Range<u64>,
    readers: &mut Readers,
    place: &Path,
) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let mut recorder = start(python, folder.path(), &trace, shape);
    let everybody = shape.threads * (shape.children + 1);
    wait_for("a call of each thread", || (numbered(folder.path()).len() == everybody).then_some(()));

    let moment = Duration::from_millis(moments.start + random(moments.end - moments.start));
    let how = format!("{python:?}, {shape:?}, {victim:?} after {moment:?}");
    let seen = look_on(folder.path(), moment);
    let pids: Vec<String> = numbered(folder.path()).keys().map(|(pid, _)| pid.to_string()).collect();
    let just_now = numbered(folder.path());
    let kill = match (victim, recorder.pid(), pids.join(" ")) {
        (Victim::Recorder, recorder, _) => format!("kill -s KILL {recorder}"),
        // Stopped first, so that no program runs on for the instant between two kills.
        (Victim::Both, recorder, others) => {
            format!("kill -s STOP {others}; kill -s KILL {recorder} {others}")
        }
    };
    run(Command::new("/bin/sh").args(["-c", &kill]));
    assert!(!recorder.end().success(), "{how}");

    let written = recorded(&trace);
    let has = |calls: &Calls| {
        calls.iter().all(|(thread, calls)| written.get(thread).is_some_and(|[_, told]| told >= calls))
    };
    let age = moment - seen.iter().rfind(|(_, calls)| has(calls)).map_or(Duration::ZERO, |(at, _)| *at);
    readers.keep(&trace, place);
    if victim == Victim::Recorder {
        // More than rings hold: so it is recorded no more, and does not wait for anybody.
        let more = |calls: &Calls| calls.values().sum::<u64>() > just_now.values().sum::<u64>() + 400_000;
        wait_for("the program, which goes on", || more(&numbered(folder.path())).then_some(()));
        // What follows is about files, and quicker where nothing else runs.
        run(Command::new("/bin/sh").args(["-c", &format!("kill -s KILL {}", pids.join(" "))]));
    }
    let session = session(&trace);
    assert!(session.exists(), "{how}");
    assert!(repair(&trace).status.success(), "{how}");
    assert!(!session.exists(), "{how}");
    let all = recorded(&trace);
    assert_has(&all, &just_now, &format!("after the repair: {how}"));
    if victim == Victim::Both {
        for (thread, calls) in numbered(folder.path()) {
            let told = all[&thread];
            let is_whole = told.iter().all(|count| (calls..=calls + 1).contains(count));
            assert!(is_whole, "{thread:?} made {calls} calls, {told:?} are recorded: {how}");
        }
    }
    readers.keep(&trace, place);
    assert_repaired(&trace, &how);
    age
}

fn start(python: &Python, folder: &Path, trace: &Path, shape: Shape) -> Background {
    let mut command = pyrec("record");
    command.args(["-q", "-o"]).arg(trace).args(shape.options).arg("--").arg(&python.program);
    command.arg(program("numbered.py")).arg(folder);
    command.args([&shape.threads.to_string(), &shape.children.to_string(), "forever"]);
    Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Looks at the numbers for so long.
fn look_on(folder: &Path, time: Duration) -> Vec<(Duration, Calls)> {
    let (begun, mut seen) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        seen.push((begun.elapsed(), numbered(folder)));
        std::thread::sleep(Duration::from_millis(5));
    }
    seen.retain(|(at, _)| *at <= time);
    seen
}

/// At least so many calls are recorded.
fn assert_has(recorded: &BTreeMap<Thread, [u64; 2]>, calls: &Calls, how: &str) {
    for (thread, calls) in calls {
        let told = recorded.get(thread).copied().unwrap_or_default();
        assert!(told.iter().all(|count| count >= calls), "{thread:?} made {calls} calls, {told:?} {how}");
    }
}

/// The file says so, and once more changes nothing.
fn assert_repaired(trace: &Path, how: &str) {
    let opened = Trace::open(&[trace]).expect("it is whole");
    assert_eq!(
        (&opened.manifest().ended, &opened.manifest().session),
        (&RecordingEnd::Repaired, &None),
        "{how}"
    );
    let last = opened.files().last().expect("a file").path().clone();
    let bytes = fs::read(&last).expect("it is ours");
    let once_more = repair(trace);
    assert!(once_more.status.success() && said(&once_more).contains("no repair"), "{}", said(&once_more));
    assert!(fs::read(&last).expect("it is ours") == bytes, "{how}");
}

fn repair(trace: &Path) -> Output {
    run(pyrec("repair").arg(trace))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn session(trace: &Path) -> PathBuf {
    let trace = Trace::open(&[trace]).expect("it is whole");
    trace.manifest().session.clone().expect("a killed recorder leaves one").directory
}

#[test]
fn who_still_records_is_not_disturbed() {
    let Some(python) = Python::any() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let mut recorder = start(&python, folder.path(), &trace, SHAPES[0]);
    wait_for("a call", || (!numbered(folder.path()).is_empty()).then_some(()));
    let refused = repair(&trace);
    assert!(
        !refused.status.success() && said(&refused).contains("still being recorded"),
        "{}",
        said(&refused)
    );
    signal(&recorder.pid(), "TERM");
    recorder.end();
    assert!(said(&repair(&trace)).contains("no repair"));
}

in_every_way!(what_is_gone_is_told_of);

fn what_is_gone_is_told_of(subject: &Subject) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let mut command = pyrec("record");
    command
        .args(["-q", "--provider", subject.provider, "-o"])
        .arg(&trace)
        .arg("--")
        .arg(&subject.python.program);
    command.arg(program("numbered.py")).arg(folder.path()).args(["1", "0", "forever"]);
    let mut recorder = Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_for("a call", || (!numbered(folder.path()).is_empty()).then_some(()));
    signal(&recorder.pid(), "KILL");
    recorder.end();
    let expected = if subject.provider == "agent" {
        let session = session(&trace);
        fs::remove_dir_all(&session).expect("it is ours");
        session.display().to_string()
    } else {
        "in the kernel".into()
    };
    // And a torn tail is cut off.
    let whole = fs::read(&trace).expect("it is ours");
    fs::write(&trace, [whole.as_slice(), b"half a row group"].concat()).expect("there is room");
    for _ in 0..2 {
        let output = repair(&trace);
        assert!(output.status.success() && said(&output).contains(&expected), "{}", said(&output));
        assert!(fs::read(&trace).expect("it is ours") == whole);
    }
}

/// The kernel keeps nothing for anybody else: what was not in the file is gone. The program is let go at once.
#[test]
fn by_the_static_markers_the_file_is_whole_and_nothing_can_be_put_back() {
    let Some(subject) = Subject::usdt() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    let shape = Shape { threads: 2, children: 0, options: &["--provider", "usdt"] };
    let mut recorder = start(&subject.python, folder.path(), &trace, shape);
    wait_for("calls of each thread", || (numbered(folder.path()).len() == 2).then_some(()));
    wait_for("a checkpoint", || (recorded(&trace).len() == 2).then_some(()));
    let before = recorded(&trace);
    signal(&recorder.pid(), "KILL");
    recorder.end();
    let calls = numbered(folder.path());
    let written = recorded(&trace);
    for (thread, told) in &written {
        assert!(
            before[thread][0] <= told[0] && told[1] <= calls[thread] + 1,
            "{told:?} {before:?} {calls:?}"
        );
    }
    wait_for("the program, which goes on", || {
        let now = numbered(folder.path());
        now.iter().all(|(thread, count)| *count > calls[thread] + 100_000).then_some(())
    });
    let output = repair(&trace);
    assert!(output.status.success() && said(&output).contains("in the kernel"), "{}", said(&output));
    assert_eq!(recorded(&trace), written);
}

/// A trace may come from anybody, and name any directory.
#[test]
fn only_a_session_is_ever_removed() {
    use pyrec_schema::{JournalLocation, Names, TraceWriter, WriterOptions};
    let Some(python) = Python::any() else { return };
    let recording = support::Recording::of(&[python.program.as_os_str(), "-c".as_ref(), "pass".as_ref()]);
    let manifest = Trace::open(&[recording.trace()]).expect("it is whole").manifest().clone();
    let precious = tempfile::Builder::new().prefix("pyrec-").tempdir().expect("a temporary directory");
    fs::write(precious.path().join("letters"), "precious").expect("there is room");
    let trace = recording.directory.path().join("evil.parquet");
    let session = Some(JournalLocation { directory: precious.path().into(), checkpoint: 3 });
    let manifest = pyrec_schema::Manifest { session, ended: RecordingEnd::Recording, ..manifest };
    drop(
        TraceWriter::create(&trace, Names::new().into(), manifest, WriterOptions::default())
            .expect("a new file"),
    );
    let _ = fs::remove_file(precious.path().join("journal-4"));
    let refused = repair(&trace);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert_eq!(fs::read_dir(precious.path()).expect("it is there").count(), 1);
}
