//! Static markers, observed without code of pyrec: semaphores in the memory of a process, a program
//! that waits before its first call, and bpftrace.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{Background, Python, pyrec, run, signal, stdout, wait_for};

/// The semaphores of the markers, by the names of the markers. A marker fires while its semaphore
/// is above 0.
pub type Semaphores = BTreeMap<String, u16>;

/// Imports the program that its first argument names, waits for a line of input, and calls the
/// program's `main`.
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

/// A Python program that waits before it calls `main`.
pub struct Gated {
    pub process: Background,
    pub output: BufReader<ChildStdout>,
    input: Option<ChildStdin>,
}

impl Gated {
    /// Starts the interpreter, and waits until it has imported the program.
    pub fn start<S: AsRef<OsStr>>(python: &Python, program: &Path, arguments: &[S]) -> Gated {
        let mut command = python.command();
        command.args(["-c", GATE]).arg(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Background::start(&mut command);
        let input = process.0.stdin.take();
        let output = process.0.stdout.take().expect("standard output is piped");
        let mut gated = Gated { process, output: BufReader::new(output), input };
        assert_eq!(gated.read_line(), "ready");
        gated
    }

    pub fn pid(&self) -> String {
        self.process.pid()
    }

    /// Lets the program call `main`.
    pub fn go(&mut self) {
        self.input.take().expect("`go` is called once").write_all(b"go\n").expect("the write succeeds");
    }

    /// The next line of output.
    pub fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the output is text");
        line.trim_end().to_owned()
    }
}

/// The semaphores of a running Python. Empty before the process has executed Python's binary.
pub fn semaphores(pid: &str) -> Semaphores {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("the file is readable");
    let value = |address: u64| {
        let mut bytes = [0; 2];
        memory.read_exact_at(&mut bytes, address).expect("the semaphore is mapped");
        u16::from_ne_bytes(bytes)
    };
    let addresses = semaphore_addresses(format!("/proc/{pid}/exe").as_ref());
    addresses.into_iter().map(|(name, address)| (name, value(address))).collect()
}

/// The address of each marker's semaphore, by readelf. Debian's Pythons are not position
/// independent, so an address in the file is the address in memory.
pub fn semaphore_addresses(binary: &Path) -> BTreeMap<String, u64> {
    let text = stdout(&run(Command::new("readelf").args(["--notes", "--wide"]).arg(binary)));
    let after = |line: &str, key: &str| Some(line.split_once(key)?.1.split(',').next()?.trim().to_owned());
    let names = text.lines().filter_map(|line| after(line, " Name: "));
    let addresses = text.lines().filter_map(|line| {
        u64::from_str_radix(after(line, " Semaphore: ")?.trim_start_matches("0x"), 16).ok()
    });
    names.zip(addresses).collect()
}

/// A recorder by static markers that has attached to a process.
pub struct Attached {
    pub recorder: Background,
    pub trace: PathBuf,
    pub folder: TempDir,
}

/// Starts a recorder, and waits until the markers are enabled.
pub fn attach(pid: &str, groups: &str) -> Attached {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("pyrec.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt", "--markers", groups, "-p", pid]).current_dir(folder.path());
    let mut recorder = Background::start(&mut command);
    wait_for("the trace, which is created after the markers are enabled", || {
        assert_eq!(recorder.exit_status(), None, "the recorder ended");
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
    /// Starts bpftrace, and waits until it counts.
    pub fn attach(program: &Gated, markers: &[&str]) -> Counter {
        let pid = program.pid();
        let clauses = markers.iter().map(|marker| {
            // CPython 3.15 fires this marker for internal instructions, with a file of that name.
            // Pyrec leaves them out.
            let condition = if *marker == "function__return" { "&& str(arg0) != \"__init__\"" } else { "" };
            format!(
                "usdt:/proc/{pid}/exe:python:{marker} /pid == {pid} {condition}/ {{ @{marker} = count(); }}\n"
            )
        });
        // The interval probe prints only after all probes are attached.
        let source = clauses.collect::<String>() + "interval:ms:100 { printf(\"ready\"); }";
        let mut command = Command::new("bpftrace");
        command.args(["-f", "json", "-e", &source]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut bpftrace = Background::start(&mut command);
        let mut output = BufReader::new(bpftrace.0.stdout.take().expect("standard output is piped"));
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(output.read_line(&mut line).expect("the output is text") > 0, "bpftrace ended");
        }
        wait_for("raised semaphores", || {
            let semaphores = semaphores(&pid);
            markers.iter().all(|marker| semaphores[*marker] > 0).then_some(())
        });
        Counter { bpftrace, output }
    }

    /// Ends bpftrace, and returns its counts by marker.
    pub fn counts(self) -> BTreeMap<String, u64> {
        signal(&self.bpftrace.pid(), "INT");
        let lines = self.output.lines().map_while(Result::ok);
        let objects = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let maps = objects.filter(|object| object["type"] == "map");
        let counts = maps.flat_map(|map| map["data"].as_object().expect("an object").clone());
        counts.map(|(name, count)| (name.replace('@', ""), count.as_u64().expect("an integer"))).collect()
    }
}
