//! The provider against CPythons with markers: Debian 12's own 3.11, and those that
//! `scripts/pythons` makes.
//!
//! Calls are judged by `sys.setprofile` in a run of its own, which shares no code with what it
//! judges.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyrec_schema::{Columns, Manifest, Names, Trace};

use super::*;
use crate::Rotation;
use crate::output::pipeline::Pipeline;
use crate::output::rotation::{RotatingWriter, WriterContext};
use crate::output::source_files::SourceFiles;

mod attached;

/// How a recording loads the BPF program.
fn sending(ring_bytes: u32) -> LoadOptions {
    LoadOptions { ring_bytes, mode: Mode::Stream }
}

/// A CPython with markers.
struct Interpreter {
    /// What to run.
    command: PathBuf,
    /// The file with the markers.
    image: PathBuf,
}

impl Interpreter {
    /// Debian 12's own one, or one that `scripts/pythons` has made.
    fn of(minor: u8) -> Interpreter {
        let name = format!("python3.{minor}");
        let own = Path::new("/usr/bin").join(&name);
        let debian = match minor {
            9 => "bullseye",
            13 => "trixie",
            14 | 15 => "sid",
            _ => return Interpreter { command: own.clone(), image: own },
        };
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).unwrap_or_default();
        let made = cache.join("pyrec/pythons");
        Interpreter { command: made.join(&name), image: made.join(debian).join("usr/bin").join(&name) }
    }
}

/// Those of these versions that are here; says why not where one is not, or cannot be traced.
fn interpreters(test: &str, minors: &[u8]) -> Vec<Interpreter> {
    let skipped = |reason: &dyn std::fmt::Display| {
        crate::test_support::skip(format_args!("{test}: {reason}"));
    };
    if let Err(error @ (Error::NoRights { .. } | Error::Barred { .. })) = BpfObject::load(sending(1 << 16)) {
        skipped(&error);
        return vec![];
    }
    let all = minors.iter().map(|&minor| (minor, Interpreter::of(minor)));
    let (here, missing): (Vec<_>, Vec<_>) = all.partition(|(_, python)| python.image.exists());
    for (minor, _) in missing {
        skipped(&format_args!("no python3.{minor} (apt-get install python3.11, scripts/pythons)"));
    }
    here.into_iter().map(|(_, python)| python).collect()
}

/// Debian's `/usr/bin/python3.11`, if it can be traced.
fn debian(test: &str) -> Option<Interpreter> {
    interpreters(test, &[11]).pop()
}

/// A Python that waits for a line on its standard input before it starts.
struct HeldPython {
    child: Child,
    input: ChildStdin,
}

impl HeldPython {
    fn new(python: &Interpreter, arguments: &[&str]) -> HeldPython {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go && exec \"$@\"", "sh"])
            .arg(&python.command)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let input = child.stdin.take().expect("piped");
        HeldPython { child, input }
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
    rows: RowWriter,
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
        let sources = Arc::<Mutex<SourceFiles>>::default();
        let rotation = Rotation::default();
        let supplies =
            WriterContext { output: path, rotation, names: names.clone(), sources: sources.clone() };
        let reel = RotatingWriter::create(supplies, Manifest::unknown("a test")).expect("a new file");
        let pipeline = Pipeline::start(reel).expect("a thread");
        Recording { rows: RowWriter::new(names, sources, pipeline), folder }
    }

    fn read(self, output: String) -> Recorded {
        let (pipeline, facts) = self.rows.into_parts().expect("rows pass on");
        pipeline.finish(Manifest::unknown("a test")).expect("the trace is written");
        let trace = Trace::open(&[self.folder.path().join("x.parquet")]).expect("a whole trace");
        let mut events = Vec::new();
        for file in trace.files() {
            for group in 0..file.row_groups() {
                for batch in file.read(group, Columns::ALL).expect("readable") {
                    events.extend(batch.expect("readable").iter());
                }
            }
        }
        let notices = facts.notices.into_iter().collect();
        Recorded { names: trace.names().clone(), events, notices, lost: facts.lost, output }
    }
}

