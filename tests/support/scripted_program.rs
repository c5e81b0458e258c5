//! A Python program that makes calls on command, and a recorder by static markers that attaches to
//! it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::static_markers::semaphore_addresses;
use super::{Background, Python, number, pyrec, report, signal, wait_for};

/// Calls `leaf` as often as a line of its input requests: in the process itself, in a forked child,
/// in a child by fork and exec, or in a child whose parent shell has ended.
pub const SCRIPT: &str = "\
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

/// [`SCRIPT`], running and ready, with a directory for the script and for recordings.
pub struct ScriptedProgram {
    pub process: Background,
    pub input: ChildStdin,
    pub output: BufReader<ChildStdout>,
    pub binary: PathBuf,
    pub directory: TempDir,
}

impl ScriptedProgram {
    pub fn start(python: &Python) -> ScriptedProgram {
        ScriptedProgram::run(python.command(), &python.program)
    }

    /// Starts a command, to which the path of the script is appended. `binary` is the file with its
    /// static markers.
    pub fn run(mut command: Command, binary: &Path) -> ScriptedProgram {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = directory.path().join("scripted.py");
        std::fs::write(&script, SCRIPT).expect("the write succeeds");
        command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Background::start(&mut command);
        let input = process.0.stdin.take().expect("standard input is piped");
        let output = BufReader::new(process.0.stdout.take().expect("standard output is piped"));
        let mut program = ScriptedProgram { process, input, output, binary: binary.into(), directory };
        program.expect_output("ready");
        program
    }

    pub fn pid(&self) -> String {
        self.process.pid()
    }

    /// Asserts that the next line of output is this one.
    pub fn expect_output(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the output is text");
        assert_eq!(line.trim_end(), expected, "only the program writes to its output");
    }

    /// Executes a line of commands, and waits until it is done.
    pub fn execute(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the write succeeds");
        self.expect_output("done");
    }

    /// The names of the markers whose semaphores are raised in the process.
    pub fn raised_semaphores(&self) -> Vec<String> {
        raised_semaphores(&self.binary, &self.pid())
    }
}

/// The names of the markers whose semaphores are raised in a process.
pub fn raised_semaphores(binary: &Path, pid: &str) -> Vec<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("the file is readable");
    let addresses = semaphore_addresses(binary);
    assert!(!addresses.is_empty(), "{} has no markers", binary.display());
    let mut raised = Vec::new();
    for (name, address) in addresses {
        let mut bytes = [0; 2];
        memory.read_exact_at(&mut bytes, address).expect("the semaphore is mapped");
        if bytes != [0; 2] {
            raised.push(name);
        }
    }
    raised
}

/// A recorder by static markers that has attached.
pub struct Recorder {
    pub process: Background,
    pub trace: PathBuf,
}

impl Recorder {
    /// Starts `pyrec record OPTIONS…`, and waits until the markers are enabled.
    pub fn attach(directory: &Path, options: &[&str]) -> Recorder {
        let trace = directory.join("pyrec.parquet");
        let _ = std::fs::remove_file(&trace);
        let mut command = pyrec("record");
        command
            .args(["-q", "--provider", "usdt", "--markers", "function", "-f", "-o"])
            .arg(&trace)
            .args(options);
        let mut process = Background::start(&mut command);
        // The trace is created after the markers are enabled.
        wait_for("the trace of a recorder", || {
            assert!(process.exit_status().is_none(), "the recorder ended: {options:?}");
            trace.exists().then_some(())
        });
        Recorder { process, trace }
    }

    /// Ends the recording while the program runs on.
    pub fn stop(mut self) -> PathBuf {
        signal(&self.process.pid(), "INT");
        assert!(self.process.wait().success());
        self.trace
    }
}

/// The number of recorded calls of `leaf`.
pub fn leaf_calls(trace: &Path, options: &[&str]) -> u64 {
    let options = [&["--json"], options].concat();
    let stats: Value = serde_json::from_str(&report(trace, "stats", &options)).expect("valid JSON");
    let functions = stats["functions"].as_array().expect("an array").iter();
    functions.filter(|function| function["name"] == "leaf").map(|leaf| number(leaf, "calls")).sum()
}
