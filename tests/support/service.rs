//! A program that does what it is told, and a recorder that attaches to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{Background, Python, number, pyrec, report, run, signal, wait_for};

/// Calls `leaf` as often as it is told: itself, in a child by fork, in one by fork and exec, in one that a shell leaves
/// behind.
pub const SERVICE: &str = "\
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
def orphan(n):
    end, child_end = os.pipe()
    shell = ['/bin/sh', '-c', '\"$0\" \"$@\" &', sys.executable, __file__, 'burst', str(n)]
    subprocess.run(shell, check=True, pass_fds=[child_end])
    os.close(child_end)
    os.read(end, 1)
    os.close(end)
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
pub struct Service {
    pub process: Background,
    pub input: ChildStdin,
    pub output: BufReader<ChildStdout>,
    pub program: PathBuf,
    pub directory: TempDir,
}

impl Service {
    pub fn start(python: &Python) -> Service {
        Service::run(python.command(), &python.program)
    }

    /// By a command that the script's name is appended to, and the file with its markers.
    pub fn run(mut command: Command, program: &Path) -> Service {
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

    pub fn pid(&self) -> String {
        self.process.pid()
    }

    pub fn answers(&mut self, expected: &str) {
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("it answers");
        assert_eq!(answer.trim_end(), expected, "the program's output is its own");
    }

    pub fn does(&mut self, words: &str) {
        writeln!(self.input, "{words}").expect("it listens");
        self.answers("done");
    }

    /// The counters that are raised, by the names of their markers.
    pub fn raised(&self) -> Vec<String> {
        raised(&self.program, &self.pid())
    }
}

/// The counters that are raised in a process, as `readelf` finds them in its program.
pub fn raised(program: &Path, pid: &str) -> Vec<String> {
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

pub fn semaphores(program: &Path) -> BTreeMap<String, u64> {
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
pub struct Recorder {
    pub process: Background,
    pub trace: PathBuf,
}

impl Recorder {
    pub fn attach(directory: &Path, options: &[&str]) -> Recorder {
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
    pub fn stop(mut self) -> PathBuf {
        signal(&self.process.pid(), "INT");
        assert!(self.process.end().success());
        self.trace
    }
}

/// How often `leaf` was called.
pub fn leaves(trace: &Path, options: &[&str]) -> u64 {
    let options = [&["--json"], options].concat();
    let stats: Value = serde_json::from_str(&report(trace, "stats", &options)).expect("it is JSON");
    let functions = stats["functions"].as_array().expect("a list").clone();
    functions.iter().filter(|function| function["name"] == "leaf").map(|leaf| number(leaf, "calls")).sum()
}