/// Launches Python with these arguments and records it to its end.
fn record(python: &Interpreter, arguments: &[&str], groups: &[MarkerGroup]) -> Recorded {
    let mut waiting = HeldPython::new(python, arguments);
    let image = InterpreterFile::of_program(&python.image).expect("an interpreter");
    let attached = Usdt::attach(&[image], &[waiting.pid()], groups, sending(RING));
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

/// Runs a program under `sys.setprofile`, or `sys.monitoring` where CPython has it, and prints one
/// line for each code of its file: how often it was entered, thrown into and left, and its name as
/// the trace writes it.
const COUNTER: &str = r#"
import collections, runpy, sys, threading
path, sys.argv = sys.argv[1], sys.argv[1:]
counts = collections.Counter()
def count(event, code):
    if code.co_filename == path:
        counts[event, f"{path}:{code.co_firstlineno}:{getattr(code, 'co_qualname', code.co_name)}"] += 1
def hook(frame, event, argument):
    if event in ("call", "return"):
        count(event, frame.f_code)
MONITORED = {"PY_START": "call", "PY_RESUME": "call", "PY_THROW": "throw",
             "PY_RETURN": "return", "PY_YIELD": "return", "PY_UNWIND": "return"}
if hasattr(sys, "monitoring"):
    sys.monitoring.use_tool_id(3, "counter")
    for name, event in MONITORED.items():
        number = getattr(sys.monitoring.events, name)
        sys.monitoring.register_callback(3, number, lambda code, *_, event=event: count(event, code))
        sys.monitoring.set_events(3, sys.monitoring.get_events(3) | number)
else:
    threading.setprofile(hook)
    sys.setprofile(hook)
try:
    runpy.run_path(path, run_name="__main__")
finally:
    if hasattr(sys, "monitoring"):
        sys.monitoring.set_events(3, 0)
    sys.setprofile(None)
    for (event, code), number in counts.items():
        print("counted", event, number, code, file=sys.stderr)
"#;

/// Prints the first line, the name and the qualified name of each code that a text is compiled to,
/// by CPython 3.11, which is the first to know the last and the last that gives comprehensions a
/// code of their own.
const COMPILED: &str = r#"
import sys, types
def tell(code):
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            print(constant.co_firstlineno, constant.co_name, constant.co_qualname, sep="\t")
            tell(constant)
tell(compile(open(sys.argv[1]).read(), "x", "exec"))
"#;

/// Qualified names by first line and name, a tab between them; none where they do not tell codes
/// apart.
pub fn compiled_names(path: &Path) -> BTreeMap<String, Option<String>> {
    let output = Command::new("/usr/bin/python3.11").args(["-c", COMPILED]).arg(path).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names = BTreeMap::new();
    for (code, name) in
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.rsplit_once('\t'))
    {
        let noted = names.entry(code.to_owned()).or_insert_with(|| Some(name.to_owned()));
        if noted.as_deref() != Some(name) {
            *noted = None;
        }
    }
    names
}

/// The same counts by qualified names.
fn qualified(counts: BTreeMap<String, u64>, path: &Path) -> BTreeMap<String, u64> {
    let names = compiled_names(path);
    let qualify = |(code, count): (String, u64)| {
        let Code { file, first_line, qualname } = Code::parse(&code);
        let known = names.get(&format!("{}\t{qualname}", first_line.expect("it was counted with one")));
        let qualname = known.and_then(Option::as_deref).unwrap_or(qualname);
        (Code { file, first_line, qualname }.to_string(), count)
    };
    counts.into_iter().map(qualify).collect()
}

