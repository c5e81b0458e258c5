//! What the tests share: the command itself, interpreters, recordings, a virtual environment.
//!
//! A test that cannot run on this machine says `skipped: …` on standard error and passes.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses its part")]

pub mod browser;
pub mod calls;
pub mod disk;
pub mod markers;
pub mod npm;
pub mod numbered;
pub mod readers;
pub mod rows;
pub mod service;
pub mod venv;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// No command of any test runs longer, unless something hangs.
const LIMIT: Duration = Duration::from_secs(180);

/// Makes of each `fn NAME(&Subject)` a test for each Python that the agent enters.
macro_rules! on_every_agent {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                agent_3_8 agent("3.8"), agent_3_9 agent("3.9"), agent_3_10 agent("3.10"), agent_3_11 agent("3.11"),
                agent_3_12 agent("3.12"), agent_3_13 agent("3.13"), agent_3_14 agent("3.14"),
                agent_3_15 agent("3.15"));
        })+
    };
}
pub(crate) use on_every_agent;

/// The same, and one by the static markers.
macro_rules! on_every_python {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                agent_3_8 agent("3.8"), agent_3_9 agent("3.9"), agent_3_10 agent("3.10"), agent_3_11 agent("3.11"),
                agent_3_12 agent("3.12"), agent_3_13 agent("3.13"), agent_3_14 agent("3.14"),
                agent_3_15 agent("3.15"), usdt_3_11 usdt());
        })+
    };
}
pub(crate) use on_every_python;

/// The same with one Python for each way to record: by a profile function, by `sys.monitoring`, by the static markers.
macro_rules! in_every_way {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                agent_3_11 agent("3.11"), agent_3_13 agent("3.13"), usdt_3_11 usdt());
        })+
    };
}
pub(crate) use in_every_way;

/// The same with every Python that has static markers.
macro_rules! on_every_marked_python {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                usdt_3_9 marked("3.9"), usdt_3_11 marked("3.11"), usdt_3_13 marked("3.13"), usdt_3_14 marked("3.14"),
                usdt_3_15 marked("3.15"));
        })+
    };
}
pub(crate) use on_every_marked_python;

/// The same with those that have markers for functions.
macro_rules! on_every_function_marker {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                usdt_3_9 marked("3.9"), usdt_3_11 marked("3.11"), usdt_3_15 marked("3.15"));
        })+
    };
}
pub(crate) use on_every_function_marker;

macro_rules! tests_of {
    ($run:path: $($test:ident $subject:ident($($version:literal)?)),+) => {
        $(#[test]
        fn $test() {
            $crate::support::Subject::$subject($($version)?).iter().for_each($run);
        })+
    };
}
pub(crate) use tests_of;

/// Says that a test does not run here, and why. Not by `eprintln`, which the test harness keeps to itself.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// Whether the kernel leaves inherited events with the threads that they were made for, if asked. Says so if not.
pub fn keeps_events_apart() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel has a release");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let apart = (numbers.next(), numbers.next()) >= (Some(6), Some(12));
    if !apart {
        skipped("it needs Linux 6.12");
    }
    apart
}

/// Whether we are root. Says so if not.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        skipped("it needs root");
    }
    root
}

