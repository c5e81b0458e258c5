//! Whom the static markers record: processes that run, their children, the whole machine.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use support::{Background, Python, Subject, json, number, pyrec, report, run, signal, wait_for};
use tempfile::TempDir;

/// Calls `leaf` as often as it is told: itself, in a child by fork, in one by fork and exec.
const SERVICE: &str = "\
import os, subprocess, sys
def leaf(): pass
def burst(n):
    for _ in range(n): leaf()
def fork(n):
    pid = os.fork()
    if pid == 0:
        burst(n)
        os._exit(0)
    os.waitpid(pid, 0)
def spawn(n):
    subprocess.run([sys.executable, __file__, 'burst', str(n)], check=True)
def thread(n):
    import threading
    threads = [threading.Thread(target=act) for act in (lambda: fork(n), lambda: spawn(n))]
    for t in threads: t.start()
    for t in threads: t.join()
def act(words):
    globals()[words[0]](int(words[1]))
if len(sys.argv) > 1:
    act(sys.argv[1:])
    sys.exit()
print('ready', flush=True)
for line in sys.stdin:
    act(line.split())
    print('done', flush=True)
";

/// A running [`SERVICE`], with a directory for it and for recordings of it.
struct Service {
    process: Background,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    program: PathBuf,
    directory: TempDir,
}

impl Service {
    fn start(python: &Python) -> Service {
        Service::run(python.command(), &python.program)
    }

    /// By a command that the script's name is appended to, and the file with its markers.
    fn run(mut command: Command, program: &Path) -> Service {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = directory.path().join("service.py");
        std::fs::write(&script, SERVICE).expect("room for a small file");
        command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Background::start(&mut command);
        let input = process.0.stdin.take().expect("piped");
        let output = BufReader::new(process.0.stdout.take().expect("piped"));
        let mut service = Service { process, input, output, program: program.into(), directory };
        service.answers("ready");
        service
    }

    fn pid(&self) -> String {
        self.process.pid()
    }

    fn answers(&mut self, expected: &str) {
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("it answers");
        assert_eq!(answer.trim_end(), expected, "the program's output is its own");
    }

    fn does(&mut self, words: &str) {
        writeln!(self.input, "{words}").expect("it listens");
        self.answers("done");
    }

    /// The counters that are raised, by the names of their markers.
    fn raised(&self) -> Vec<String> {
        raised(&self.program, &self.pid())
    }
}

/// The counters that are raised in a process, as `readelf` finds them in its program.
fn raised(program: &Path, pid: &str) -> Vec<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("we may read it");
    let mut raised = Vec::new();
    for (name, address) in semaphores(program) {
        let mut bytes = [0; 2];
        // Debian's program is not position independent: its addresses are those of the file.
        memory.read_exact_at(&mut bytes, address).expect("it is mapped");
        if bytes != [0; 2] {
            raised.push(name);
        }
    }
    raised
}

fn semaphores(program: &Path) -> BTreeMap<String, u64> {
    let notes = run(Command::new("readelf").args(["-n", "--wide"]).arg(program));
    let text = String::from_utf8_lossy(&notes.stdout).into_owned();
    let mut found = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(told) = line.trim().strip_prefix("Name: ") {
            name = told;
        }
        if let Some((_, address)) = line.split_once("Semaphore: 0x") {
            found.insert(name.to_owned(), u64::from_str_radix(address, 16).expect("a number"));
        }
    }
    assert!(!found.is_empty(), "{text}");
    found
}

/// A recorder that has attached.
struct Recorder {
    process: Background,
    trace: PathBuf,
}

impl Recorder {
    fn attach(directory: &Path, options: &[&str]) -> Recorder {
        let trace = directory.join("pyrec.parquet");
        let _ = std::fs::remove_file(&trace);
        let mut command = pyrec("record");
        command
            .args(["-q", "--provider", "usdt", "--markers", "function", "-f", "-o"])
            .arg(&trace)
            .args(options);
        let mut process = Background::start(&mut command);
        // The file is there as soon as the markers are.
        wait_for("the recorder", || {
            assert!(process.0.try_wait().expect("it can be asked").is_none(), "it has ended: {options:?}");
            trace.exists().then_some(())
        });
        Recorder { process, trace }
    }

    /// Ends the recording while everything runs on.
    fn stop(mut self) -> PathBuf {
        signal(&self.process.pid(), "INT");
        assert!(self.process.end().success());
        self.trace
    }
}

/// How often `leaf` was called.
fn leaves(trace: &Path, options: &[&str]) -> u64 {
    let options = [&["--json"], options].concat();
    let stats: Value = serde_json::from_str(&report(trace, "stats", &options)).expect("it is JSON");
    let functions = stats["functions"].as_array().expect("a list").clone();
    functions.iter().filter(|function| function["name"] == "leaf").map(|leaf| number(leaf, "calls")).sum()
}

