//! The provider against Debian's `/usr/bin/python3.11`.
//!
//! Calls are judged by `sys.setprofile` in a run of its own, which shares no code with what it judges.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pyrec_schema::{
    Clock, Columns, Ended, FORMAT_VERSION, Host, Manifest, Names, Trace, TraceWriter, WriterOptions,
};

use super::*;
use crate::pipeline::Pipeline;

const PYTHON: &str = "/usr/bin/python3.11";

/// Whether the machine can run these tests; says why not where it cannot.
fn can_trace(test: &str) -> bool {
    let reason = if !Path::new(PYTHON).exists() {
        format!("no {PYTHON} (apt-get install python3.11)")
    } else if let Err(error @ Error::NoRights { .. }) = Kernel::load(1 << 16) {
        error.to_string()
    } else {
        return true;
    };
    // Not by `eprintln!`, which the test runner keeps to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// A Python that waits for a line on its standard input before it starts.
struct Waiting {
    child: Child,
    input: ChildStdin,
}

impl Waiting {
    fn new(arguments: &[&str]) -> Waiting {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go && exec \"$@\"", "sh", PYTHON])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let input = child.stdin.take().expect("piped");
        Waiting { child, input }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").expect("it listens");
    }
}

/// Rows with a real writer behind them, and what it wrote.
struct Recording {
    rows: Rows,
    folder: tempfile::TempDir,
}

/// What a recording left.
struct Recorded {
    names: Arc<Names>,
    events: Vec<Event>,
    notices: Vec<String>,
    lost: u64,
    output: String,
}

impl Recording {
    fn new() -> Recording {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let names = Arc::new(Names::new());
        let path = folder.path().join("x.parquet");
        let writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default());
        let pipeline = Pipeline::start(writer.expect("a new file")).expect("a thread");
        Recording { rows: Rows::new(names, pipeline), folder }
    }

    fn read(self, output: String) -> Recorded {
        let (pipeline, facts) = self.rows.into_parts().expect("rows pass on");
        pipeline.finish(manifest()).expect("the trace is written");
        let trace = Trace::open(&[self.folder.path().join("x.parquet")]).expect("a whole trace");
        let mut events = Vec::new();
        for file in trace.files() {
            for group in 0..file.row_groups() {
                for batch in file.read(group, Columns::ALL).expect("readable") {
                    events.extend(batch.expect("readable").iter());
                }
            }
        }
        let notices = facts.notices.into_keys().collect();
        Recorded { names: trace.names().clone(), events, notices, lost: facts.lost, output }
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT_VERSION,
        writer: "test".into(),
        command: vec![],
        attached: vec![],
        python: vec![],
        provider: "usdt".into(),
        markers: vec![],
        clock: Clock { source: "monotonic".into(), anchor_monotonic_ns: 0, anchor_unix_ns: 0 },
        host: Host { system: "".into(), machine: "".into(), processors: 1, name: "".into() },
        cost_per_event_ns: None,
        waited_ns: None,
        ended: Ended::Recording,
    }
}

/// Launches Python with these arguments and records it to its end.
fn record(arguments: &[&str], groups: &[Group], ring_bytes: u32) -> Recorded {
    let mut waiting = Waiting::new(arguments);
    let attached = Usdt::attach(Path::new(PYTHON), Loaded::Later, waiting.pid(), groups, ring_bytes);
    let mut usdt = attached.expect("the markers attach");
    let mut recording = Recording::new();
    waiting.say("go");
    let mut stdout = waiting.child.stdout.take().expect("piped");
    let output = std::thread::spawn(move || {
        let mut output = String::new();
        stdout.read_to_string(&mut output).map(|_| output)
    });
    while waiting.child.try_wait().expect("it is our child").is_none() {
        usdt.drain(&mut recording.rows).expect("records are whole");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(waiting.child.wait().expect("it is our child").success());
    usdt.stop(&mut recording.rows).expect("the rest is whole");
    recording.read(output.join().expect("no panic").expect("it prints text"))
}

const RING: u32 = 1 << 24;

impl Recorded {
    fn of(&self, marker: Marker) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.marker == marker)
    }

    /// How often a marker fired for each code of a file.
    fn counts(&self, marker: Marker, file: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for event in self.of(marker) {
            let code = self.names.code_str(event.code);
            if Code::parse(&code).file == file {
                *counts.entry(code.to_string()).or_default() += 1;
            }
        }
        counts
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/programs")
        .join(name)
        .canonicalize()
        .expect("it is there")
}

/// Runs a program under `sys.setprofile` and prints one line for each code of its file: how often it was called
/// and left, and its name as the trace writes it.
const COUNTER: &str = r#"
import collections, runpy, sys, threading
path, sys.argv = sys.argv[1], sys.argv[1:]
counts = {"call": collections.Counter(), "return": collections.Counter()}
def hook(frame, event, argument):
    code = frame.f_code
    if event in counts and code.co_filename == path:
        counts[event][f"{path}:{code.co_firstlineno}:{code.co_qualname}"] += 1
threading.setprofile(hook)
sys.setprofile(hook)
try:
    runpy.run_path(path, run_name="__main__")
finally:
    sys.setprofile(None)
    for event in counts:
        for code, count in counts[event].items():
            print("counted", event, count, code, file=sys.stderr)
"#;

fn independent_counts(path: &Path, arguments: &[&str]) -> [BTreeMap<String, u64>; 2] {
    let output =
        Command::new(PYTHON).args(["-c", COUNTER]).arg(path).args(arguments).output().expect("it runs");
    let text = String::from_utf8(output.stderr).expect("it prints text");
    assert!(output.status.success(), "{text}");
    ["call", "return"].map(|event| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("counted "));
        lines
            .filter_map(|line| line.strip_prefix(event)?.trim().split_once(' '))
            .map(|(count, code)| (code.to_owned(), count.parse().expect("a number")))
            .collect()
    })
}

/// The parts of `matrix.py` that stay in one process.
const PARTS: [&str; 13] = [
    "recursion",
    "methods",
    "generators",
    "throws",
    "exceptions",
    "comprehensions",
    "lambdas",
    "decorators",
    "classes",
    "evaluated",
    "collections",
    "coroutines",
    "threads",
];

#[test]
fn calls_and_returns_are_exactly_those_that_setprofile_sees() {
    if !can_trace("calls_and_returns_are_exactly_those_that_setprofile_sees") {
        return;
    }
    let path = program("matrix.py");
    let file = path.to_str().expect("a plain path");
    let [calls, returns] = independent_counts(&path, &PARTS);
    let arguments: Vec<&str> = [&[file], PARTS.as_slice()].concat();
    let recorded = record(&arguments, &[Group::Function], RING);
    assert_eq!(recorded.counts(Marker::FunctionEntry, file), calls);
    assert_eq!(recorded.counts(Marker::FunctionReturn, file), returns);
    assert_eq!((recorded.lost, recorded.notices), (0, vec![]));
    assert!(calls.len() > 80, "a counter that sees nothing proves nothing: {calls:?}");
}
