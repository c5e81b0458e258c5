//! `--expose-markers`: bpftrace counts the same events by the agent's static markers as the trace
//! contains, on Pythons without static markers of their own.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use pyrec_schema::{Code, Columns, Event, Marker, Names, Trace};
use support::{Background, Setup, has_program, is_root, pyrec, run, signal, skip, stderr, wait_for};
use tempfile::TempDir;

/// A program whose lines the test refers to by number.
const PROGRAM: &str = "\
import gc
def greet(): pass
def gen():
    yield 1
    yield 2
def fail():
    raise KeyError
def grüße(): return 'ü'
for _ in range(100): greet()
list(gen())
try: fail()
except KeyError: pass
grüße()
gc.collect()
import colorsys
try: import there_is_no_such_module
except ImportError: pass
";

/// Numbers of events by marker and arguments.
type Counts = BTreeMap<(Marker, Vec<String>), u64>;

#[test]
fn bpftrace_counts_the_recorded_events() {
    for version in ["3.14", "3.13", "3.12", "3.11", "3.8"] {
        let (Some(setup), true) = (Setup::agent(version), is_root()) else { continue };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let Some(mut bpftrace) = MarkerCounter::start(&setup, &directory) else { return };
        let program = directory.path().join("program.py");
        fs::write(&program, PROGRAM).expect("the write succeeds");

        let all = ["--markers", "function,line,gc,import,audit"];
        let messages = record(&setup, &directory, "recorded.parquet", &all, &[program.as_os_str()]);
        assert!(
            messages.contains(&format!("pyrec: markers: usdt:{}:python:*", library(&directory))),
            "{messages}"
        );
        let (pid, recorded) = recorded(&directory.path().join("recorded.parquet"));
        let counted = bpftrace.finish(pid);
        let differs = |a: &Counts, b: &Counts| {
            a.iter().filter(|(key, count)| b.get(key) != Some(count)).map(|(key, _)| key.clone()).next()
        };
        assert_eq!([differs(&counted, &recorded), differs(&recorded, &counted)], [None, None], "{version}");

        let file = program.display().to_string();
        let of = |marker, name: &str, line: u32| {
            counted.get(&(marker, vec![file.clone(), name.into(), line.to_string()])).copied().unwrap_or(0)
        };
        let (entry, exit) = (Marker::FunctionEntry, Marker::FunctionReturn);
        assert_eq!([of(entry, "greet", 2), of(exit, "greet", 2), of(Marker::Line, "greet", 2)], [100; 3]);
        // The generator is entered once and resumed at each yield. It is left at each yield, and at
        // its end, on the last line that ran.
        assert_eq!([3, 4, 5].map(|line| of(entry, "gen", line)), [1; 3]);
        assert_eq!([4, 5].map(|line| of(exit, "gen", line)), [1, 2]);
        assert_eq!([of(entry, "fail", 6), of(exit, "fail", 7), of(entry, "grüße", 8)], [1; 3]);
        let import = |name: &str, found: &str| {
            counted.get(&(Marker::ImportDone, vec![name.into(), found.into()])).copied().unwrap_or(0)
        };
        assert_eq!([import("colorsys", "1"), import("there_is_no_such_module", "0")], [1; 2]);
        assert!(counted.contains_key(&(Marker::GcStart, vec!["2".into()])), "{counted:?}");
    }
}

/// The path of the agent's library, which is known before a program runs.
fn library(directory: &TempDir) -> String {
    directory.path().join("pyrec-0/libpyrec_agent.so").display().to_string()
}

/// Records with exposed markers. Returns standard error.
fn record<S: AsRef<std::ffi::OsStr>>(
    setup: &Setup,
    directory: &TempDir,
    trace: &str,
    options: &[&str],
    arguments: &[S],
) -> String {
    let mut command = pyrec("record");
    command.args(["-f", "-o", trace, "--expose-markers"]).args(options).arg("--");
    command.arg(&setup.python.program).arg("-S").args(arguments);
    let output = run(command.current_dir(directory.path()).env("TMPDIR", directory.path()));
    let stderr = stderr(&output);
    assert!(output.status.success(), "{stderr}");
    stderr
}

/// bpftrace, counting the hits of all markers of the library.
struct MarkerCounter {
    bpftrace: Background,
    output: std::path::PathBuf,
}

