//! A ring keeps its records however the program ends. If it is full, the program waits or drops
//! events, as the session determines; the time and the number are recorded.

mod support;

use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use pyrec_wire::{Definition, OnFull, RING_RECORDS, Record, RecordKind};
use support::{GC, IMPORT, LINE, Recording, RecordingOptions, Trace, pythons, run};

const VERSIONS: [u32; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

/// The calls of a program that writes four times as many records as a ring holds.
const CALLS: u64 = 2 * RING_RECORDS as u64;
fn program() -> String {
    format!("def f(): pass\nfor _ in range({CALLS}): f()\n")
}

fn calls_of_f(trace: &Trace) -> [u64; 2] {
    trace.counts("<string>".as_ref()).get(&("<string>".into(), 1, "f".into())).copied().unwrap_or_default()
}

#[test]
fn a_program_waits_for_a_slow_reader() {
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions {
            poll_interval: Some(Duration::from_millis(200)),
            ..RecordingOptions::default()
        });
        run(recording.command(&python.path).args(["-I", "-c", &program()]));
        let trace = recording.finish();
        assert_eq!(calls_of_f(&trace), [CALLS; 2]);
        let ring = &trace.processes[0].rings[0];
        assert!(ring.waited_ns > 0 && ring.lost == 0, "{} {}", ring.waited_ns, ring.lost);
    }
}

#[test]
fn dropped_events_are_counted_at_their_place() {
    let source = format!("{}print('half', flush=True)\ninput()\nfor _ in range(10): f()\n", program());
    for python in pythons(&VERSIONS) {
        let run = |options: RecordingOptions| {
            let recording = Recording::start(options);
            let mut command = recording.command(&python.path);
            command.args(["-I", "-c", &source]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("Python starts");
            let mut half = [0; 5];
            child
                .stdout
                .as_mut()
                .expect("the stream is piped")
                .read_exact(&mut half)
                .expect("the program prints");
            recording.drain();
            child.stdin.take().expect("the stream is piped").write_all(b"\n").expect("the program reads");
            assert!(child.wait().expect("the program ends").success());
            recording.finish().processes.remove(0).rings.remove(0)
        };
        let groups = support::FUNCTION;
        let all = run(RecordingOptions { groups, ..RecordingOptions::default() }).records.len() as u64;
        let ring = run(RecordingOptions {
            groups,
            on_full: OnFull::Drop,
            poll_interval: None,
            ..RecordingOptions::default()
        });
        let (losses, written): (Vec<Record>, Vec<Record>) =
            ring.records.iter().partition(|record| record.kind() == Some(RecordKind::Lost));
        let [loss] = losses[..] else { panic!("not one loss record: {losses:?}") };
        assert_eq!(written.len() as u64 + loss.payload(), all, "{python:?}");
        assert_eq!(ring.records[RING_RECORDS as usize], loss);
        assert!(ring.records.iter().map(|record| record.ticks).is_sorted());
        assert_eq!((ring.lost, ring.waited_ns), (0, 0));
    }
}

#[test]
fn without_a_reader_the_first_records_stay_and_later_events_count_as_lost() {
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions {
            on_full: OnFull::Drop,
            poll_interval: None,
            ..RecordingOptions::default()
        });
        run(recording.command(&python.path).args(["-I", "-c", &program()]));
        let trace = recording.finish();
        let ring = &trace.processes[0].rings[0];
        assert_eq!(ring.records.len(), RING_RECORDS as usize);
        assert!(ring.lost > CALLS, "{}", ring.lost);
    }
}

/// A ring allocates its memory batch by batch, and the next batch may fail.
#[test]
fn without_memory_the_first_records_stay_and_later_events_count_as_lost() {
    for python in pythons(&[11, 13]) {
        let Some(memory) = support::SmallMemory::mount("1m") else { return };
        let recording = Recording::start(RecordingOptions {
            session_parent: memory.path(),
            ..RecordingOptions::default()
        });
        let output = run(recording.command(&python.path).args(["-I", "-c", &program()]));
        assert!(output.stderr.is_empty(), "{output:?}");
        let trace = recording.finish();
        let ring = &trace.processes[0].rings[0];
        assert!(ring.records.len() > 32 << 10, "{} records", ring.records.len());
        assert!(ring.lost > CALLS && ring.lost < 2 * CALLS, "{} lost", ring.lost);
        assert!(ring.records.len() as u64 + ring.lost >= 2 * CALLS, "{} lost", ring.lost);
    }
}

#[test]
fn only_the_first_processes_measure_the_cost_of_an_event() {
    for python in pythons(&[11, 13]) {
        let recording = Recording::start(RecordingOptions::default());
        (0..8).for_each(|_| drop(run(recording.command(&python.path).args(["-I", "-c", "pass"]))));
        let trace = recording.finish();
        let costs = trace.processes.iter().flat_map(|process| &process.definitions);
        let costs = costs.filter(|definition| matches!(definition, Definition::Cost { .. }));
        assert_eq!((trace.processes.len(), costs.count()), (8, 5));
    }
}

#[test]
fn a_program_outlives_its_recorder() {
    for python in pythons(&VERSIONS) {
        let mut recording =
            Recording::start(RecordingOptions { poll_interval: None, ..RecordingOptions::default() });
        let mut child =
            recording.command(&python.path).args(["-I", "-c", &program()]).spawn().expect("Python starts");
        thread::sleep(Duration::from_millis(500));
        assert!(child.try_wait().expect("the status is read").is_none(), "the program ended");
        recording.lock = None;
        wait_for_end(&mut child);
        assert_eq!(recording.finish().processes[0].records().count(), RING_RECORDS as usize);
    }
}