/// What the agent enters, the newest first.
const VERSIONS: [&str; 8] = ["3.15", "3.14", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8"];

/// An interpreter.
#[derive(Clone, Debug)]
pub struct Python {
    pub version: String,
    pub program: PathBuf,
}

impl Python {
    /// The interpreter of that version that `PATH` or pyenv has.
    pub fn find(version: &str) -> Option<Python> {
        let name = format!("python{version}");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates: Vec<PathBuf> =
            std::env::split_paths(&path).map(|folder| folder.join(&name)).collect();
        if let Some(home) = std::env::var_os("HOME") {
            let versions =
                std::fs::read_dir(Path::new(&home).join(".pyenv/versions")).into_iter().flatten().flatten();
            candidates.extend(versions.map(|version| version.path().join("bin").join(&name)));
        }
        // What is found may be a script of pyenv that finds nothing itself, so it is asked.
        candidates.into_iter().filter(|candidate| candidate.exists()).find_map(|candidate| {
            let asked =
                Command::new(candidate).args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
            let program = String::from_utf8(asked.stdout).ok()?;
            asked.status.success().then(|| Python { version: version.into(), program: program.trim().into() })
        })
    }

    /// The one that `scripts/pythons` has made: a command that runs it in a Debian of its own, with static markers.
    pub fn made(version: &str) -> Option<Python> {
        let program = made_pythons()?.join(format!("python{version}"));
        let python = Python { version: version.into(), program };
        let runs =
            |python: &Python| python.command().args(["-c", ""]).status().is_ok_and(|status| status.success());
        (python.program.exists() && runs(&python)).then_some(python)
    }

    /// Whether it is one of these. It has no packages, and its files are elsewhere when it does not run.
    pub fn is_made(&self) -> bool {
        made_pythons().is_some_and(|place| self.program.starts_with(place))
    }

    /// What it says to an expression.
    pub fn says(&self, expression: &str) -> String {
        let asked = run(self.command().args(["-c", &format!("import sys; print({expression})")]));
        String::from_utf8(asked.stdout).expect("it is UTF-8").trim_end().to_owned()
    }

    /// Those that are here, the newest first.
    pub fn all() -> impl Iterator<Item = Python> {
        VERSIONS.into_iter().filter_map(Python::find)
    }

    /// The newest that the agent can enter.
    pub fn any() -> Option<Python> {
        let found = Python::all().next();
        if found.is_none() {
            skipped("there is no Python that the agent can enter");
        }
        found
    }

    /// One that was built without static markers.
    pub fn without_markers() -> Option<Python> {
        let found = Python::all().find(|python| !python.has_markers());
        if found.is_none() {
            skipped("every Python here has static markers");
        }
        found
    }

    /// The one that Debian 12 installs, which has the static markers.
    pub fn with_markers() -> Option<Python> {
        let python = Python { version: "3.11".into(), program: "/usr/bin/python3.11".into() };
        let marked = python.has_markers();
        if !marked {
            skipped("there is no /usr/bin/python3.11 with static markers");
        }
        marked.then_some(python)
    }

    /// The groups of static markers that it has, as `--markers` takes them, and the markers themselves.
    pub fn markers(&self) -> (&'static str, Vec<&'static str>) {
        let mut markers =
            vec!["gc__start", "gc__done", "import__find__load__start", "import__find__load__done", "audit"];
        let groups = match self.version.as_str() {
            "3.9" | "3.11" => "function,line,gc,import,audit",
            "3.15" => "function,gc,import,audit",
            _ => "gc,import,audit",
        };
        if groups.contains("function") {
            markers.extend(["function__entry", "function__return"]);
        }
        if groups.contains("line") {
            markers.push("line");
        }
        (groups, markers)
    }

    fn has_markers(&self) -> bool {
        let bytes = std::fs::read(&self.program).unwrap_or_default();
        bytes.windows(15).any(|window| window == b"function__entry")
    }

    /// Runs it with the environment that recordings get too.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        calm(&mut command);
        command
    }
}

/// Where `scripts/pythons` puts what it makes.
fn made_pythons() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("pyrec/pythons"))
}

/// A provider with an interpreter that it records.
#[derive(Clone, Debug)]
pub struct Subject {
    pub provider: &'static str,
    pub python: Python,
}

impl Subject {
    pub fn agent(version: &str) -> Option<Subject> {
        let python = Python::find(version).or_else(|| Python::made(version));
        if python.is_none() {
            skipped(&format!("there is no Python {version}"));
        }
        python.map(|python| Subject { provider: "agent", python })
    }

    /// The agent on the newest Python that it can enter.
    pub fn any() -> Option<Subject> {
        Python::any().map(|python| Subject { provider: "agent", python })
    }

    pub fn usdt() -> Option<Subject> {
        let python = Python::with_markers()?;
        is_root().then_some(Subject { provider: "usdt", python })
    }