impl MarkerCounter {
    /// Starts bpftrace, and waits until its probes are attached. Skips the test if bpftrace cannot
    /// run.
    fn start(setup: &Setup, directory: &TempDir) -> Option<MarkerCounter> {
        if !has_program("bpftrace") {
            return None;
        }
        let program = ["-c", "def probe(): pass\nprobe()"];
        record(setup, directory, "first.parquet", &["-q"], &program);
        let output = directory.path().join("output");
        let mut command = Command::new("bpftrace");
        command.args(["-B", "line", "-e", &script(&library(directory))]);
        command.stdin(Stdio::null()).stdout(File::create(&output).expect("the file is created"));
        command.stderr(Stdio::null());
        let mut bpftrace = Background::start(&mut command);
        let is_attached = wait_for("bpftrace", || {
            if bpftrace.exit_status().is_some() {
                return Some(false);
            }
            // bpftrace does not report that its probes are attached, so a program is run until one
            // of them fires.
            record(setup, directory, "first.parquet", &["-q"], &program);
            fs::read_to_string(&output).expect("the file is readable").contains("attached").then_some(true)
        });
        if !is_attached {
            skip("bpftrace fails on this kernel");
        }
        is_attached.then_some(MarkerCounter { bpftrace, output })
    }

    /// Ends bpftrace. Returns its counts for this process.
    fn finish(&mut self, pid: i32) -> Counts {
        signal(&self.bpftrace.pid(), "INT");
        self.bpftrace.wait();
        let text = fs::read_to_string(&self.output).expect("the file is readable");
        let lines = text.lines().filter_map(|line| line.strip_prefix('@')?.split_once('['));
        let counts = lines.filter_map(|(map, rest)| {
            let (keys, count) = rest.split_once("]: ").expect("a line has a key and a count");
            let mut arguments: Vec<String> = keys.split(", ").map(str::to_owned).collect();
            let marker =
                MARKERS.iter().find(|(_, name, _)| *name == map).expect("the map belongs to a marker").0;
            let process = arguments.remove(0);
            (process == pid.to_string()).then(|| ((marker, arguments), count.parse().expect("a count")))
        });
        counts.collect()
    }
}

/// The markers, their names, and the arguments that the script reads.
const MARKERS: [(Marker, &str, &str); 8] = [
    (Marker::FunctionEntry, "function__entry", "str(arg0), str(arg1), arg2"),
    (Marker::FunctionReturn, "function__return", "str(arg0), str(arg1), arg2"),
    (Marker::Line, "line", "str(arg0), str(arg1), arg2"),
    (Marker::GcStart, "gc__start", "arg0"),
    (Marker::GcDone, "gc__done", "arg0"),
    (Marker::ImportStart, "import__find__load__start", "str(arg0)"),
    (Marker::ImportDone, "import__find__load__done", "str(arg0), arg1"),
    (Marker::Audit, "audit", "str(arg0)"),
];

fn script(library: &str) -> String {
    let count = MARKERS.map(|(_, name, arguments)| {
        format!("usdt:{library}:python:{name} {{ @{name}[pid, {arguments}] = count(); }}\n")
    });
    let ready = format!(
        "usdt:{library}:python:function__entry /str(arg1) == \"probe\"/ {{ printf(\"attached\\n\"); }}\n"
    );
    count.concat() + &ready
}

/// The part of a path that bpftrace reads.
fn truncate(path: &str) -> String {
    String::from_utf8_lossy(path.as_bytes().get(..63).unwrap_or(path.as_bytes())).into_owned()
}

/// The process and the numbers of events in a trace.
fn recorded(trace: &Path) -> (i32, Counts) {
    let trace = Trace::open(&[trace]).expect("the trace opens");
    let (mut counts, mut process) = (Counts::new(), 0);
    for file in trace.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, Columns::ALL).expect("the row group exists") {
                for event in batch.expect("the batch is valid").iter() {
                    if let Some(arguments) = arguments(&event, trace.names()) {
                        process = event.pid;
                        *counts.entry((event.marker, arguments)).or_default() += 1;
                    }
                }
            }
        }
    }
    (process, counts)
}

/// The arguments of the marker. None for events that have no static marker.
fn arguments(event: &Event, names: &Names) -> Option<Vec<String>> {
    let text = || names.text_str(event.text).expect("the event has a text").to_string();
    let value = || event.value.expect("the event has a value").to_string();
    Some(match event.marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            let code = names.code_str(event.code);
            let code = Code::parse(&code);
            vec![truncate(code.file), code.name().into(), event.line.to_string()]
        }
        Marker::GcStart | Marker::GcDone => vec![value()],
        Marker::ImportStart | Marker::Audit => vec![text()],
        Marker::ImportDone => vec![text(), value()],
        _ => return None,
    })
}