#[test]
fn closing_the_session_removes_the_hooks() {
    let source = format!(
        "{}import sys\nprint('half', flush=True)\nsys.stdin.readline()\n\
         for _ in range({CALLS}): f()\nprint(sys.monitoring.get_tool(5) if sys.version_info > (3, 12) else sys.getprofile())\n",
        program()
    );
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions::default());
        let mut command = recording.command(&python.path);
        command.args(["-I", "-c", &source]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut half = [0; 5];
        child
            .stdout
            .as_mut()
            .expect("the stream is piped")
            .read_exact(&mut half)
            .expect("the program prints");
        recording.close();
        drop(child.stdin.take());
        let rest = child.wait_with_output().expect("the program ends");
        assert_eq!(String::from_utf8_lossy(&rest.stdout), "None\n", "{python:?}");
        let [entries, _] = calls_of_f(&recording.finish());
        assert!((CALLS..CALLS + RING_RECORDS as u64 / 8).contains(&entries), "{entries}");
    }
}

#[test]
fn records_survive_any_end_of_the_process() {
    let source = "\
import os, signal, sys, threading
def f(): pass
for _ in range(1000): f()
threading.Thread(target=lambda: [f() for _ in iter(int, 1)], daemon=True).start() if sys.argv[1] == 'daemon' else 0
if sys.argv[1] == 'kill': os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == 'exit': os._exit(0)
if sys.argv[1] == 'abort': os.abort()
";
    for python in pythons(&VERSIONS) {
        for end in ["kill", "exit", "abort", "daemon"] {
            let recording =
                Recording::start(RecordingOptions { on_full: OnFull::Drop, ..RecordingOptions::default() });
            let mut command = recording.command(&python.path);
            command.args(["-I", "-c", source, end]).stderr(Stdio::null());
            wait_for_end(&mut command.spawn().expect("Python starts"));
            let trace = recording.finish();
            let codes = trace.processes[0].codes();
            let main = &trace.processes[0].rings[0];
            let is_f = |id| codes.get(&id).is_some_and(|code| code.2 == "f");
            let calls =
                main.records.iter().filter(|r| r.kind() == Some(RecordKind::Call) && is_f(r.id())).count();
            assert_eq!(calls, 1000, "{end} on {python:?}");
        }
    }
}

#[test]
fn lines_collections_and_imports_are_recorded() {
    let source = "import gc\n\ngc.collect(1)\nimport json\nx = 1\ntry:\n    import surely_not_there\nexcept ImportError: pass\nimport json\n";
    for python in pythons(&VERSIONS) {
        let recording =
            Recording::start(RecordingOptions { groups: LINE | GC | IMPORT, ..RecordingOptions::default() });
        run(recording.command(&python.path).args(["-I", "-S", "-c", source]));
        let trace = recording.finish();
        let process = &trace.processes[0];
        let (codes, texts) = (process.codes(), process.texts());
        // The first one: the standard library also evaluates strings.
        let main = codes.iter().find(|(_, code)| code.0 == "<string>").map(|(id, _)| *id);
        let lines: Vec<u32> = process
            .records()
            .filter(|r| r.kind() == Some(RecordKind::Line) && Some(r.id()) == main)
            .map(|r| r.arg())
            .collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 9], "{python:?}");
        let imports: Vec<(RecordKind, u32, &str)> = process
            .records()
            .filter(|r| matches!(r.kind(), Some(RecordKind::ImportStart | RecordKind::ImportDone)))
            .map(|r| (r.kind().expect("known"), r.arg(), texts[&r.id()].as_str()))
            .filter(|(_, _, name)| ["json", "surely_not_there"].contains(name))
            .collect();
        let expected = [
            (RecordKind::ImportStart, 0, "json"),
            (RecordKind::ImportDone, 1, "json"),
            (RecordKind::ImportStart, 0, "surely_not_there"),
            (RecordKind::ImportDone, 0, "surely_not_there"),
        ];
        assert_eq!(imports, expected, "{python:?}");
        let collections: Vec<RecordKind> = process
            .records()
            .filter(|r| {
                r.kind() == Some(RecordKind::GcStart) && r.payload() == 1
                    || r.kind() == Some(RecordKind::GcDone)
            })
            .filter_map(|r| r.kind())
            .take(2)
            .collect();
        assert_eq!(collections, [RecordKind::GcStart, RecordKind::GcDone], "{python:?}");
    }
}

#[test]
fn the_cost_of_an_event_is_recorded() {
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions::default());
        run(recording.command(&python.path).args(["-c", "pass"]));
        let trace = recording.finish();
        let cost = trace.processes[0].definitions.iter().find_map(|definition| match definition {
            Definition::Cost { event_ns } => Some(*event_ns),
            _ => None,
        });
        // On any machine an event costs more than 1 ns, and less than a very slow system call.
        assert!(cost.is_some_and(|cost| (1.0..10_000.0).contains(&cost)), "{cost:?} on {python:?}");
    }
}

fn wait_for_end(child: &mut std::process::Child) {
    let start = Instant::now();
    while child.try_wait().expect("the status is read").is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "the program does not end");
        thread::sleep(Duration::from_millis(10));
    }
}