/// How often each code was called or resumed, and left.
fn independent_counts(python: &Interpreter, path: &Path, arguments: &[&str]) -> [BTreeMap<String, u64>; 2] {
    let output = Command::new(&python.command).args(["-c", COUNTER]).arg(path).args(arguments).output();
    let output = output.expect("it runs");
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
    for python in interpreters("calls_and_returns_are_exactly_those_that_setprofile_sees", &[9, 11, 15]) {
        let path = program("matrix.py");
        let file = path.to_str().expect("a plain path");
        let [mut calls, mut returns] = independent_counts(&python, &path, &PARTS);
        if python.image.ends_with("python3.9") {
            [calls, returns] = [calls, returns].map(|counts| qualified(counts, &path));
        }
        let arguments: Vec<&str> = [&[file], PARTS.as_slice()].concat();
        let recorded = record(&python, &arguments, &[MarkerGroup::Function]);
        assert_eq!((recorded.lost, &recorded.notices), (0, &vec![]), "{}", python.image.display());
        if python.image.ends_with("python3.15") {
            // 3.15 has no marker where an exception is thrown into a generator, which the counter
            // leaves out by itself, and none where a generator is closed that handles no
            // exceptions: one is in `chain`, which is closed half-way, and one is dropped.
            let count = format!("{file}:104:generators.<locals>.count");
            returns.entry(count).and_modify(|count| *count -= 2);
        }
        assert_eq!(recorded.counts(Marker::FunctionEntry, file), calls, "{}", python.image.display());
        assert_eq!(recorded.counts(Marker::FunctionReturn, file), returns, "{}", python.image.display());
        assert!(calls.len() > 80, "a counter that sees nothing proves nothing: {calls:?}");
    }
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
    let Some(python) = debian("addresses_that_are_used_again_are_new_codes") else { return };
    // Each round frees its code and strings before the next one makes its own, mostly at the same
    // addresses.
    let script = Script::new(
        "for i in range(2000):\n    exec(compile(f'def f{i:04}(): pass\\nf{i:04}()', f'<{i:04}>', 'exec'), {})\n",
    );
    let recorded = record(&python, &[&script.path()], &[MarkerGroup::Function]);
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
    let Some(python) = debian("names_of_any_alphabet_and_length") else { return };
    let long = "x".repeat(300);
    let names = ["plain", "naïve", "Имя", "名前", "𐐷𐐷", &long];
    let text: String = names.iter().map(|name| format!("def {name}(): pass\n{name}()\n")).collect();
    let script = Script::new(&text);
    let recorded = record(&python, &[&script.path()], &[MarkerGroup::Function]);
    let counts = recorded.counts(Marker::FunctionEntry, &script.path());
    for (index, name) in names.iter().enumerate() {
        let code = format!("{}:{}:{name}", script.path(), 2 * index + 1);
        assert_eq!(counts.get(&code), Some(&1), "{code} in {counts:?}");
    }
}

/// CPython 3.15 is the first that a name which cannot be told in UTF-8 does no harm to.
#[test]
fn names_that_the_marker_cannot_say() {
    let script = Script::new(
        "def run(file, name):\n    code = compile('def f(): pass\\nf()', file, 'exec')\n\
         \x20   made = code.co_consts[0].replace(co_name=name, co_qualname=name)\n\
         \x20   exec(code.replace(co_consts=(made, *code.co_consts[1:])))\n\
         run('<\\udcff>', 'f')\nrun('<\\udcff>', 'f')\nrun('<plain>', 'g\\udcff')\nprint('done')\n",
    );
    for python in interpreters("names_that_the_marker_cannot_say", &[15]) {
        let recorded = record(&python, &[&script.path()], &[MarkerGroup::Function]);
        assert_eq!(recorded.output, "done\n");
        assert_eq!(recorded.notices, Vec::<String>::new());
        for (file, code, count) in
            [("<\u{fffd}>", "<\u{fffd}>:1:f", 2), ("<plain>", "<plain>:1:g\u{fffd}", 1)]
        {
            let counts = recorded.counts(Marker::FunctionEntry, file);
            assert_eq!(counts.get(code), Some(&count), "{code} in {counts:?}");
        }
    }
}

#[test]
fn entry_return_and_line_rows_say_their_line() {
    let Some(python) = debian("entry_return_and_line_rows_say_their_line") else { return };
    let script = Script::new("def count(n):\n    for i in range(n):\n        yield i\n\nlist(count(2))\n");
    let recorded = record(&python, &[&script.path()], &[MarkerGroup::Function, MarkerGroup::Line]);
    let code = format!("{}:1:count", script.path());
    let steps: Vec<(Marker, i32)> = recorded
        .events
        .iter()
        .filter(|event| *recorded.names.code_str(event.code) == *code)
        .map(|event| (event.marker, event.line))
        .collect();
    use Marker::{FunctionEntry as E, FunctionReturn as R, Line as L};
    // By reading the program: the first call starts at line 1, each resume at the line of its
    // yield.
    let expected = [(E, 1), (L, 2), (L, 3), (R, 3), (E, 3), (L, 2), (L, 3), (R, 3), (E, 3), (L, 2), (R, 2)];
    assert_eq!(steps, expected);
}