fn subject() -> Option<Python> {
    Subject::usdt().map(|subject| subject.python)
}

#[test]
fn children_of_a_launched_program_are_recorded_from_their_first_event() {
    let Some(python) = subject() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = directory.path().join("service.py");
    std::fs::write(&script, SERVICE).expect("room for a small file");
    let trace = directory.path().join("x.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt", "-o"]).arg(&trace).arg(&python.program);
    let output = run(command.arg(&script).args(["thread", "2000"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(leaves(&trace, &[]), 4000);
    let info = json(&trace, "info");
    // A child by fork, and one by fork and exec.
    assert_eq!((number(&info, "processes"), number(&info, "lost")), (3, 0), "{info}");
    // The start of an interpreter is in the trace, too: its first import is that of site, or what it needs.
    let whole = report(&trace, "dump", &[]);
    let modules = whole.lines().filter(|line| line.contains("<frozen\\simportlib._bootstrap>:1:<module>"));
    assert_eq!(modules.filter(|line| line.contains("function__entry")).count(), 2);
}

#[test]
fn a_process_is_recorded_with_its_children_and_no_stranger_is_touched() {
    let Some(python) = subject() else { return };
    let mut service = Service::start(&python);
    let mut stranger = Service::start(&python);
    service.does("thread 1");
    let recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    // Entries of 3.11 need the counter of `line`, too.
    assert_eq!(service.raised(), ["function__entry", "function__return", "line"]);
    assert_eq!(stranger.raised(), [""; 0]);
    for (words, at) in
        [("burst 1000", 1000), ("fork 200", 0), ("spawn 30", 0), ("thread 4", 0), ("burst 1", 1)]
    {
        stranger.does("burst 7777");
        service.does(words);
        assert!(at == 0 || !service.raised().is_empty());
    }
    let trace = recorder.stop();
    assert_eq!(leaves(&trace, &[]), 1239);
    assert_eq!(leaves(&trace, &["--pid", &service.pid()]), 1001);
    assert_eq!(service.raised(), [""; 0]);
    service.does("fork 5");
    service.does("burst 5");
}

#[test]
fn several_processes_are_in_one_trace() {
    let Some(python) = subject() else { return };
    let mut services = [(); 3].map(|()| Service::start(&python));
    let [one, two, three] = services.each_ref().map(Service::pid);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pids = format!("{one},{two}");
    let recorder = Recorder::attach(directory.path(), &["-p", &pids, "-p", &three]);
    for (service, calls) in services.iter_mut().zip([100, 2000, 30000]) {
        service.does(&format!("burst {calls}"));
    }
    let trace = recorder.stop();
    let calls = [one, two, three].map(|pid| leaves(&trace, &["--pid", &pid]));
    assert_eq!(calls, [100, 2000, 30000]);
    assert!(services.iter().all(|service| service.raised().is_empty()));
}

#[test]
fn a_recording_of_processes_ends_with_the_last_of_them() {
    let Some(python) = subject() else { return };
    let mut services = [(); 2].map(|()| Service::start(&python));
    let pids = services.each_ref().map(Service::pid).join(",");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = Recorder::attach(directory.path(), &["-p", &pids]);
    for service in &mut services {
        assert!(recorder.process.0.try_wait().expect("it can be asked").is_none());
        service.does("burst 10");
        signal(&service.pid(), "KILL");
        service.process.end();
    }
    assert!(recorder.process.end().success());
    assert_eq!(leaves(&recorder.trace, &[]), 20);
    assert_eq!(json(&recorder.trace, "info")["ended"]["how"], "gone");
}

#[test]
fn a_killed_recorder_leaves_the_program_as_it_was() {
    let Some(python) = subject() else { return };
    let mut service = Service::start(&python);
    let mut recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    service.does("fork 10");
    assert!(!service.raised().is_empty());
    signal(&recorder.process.pid(), "KILL");
    recorder.process.end();
    wait_for("the counters", || service.raised().is_empty().then_some(()));
    service.does("thread 10");
    // And the next recorder finds nothing in its way.
    let recorder = Recorder::attach(service.directory.path(), &["-p", &service.pid()]);
    service.does("thread 10");
    assert_eq!(leaves(&recorder.stop(), &[]), 20);
}

#[test]
fn all_are_recorded_with_those_that_start_later() {
    let Some(python) = subject() else { return };
    let mut early = Service::start(&python);
    let recorder = Recorder::attach(early.directory.path(), &["--all"]);
    early.does("burst 100");
    let mut late = Service::start(&python);
    late.does("burst 2000");
    let trace = recorder.stop();
    assert_eq!(leaves(&trace, &["--pid", &early.pid()]), 100);
    assert_eq!(leaves(&trace, &["--pid", &late.pid()]), 2000);
    assert_eq!((early.raised(), late.raised()), (vec![], vec![]));
}
