//! Static markers for other tools: bpftrace hears by them what is recorded, on Pythons that have none of their own.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use pyrec_schema::{Code, Columns, Event, Marker, Names, Trace};
use support::{Background, Subject, is_root, pyrec, run, signal, skipped, wait_for};
use tempfile::TempDir;

/// Line by line, so that the test can name them.
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

/// What was heard, or recorded: marker and arguments, and how often.
type Counts = BTreeMap<(Marker, Vec<String>), u64>;

#[test]
fn bpftrace_hears_what_is_recorded() {
    for version in ["3.14", "3.13", "3.12", "3.11", "3.8"] {
        let (Some(subject), true) = (Subject::agent(version), is_root()) else { continue };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let Some(mut listener) = Listener::start(&subject, &directory) else { return };
        let program = directory.path().join("program.py");
        fs::write(&program, PROGRAM).expect("the directory is ours");

        let all = ["--markers", "function,line,gc,import,audit"];
        let said = record(&subject, &directory, "heard.parquet", &all, &[program.as_os_str()]);
        assert!(said.contains(&format!("pyrec: markers: usdt:{}:python:*", library(&directory))), "{said}");
        let (pid, recorded) = recorded(&directory.path().join("heard.parquet"));
        let heard = listener.finish(pid);
        let differs = |a: &Counts, b: &Counts| {
            a.iter().filter(|(key, count)| b.get(key) != Some(count)).map(|(key, _)| key.clone()).next()
        };
        assert_eq!([differs(&heard, &recorded), differs(&recorded, &heard)], [None, None], "{version}");

        let file = program.display().to_string();
        let of = |marker, name: &str, line: u32| {
            heard.get(&(marker, vec![file.clone(), name.into(), line.to_string()])).copied().unwrap_or(0)
        };
        let (entry, left) = (Marker::FunctionEntry, Marker::FunctionReturn);
        assert_eq!([of(entry, "greet", 2), of(left, "greet", 2), of(Marker::Line, "greet", 2)], [100; 3]);
        // Begun, gone on at either yield; left at each, and by the end, at the last line that ran.
        assert_eq!([3, 4, 5].map(|line| of(entry, "gen", line)), [1; 3]);
        assert_eq!([4, 5].map(|line| of(left, "gen", line)), [1, 2]);
        assert_eq!([of(entry, "fail", 6), of(left, "fail", 7), of(entry, "grüße", 8)], [1; 3]);
        let import = |name: &str, found: &str| {
            heard.get(&(Marker::ImportDone, vec![name.into(), found.into()])).copied().unwrap_or(0)
        };
        assert_eq!([import("colorsys", "1"), import("there_is_no_such_module", "0")], [1; 2]);
        assert!(heard.contains_key(&(Marker::GcStart, vec!["2".into()])), "{heard:?}");
    }
}

/// The library, by a path that is known before any program runs.
fn library(directory: &TempDir) -> String {
    directory.path().join("pyrec-0/libpyrec_agent.so").display().to_string()
}

/// Records with markers exposed. Returns what the command said.
fn record<S: AsRef<std::ffi::OsStr>>(
    subject: &Subject,
    directory: &TempDir,
    trace: &str,
    options: &[&str],
    arguments: &[S],
) -> String {
    let mut command = pyrec("record");
    command.args(["-f", "-o", trace, "--expose-markers"]).args(options).arg("--");
    command.arg(&subject.python.program).arg("-S").args(arguments);
    let output = run(command.current_dir(directory.path()).env("TMPDIR", directory.path()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// A bpftrace that counts every marker of that library.
struct Listener {
    bpftrace: Background,
    heard: std::path::PathBuf,
}

impl Listener {
    /// None, and said so, where bpftrace cannot run.
    fn start(subject: &Subject, directory: &TempDir) -> Option<Listener> {
        let program = ["-c", "def is_heard(): pass\nis_heard()"];
        record(subject, directory, "first.parquet", &["-q"], &program);
        let heard = directory.path().join("heard");
        let mut command = Command::new("bpftrace");
        command.args(["-B", "line", "-e", &script(&library(directory))]);
        command.stdin(Stdio::null()).stdout(File::create(&heard).expect("the directory is ours"));
        command.stderr(Stdio::null());
        if Command::new("bpftrace").arg("--version").stdout(Stdio::null()).status().is_err() {
            skipped("there is no bpftrace");
            return None;
        }
        let mut bpftrace = Background::start(&mut command);
        let listens = wait_for("bpftrace", || {
            if bpftrace.0.try_wait().expect("it can be asked").is_some() {
                return Some(false);
            }
            // It does not say when it has put its probes in place; so the program says when it is heard.
            record(subject, directory, "first.parquet", &["-q"], &program);
            fs::read_to_string(&heard).expect("it is ours").contains("is heard").then_some(true)
        });
        if !listens {
            skipped("bpftrace cannot run here");
        }
        listens.then_some(Listener { bpftrace, heard })
    }

    /// What it heard from that process.
    fn finish(&mut self, pid: i32) -> Counts {
        signal(&self.bpftrace.pid(), "INT");
        self.bpftrace.end();
        let text = fs::read_to_string(&self.heard).expect("it is ours");
        let lines = text.lines().filter_map(|line| line.strip_prefix('@')?.split_once('['));
        let counts = lines.filter_map(|(map, rest)| {
            let (keys, count) = rest.split_once("]: ").expect("a map's line");
            let mut arguments: Vec<String> = keys.split(", ").map(str::to_owned).collect();
            let marker = MARKERS.iter().find(|(_, name, _)| *name == map).expect("a map of the script").0;
            let of = arguments.remove(0);
            (of == pid.to_string()).then(|| ((marker, arguments), count.parse().expect("a count")))
        });
        counts.collect()
    }
}

/// The markers, the script's map for each, and its arguments.
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
        "usdt:{library}:python:function__entry /str(arg1) == \"is_heard\"/ {{ printf(\"is heard\\n\"); }}\n"
    );
    count.concat() + &ready
}

/// As much of a path as bpftrace reads.
fn cut(path: &str) -> String {
    String::from_utf8_lossy(path.as_bytes().get(..63).unwrap_or(path.as_bytes())).into_owned()
}

/// The rows of the same run, and the process that they are of.
fn recorded(trace: &Path) -> (i32, Counts) {
    let trace = Trace::open(&[trace]).expect("the trace is whole");
    let (mut counts, mut process) = (Counts::new(), 0);
    for file in trace.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, Columns::ALL).expect("it is there") {
                for event in batch.expect("it is whole").iter() {
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

/// What the marker's arguments were, none for a row of the recorder's own.
fn arguments(event: &Event, names: &Names) -> Option<Vec<String>> {
    let text = || names.text_str(event.text).expect("it has a name").to_string();
    let value = || event.value.expect("it has a number").to_string();
    Some(match event.marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            let code = names.code_str(event.code);
            let code = Code::parse(&code);
            vec![cut(code.file), code.name().into(), event.line.to_string()]
        }
        Marker::GcStart | Marker::GcDone => vec![value()],
        Marker::ImportStart | Marker::Audit => vec![text()],
        Marker::ImportDone => vec![text(), value()],
        _ => return None,
    })
}
