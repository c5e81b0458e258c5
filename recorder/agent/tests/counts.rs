//! Every call is recorded once: entries and exits of each function equal those that an independent
//! counter, by `sys.setprofile`, reports.

mod support;

use pyrec_wire::RecordKind;
use support::{Python, Recording, RecordingOptions, Trace, counted_by_setprofile, program, pythons, run};

const VERSIONS: [u32; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

fn record(python: &Python, name: &str, options: RecordingOptions) -> Trace {
    let recording = Recording::start(options);
    run(recording.command(&python.path).arg(program(name)));
    recording.finish()
}

fn assert_counts_equal(name: &str) {
    for python in pythons(&VERSIONS) {
        let expected = counted_by_setprofile(&python, &program(name));
        let trace = record(&python, name, RecordingOptions::default());
        assert!(expected.len() > 3, "{expected:?}");
        assert_eq!(trace.counts(&program(name)), expected, "{name} on {python:?}");
        assert_eq!(trace.notices(), Vec::<&str>::new());
    }
}

#[test]
fn counts_of_every_kind_of_call_are_exact() {
    assert_counts_equal("call_kinds.py");
}

#[test]
fn counts_of_coroutines_are_exact() {
    assert_counts_equal("coroutines.py");
}

#[test]
fn counts_of_threads_are_exact() {
    assert_counts_equal("threads.py");
}

#[test]
fn counts_of_forked_children_are_exact() {
    assert_counts_equal("forks.py");
}

#[test]
fn counts_of_a_recursion_that_overflows_are_exact() {
    // The counter would overflow itself, so the program counts.
    let source = "\
depth = 0
def overflow():
    global depth
    depth += 1
    overflow()
try: overflow()
except RecursionError: print(depth)
";
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions::default());
        let output = run(recording.command(&python.path).args(["-c", source]));
        let depth: u64 =
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("the program prints a number");
        let counts = recording.finish().counts("<string>".as_ref());
        assert_eq!(counts[&("<string>".into(), 2, "overflow".into())], [depth, depth], "{python:?}");
    }
}

#[test]
fn threads_have_names() {
    for python in pythons(&VERSIONS) {
        let trace = record(&python, "threads.py", RecordingOptions::default());
        let process = &trace.processes[0];
        let mut names: Vec<_> = process.rings.iter().map(|ring| process.thread_name(ring.tid)).collect();
        names.sort_unstable();
        names.dedup();
        let expected =
            ["MainThread", "nested", "pool_0", "pool_1", "worker-0", "worker-1", "worker-2", "worker-3"];
        for name in expected {
            // The pool may start only one thread.
            assert!(names.contains(&Some(name)) || name == "pool_1", "{name}: {names:?}");
        }
        assert!(process.rings.iter().all(|ring| ring.end_ticks >= ring.start_ticks), "every thread ended");
    }
}

#[test]
fn times_do_not_decrease_within_a_thread() {
    for python in pythons(&VERSIONS) {
        let trace = record(&python, "threads.py", RecordingOptions::default());
        for ring in trace.processes.iter().flat_map(|process| &process.rings) {
            let ticks: Vec<u64> = ring.records.iter().map(|record| record.ticks).collect();
            assert!(ticks.is_sorted());
            assert!(ticks.first().is_none_or(|first| ring.start_ticks <= *first), "{}", ring.start_ticks);
            assert!(ticks.last().is_none_or(|last| ring.end_ticks >= *last), "{}", ring.end_ticks);
        }
    }
}

#[test]
fn resumes_yields_throws_and_unwinds_are_distinguished() {
    let source = "\
def gen():
    try:
        yield
    except KeyError:
        pass
    yield
def fail(): raise ValueError
g = gen()
next(g)
g.throw(KeyError)
try: fail()
except ValueError: pass
next(g, None)
";
    for python in pythons(&VERSIONS) {
        let recording =
            Recording::start(RecordingOptions { groups: support::FUNCTION, ..RecordingOptions::default() });
        run(recording.command(&python.path).args(["-I", "-c", source]));
        let trace = recording.finish();
        let codes = trace.processes[0].codes();
        let kinds: Vec<(RecordKind, &str)> = trace.processes[0]
            .records()
            .filter(|record| codes[&record.id()].0 == "<string>")
            .map(|record| (record.kind().expect("known"), codes[&record.id()].2.as_str()))
            .collect();
        let expected = [
            (RecordKind::Call, "<module>"),
            (RecordKind::Call, "gen"),
            (RecordKind::Yield, "gen"),
            (RecordKind::Throw, "gen"),
            (RecordKind::Yield, "gen"),
            (RecordKind::Call, "fail"),
            (RecordKind::Unwind, "fail"),
            (RecordKind::Resume, "gen"),
            (RecordKind::Return, "gen"),
            (RecordKind::Return, "<module>"),
        ];
        // Before 3.11 a frame has no field that distinguishes a throw from a resume.
        let expected = expected.map(|(kind, name)| match kind {
            RecordKind::Throw if python.version < (3, 11) => (RecordKind::Resume, name),
            _ => (kind, name),
        });
        assert_eq!(kinds, expected, "{python:?}");
    }
}
