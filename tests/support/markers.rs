//! Static markers from outside, by none of our own code: their semaphores in a running process, a program that waits
//! until they are attached to, and bpftrace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{Background, Python, pyrec, run, signal, wait_for};

/// The counters that switch the markers on, by the markers' names.
pub type Semaphores = BTreeMap<String, u16>;

/// Imports the program that its first argument names, and runs its `main` with the others when there is a line to read.
pub const GATE: &str = "\
import importlib, os, sys
sys.argv[:] = sys.argv[1:]
folder, file = os.path.split(sys.argv[0])
sys.path.insert(0, folder)
program = importlib.import_module(file[:-3])
print('ready', flush=True)
os.read(0, 1)
program.main()
";

/// A Python program that waits for a word before it begins.
pub struct Gated {
    pub process: Background,
    pub output: BufReader<ChildStdout>,
    input: Option<ChildStdin>,
}

impl Gated {
    /// Starts the interpreter, and returns when all that comes next is the program.
    pub fn start<S: AsRef<std::ffi::OsStr>>(python: &Python, program: &Path, arguments: &[S]) -> Gated {
        let mut command = python.command();
        command.args(["-c", GATE]).arg(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Background::start(&mut command);
        let input = process.0.stdin.take();
        let output = process.0.stdout.take().expect("it is piped");
        let mut gated = Gated { process, output: BufReader::new(output), input };
        assert_eq!(gated.line(), "ready");
        gated
    }

    pub fn pid(&self) -> String {
        self.process.pid()
    }

    /// Gives the word.
    pub fn go(&mut self) {
        self.input.take().expect("it has not begun").write_all(b"go\n").expect("it reads");
    }

    /// A line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints text");
        line.trim_end().to_owned()
    }
}

/// The semaphores of a running Python; none while it is still another program.
pub fn semaphores(pid: &str) -> Semaphores {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("its memory may be read");
    let value = |address: u64| {
        let mut bytes = [0; 2];
        memory.read_exact_at(&mut bytes, address).expect("the semaphore is there");
        u16::from_ne_bytes(bytes)
    };
    addresses(&format!("/proc/{pid}/exe")).into_iter().map(|(name, at)| (name, value(at))).collect()
}

/// Where each marker's semaphore is: Debian's Pythons are not position independent, so it is there in memory, too.
fn addresses(binary: &str) -> BTreeMap<String, u64> {
    let output = run(Command::new("readelf").args(["--notes", "--wide", binary]));
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |line: &str, key: &str| Some(line.split_once(key)?.1.split(',').next()?.trim().to_owned());
    let names = text.lines().filter_map(|line| after(line, " Name: "));
    let semaphores = text.lines().filter_map(|line| {
        u64::from_str_radix(after(line, " Semaphore: ")?.trim_start_matches("0x"), 16).ok()
    });
    names.zip(semaphores).collect()
}

/// A recorder that reads the static markers of a process.
pub struct Attached {
    pub recorder: Background,
    pub trace: PathBuf,
    pub folder: TempDir,
}

/// Starts it, and returns when all is attached.
pub fn attach(pid: &str, groups: &str) -> Attached {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("pyrec.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt", "--markers", groups, "-p", pid]).current_dir(folder.path());
    let mut recorder = Background::start(&mut command);
    wait_for("a trace, which is begun when all is attached", || {
        assert_eq!(recorder.0.try_wait().expect("it can be asked"), None, "it ended");
        trace.exists().then_some(())
    });
    Attached { recorder, trace, folder }
}

/// bpftrace, counting the hits of markers in one process.
pub struct Counter {
    bpftrace: Background,
    output: BufReader<ChildStdout>,
}

impl Counter {
    /// Starts it, and returns when it counts: what it prints by the clock it prints when all is attached.
    pub fn attach(program: &Gated, markers: &[&str]) -> Counter {
        let pid = program.pid();
        let clauses = markers.iter().map(|marker| {
            // 3.15 fires this for instructions of CPython's own, of a file of that name; pyrec leaves them out.
            let ours = if *marker == "function__return" { "&& str(arg0) != \"__init__\"" } else { "" };
            format!("usdt:/proc/{pid}/exe:python:{marker} /pid == {pid} {ours}/ {{ @{marker} = count(); }}\n")
        });
        let source = clauses.collect::<String>() + "interval:ms:100 { printf(\"ready\"); }";
        let mut command = Command::new("bpftrace");
        command.args(["-f", "json", "-e", &source]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut bpftrace = Background::start(&mut command);
        let mut output = BufReader::new(bpftrace.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(output.read_line(&mut line).expect("it prints text") > 0, "bpftrace ended");
        }
        wait_for("the markers to be on", || {
            let semaphores = semaphores(&pid);
            markers.iter().all(|marker| semaphores[*marker] > 0).then_some(())
        });
        Counter { bpftrace, output }
    }

    /// Ends it, and returns what it has counted.
    pub fn counts(self) -> BTreeMap<String, u64> {
        signal(&self.bpftrace.pid(), "INT");
        let lines = self.output.lines().map_while(Result::ok);
        let objects = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let maps = objects.filter(|object| object["type"] == "map");
        let counts = maps.flat_map(|map| map["data"].as_object().expect("a map has data").clone());
        counts.map(|(name, count)| (name.replace('@', ""), count.as_u64().expect("a count"))).collect()
    }
}