#[test]
fn collections_and_imports_with_their_numbers_and_names() {
    let script = Script::new(
        "import gc\ngc.disable()\nclass Ring: pass\nfor _ in range(3):\n    r = Ring(); r.me = r\ndel r\n\
         print(gc.collect(1))\ntry:\n    import no_such_module\nexcept ImportError: pass\nimport this_one_is\n",
    );
    std::fs::write(script.folder.path().join("this_one_is.py"), "").expect("room for an empty file");
    let all = interpreters("collections_and_imports_with_their_numbers_and_names", &[9, 11, 13, 14, 15]);
    for python in all {
        let recorded = record(&python, &["-B", &script.path()], &[MarkerGroup::Gc, MarkerGroup::Import]);
        let values = |marker| recorded.of(marker).map(|event| event.value).collect::<Vec<_>>();
        let starts = values(Marker::GcStart);
        let collected = recorded.output.trim().parse().expect("the program prints what it collected");
        assert!(collected >= 3, "three rings");
        let only = starts.iter().position(|generation| *generation == Some(1));
        let only = only.unwrap_or_else(|| panic!("{}: {starts:?}", python.image.display()));
        assert_eq!(values(Marker::GcDone).get(only), Some(&Some(collected)));
        assert_eq!(starts.len(), values(Marker::GcDone).len());
        let imported = |marker, name: &str| -> Vec<Option<i64>> {
            let text =
                |event: &&Event| recorded.names.text_str(event.text).is_some_and(|text| *text == *name);
            recorded.of(marker).filter(text).map(|event| event.value).collect()
        };
        assert_eq!(imported(Marker::ImportStart, "this_one_is"), [None]);
        assert_eq!(imported(Marker::ImportDone, "this_one_is"), [Some(1)]);
        assert_eq!(imported(Marker::ImportDone, "no_such_module"), [Some(0)]);
    }
}

#[test]
fn audit_events_by_their_names() {
    let script = Script::new(
        "import sys\nfor number in range(3):\n    sys.audit('pyrec.test', number)\n\
         sys.audit('größe', [])\nprint(id(sys))\nopen(sys.argv[0]).close()\n",
    );
    for python in interpreters("audit_events_by_their_names", &[9, 11, 13, 14, 15]) {
        let recorded = record(&python, &["-S", &script.path()], &[MarkerGroup::Audit]);
        let texts: Vec<_> =
            recorded.of(Marker::Audit).map(|event| recorded.names.text_str(event.text)).collect();
        let last = texts.iter().rev().position(|text| text.as_deref() == Some("pyrec.test"));
        let last = texts.len() - last.unwrap_or_else(|| panic!("{}: {texts:?}", python.image.display()));
        let ours: Vec<&str> = texts[last - 3..].iter().flatten().map(|text| &**text).take(6).collect();
        let expected = ["pyrec.test", "pyrec.test", "pyrec.test", "größe", "builtins.id", "open"];
        assert_eq!(ours, expected, "{}", python.image.display());
        assert!(recorded.of(Marker::Audit).all(|event| event.value.is_none() && event.line == 0));
    }
}

#[test]
fn threads_and_the_process_have_rows() {
    let Some(python) = debian("threads_and_the_process_have_rows") else { return };
    let script = Script::new(
        "import threading, time\ndef work(): time.sleep(0.2)\n\
         threads = [threading.Thread(target=work) for _ in range(3)]\n\
         [t.start() for t in threads]\n[t.join() for t in threads]\n",
    );
    let recorded = record(&python, &[&script.path()], &[MarkerGroup::Function]);
    let process: Vec<&Event> = recorded.of(Marker::ProcessStart).collect();
    assert_eq!(process.len(), 1);
    let command = recorded.names.text_str(process[0].text).expect("it has a command line");
    assert!(command.starts_with("/usr/bin/python3.11 ") && command.ends_with("script.py"), "{command}");
    assert_eq!(process[0].value, Some(i64::from(std::process::id())));
    let names: Vec<_> =
        recorded.of(Marker::ThreadStart).map(|event| recorded.names.text_str(event.text)).collect();
    assert_eq!(names, vec![Some(Arc::from("python3.11")); 4]);
}
