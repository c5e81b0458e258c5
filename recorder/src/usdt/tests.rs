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

mod attached;

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
        // In one write, and so in one read.
        self.input.write_all(format!("{word}\n").as_bytes()).expect("it listens");
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

/// A small program, in a file of its own.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new(text: &str) -> Script {
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(folder.path().join("script.py"), text).expect("room for a small file");
        Script { folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("script.py").to_str().expect("a plain path").to_owned()
    }
}

#[test]
fn addresses_that_are_used_again_are_new_codes() {
    if !can_trace("addresses_that_are_used_again_are_new_codes") {
        return;
    }
    // Each round frees its code and strings before the next one makes its own, mostly at the same addresses.
    let script = Script::new(
        "for i in range(2000):\n    exec(compile(f'def f{i:04}(): pass\\nf{i:04}()', f'<{i:04}>', 'exec'), {})\n",
    );
    let recorded = record(&[&script.path()], &[Group::Function], RING);
    let made: BTreeMap<String, u64> = (0..2000)
        .flat_map(|i| [format!("<{i:04}>:1:<module>"), format!("<{i:04}>:1:f{i:04}")])
        .map(|code| (code, 1))
        .collect();
    let mut seen = BTreeMap::new();
    for event in recorded.of(Marker::FunctionEntry) {
        let code = recorded.names.code_str(event.code);
        if made.contains_key(&*code) {
            *seen.entry(code.to_string()).or_default() += 1;
        }
    }
    assert_eq!(seen, made);
}

#[test]
fn names_of_any_alphabet_and_length() {
    if !can_trace("names_of_any_alphabet_and_length") {
        return;
    }
    let long = "x".repeat(300);
    let names = ["plain", "naïve", "Имя", "名前", "𐐷𐐷", &long];
    let text: String = names.iter().map(|name| format!("def {name}(): pass\n{name}()\n")).collect();
    let script = Script::new(&text);
    let recorded = record(&[&script.path()], &[Group::Function], RING);
    let counts = recorded.counts(Marker::FunctionEntry, &script.path());
    for (index, name) in names.iter().enumerate() {
        let code = format!("{}:{}:{name}", script.path(), 2 * index + 1);
        assert_eq!(counts.get(&code), Some(&1), "{code} in {counts:?}");
    }
}

#[test]
fn entry_return_and_line_rows_say_their_line() {
    if !can_trace("entry_return_and_line_rows_say_their_line") {
        return;
    }
    let script = Script::new("def count(n):\n    for i in range(n):\n        yield i\n\nlist(count(2))\n");
    let recorded = record(&[&script.path()], &[Group::Function, Group::Line], RING);
    let code = format!("{}:1:count", script.path());
    let steps: Vec<(Marker, i32)> = recorded
        .events
        .iter()
        .filter(|event| *recorded.names.code_str(event.code) == *code)
        .map(|event| (event.marker, event.line))
        .collect();
    use Marker::{FunctionEntry as E, FunctionReturn as R, Line as L};
    // By reading the program: the first call starts at line 1, each resume at the line of its yield.
    let expected = [(E, 1), (L, 2), (L, 3), (R, 3), (E, 3), (L, 2), (L, 3), (R, 3), (E, 3), (L, 2), (R, 2)];
    assert_eq!(steps, expected);
}

#[test]
fn collections_and_imports_with_their_numbers_and_names() {
    if !can_trace("collections_and_imports_with_their_numbers_and_names") {
        return;
    }
    let script = Script::new(
        "import gc\ngc.disable()\nclass Ring: pass\nfor _ in range(3):\n    r = Ring(); r.me = r\ndel r\n\
         print(gc.collect(1))\ntry:\n    import no_such_module\nexcept ImportError: pass\nimport this_one_is\n",
    );
    std::fs::write(script.folder.path().join("this_one_is.py"), "").expect("room for an empty file");
    let recorded = record(&["-B", &script.path()], &[Group::Gc, Group::Import], RING);
    let values = |marker| recorded.of(marker).map(|event| event.value).collect::<Vec<_>>();
    assert!(values(Marker::GcStart).contains(&Some(1)), "{:?}", values(Marker::GcStart));
    let collected = recorded.output.trim().parse().expect("the program prints what it collected");
    assert!(collected >= 3, "three rings");
    let only = recorded.of(Marker::GcStart).position(|event| event.value == Some(1)).expect("seen above");
    assert_eq!(values(Marker::GcDone).get(only), Some(&Some(collected)));
    assert_eq!(values(Marker::GcStart).len(), values(Marker::GcDone).len());
    let imported = |marker, name: &str| -> Vec<Option<i64>> {
        let text = |event: &&Event| recorded.names.text_str(event.text).is_some_and(|text| *text == *name);
        recorded.of(marker).filter(text).map(|event| event.value).collect()
    };
    assert_eq!(imported(Marker::ImportStart, "this_one_is"), [None]);
    assert_eq!(imported(Marker::ImportDone, "this_one_is"), [Some(1)]);
    assert_eq!(imported(Marker::ImportDone, "no_such_module"), [Some(0)]);
}

#[test]
fn threads_and_the_process_have_rows() {
    if !can_trace("threads_and_the_process_have_rows") {
        return;
    }
    let script = Script::new(
        "import threading, time\ndef work(): time.sleep(0.2)\n\
         threads = [threading.Thread(target=work) for _ in range(3)]\n\
         [t.start() for t in threads]\n[t.join() for t in threads]\n",
    );
    let recorded = record(&[&script.path()], &[Group::Function], RING);
    let process: Vec<&Event> = recorded.of(Marker::ProcessStart).collect();
    assert_eq!(process.len(), 1);
    let command = recorded.names.text_str(process[0].text).expect("it has a command line");
    assert!(command.starts_with(PYTHON) && command.ends_with("script.py"), "{command}");
    assert_eq!(process[0].value, Some(i64::from(std::process::id())));
    let names: Vec<_> =
        recorded.of(Marker::ThreadStart).map(|event| recorded.names.text_str(event.text)).collect();
    assert_eq!(names, vec![Some(Arc::from("python3.11")); 4]);
}