    /// The static markers of that version.
    pub fn marked(version: &str) -> Option<Subject> {
        if version == "3.11" {
            return Subject::usdt();
        }
        let python = Python::made(version);
        if python.is_none() {
            skipped(&format!("scripts/pythons has made no Python {version}"));
        }
        python.filter(|_| is_root()).map(|python| Subject { provider: "usdt", python })
    }

    /// Records `PYTHON ARGUMENTS…`, which must end well.
    pub fn record<S: AsRef<OsStr>>(&self, options: &[&str], arguments: &[S]) -> Recording {
        let mut words: Vec<OsString> = options.iter().map(OsString::from).collect();
        words.extend(["--provider", self.provider, "--"].map(OsString::from));
        words.push(self.python.program.clone().into());
        words.extend(arguments.iter().map(OsString::from));
        let recording = Recording::of(&words);
        assert!(recording.output.status.success(), "{words:?}: {}", recording.said());
        recording
    }
}

/// A finished `pyrec record` in a directory of its own.
pub struct Recording {
    pub directory: TempDir,
    pub output: Output,
}

impl Recording {
    /// Runs `pyrec record WORDS…`, whatever becomes of it.
    pub fn of<S: AsRef<OsStr>>(words: &[S]) -> Recording {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let output = run(pyrec("record").args(words).current_dir(directory.path()));
        Recording { directory, output }
    }

    pub fn trace(&self) -> PathBuf {
        self.directory.path().join("pyrec.parquet")
    }

    /// What the command wrote to standard error.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// A report of the recording, as text.
    pub fn report(&self, command: &str, options: &[&str]) -> String {
        report(&self.trace(), command, options)
    }

    /// `pyrec COMMAND --json` of the recording.
    pub fn json(&self, command: &str) -> Value {
        json(&self.trace(), command)
    }
}

/// What `pyrec COMMAND -i TRACE OPTIONS…` prints; it must end well.
pub fn report(trace: &Path, command: &str, options: &[&str]) -> String {
    let output = run(pyrec(command).arg("-i").arg(trace).args(options));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("reports are UTF-8")
}

/// What `pyrec COMMAND -i TRACE --json` prints.
pub fn json(trace: &Path, command: &str) -> Value {
    let text = report(trace, command, &["--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command} --json: {error}: {text}"))
}

/// The number under a key.
pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is not a number: {value}"))
}

/// The command, with a subcommand.
pub fn pyrec(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyrec"));
    command.arg(subcommand);
    calm(&mut command);
    command
}

/// Programs that run alike each time, and leave nothing beside their sources.
fn calm(command: &mut Command) {
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONHASHSEED", "0").stdin(Stdio::null());
}

/// Runs a command to its end, in a process group of its own that is killed when it hangs.
pub fn run(command: &mut Command) -> Output {
    let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let group = child.id();
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if end.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal(&format!("-{group}"), "KILL");
        }
    });
    let output = child.wait_with_output().expect("it can be waited for");
    drop(ended);
    watchdog.join().expect("the watchdog does not panic");
    assert_ne!(output.status.signal(), Some(9), "{command:?} hung, or was killed");
    output
}

/// A command that runs while the test does something else. With all that it started, it is gone when this is dropped.
pub struct Background(pub Child);

impl Background {
    pub fn start(command: &mut Command) -> Background {
        let child = command.process_group(0).spawn();
        Background(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        wait_for("a command's end", || self.0.try_wait().expect("it can be asked"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Nothing is there any more after a test that passed.
        let kill = format!("kill -s KILL -- -{} 2>/dev/null", self.0.id());
        let _ = Command::new("/bin/sh").args(["-c", &kill]).status();
        let _ = self.0.wait();
    }
}

/// The number in a file that `forever.py` writes; 0 if there is none yet.
pub fn calls_in(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.first_chunk().map_or(0, |number| u64::from_ne_bytes(*number))
}

/// Sends a signal to a process, or to a group if there is a minus sign.
pub fn signal(to: &str, name: &str) {
    let sent = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", name, to]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {name} {to}");
}

/// Waits until something is there, for as long as any test waits.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LIMIT.as_millis() / 10 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain for {what}");
}

/// A program of `testdata/programs`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/programs").join(name)
}
