//! A minimal recorder for the agent's own tests. It depends only on `pyrec-wire`.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pyrec_wire::{
    ClockSource, Definition, DefinitionReader, OnFull, PAGE_BYTES, Record, RecordKind, SESSION_VARIABLE,
    VERSION, slot_offset,
};
use tempfile::TempDir;

pub const FUNCTION: u32 = 1 << 0;
pub const LINE: u32 = 1 << 1;
pub const GC: u32 = 1 << 2;
pub const IMPORT: u32 = 1 << 3;
pub const AUDIT: u32 = 1 << 4;
pub const CFUNCTION: u32 = 1 << 5;

/// The library, built as the recorder builds it.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "--profile", "agent", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the agent does not build");
        target.join("agent/libpyrec_agent.so")
    })
}

/// An interpreter.
#[derive(Clone, Debug)]
pub struct Python {
    pub path: PathBuf,
    pub version: (u32, u32),
}

/// Reports that the current test, or a part of it, cannot run on this machine, and why.
///
/// # Panics
///
/// If the environment variable `PYREC_REQUIRE` is `all`, as in CI, where every test has to run.
pub fn skip(reason: &str) {
    if std::env::var_os("PYREC_REQUIRE").is_some_and(|required| required == "all") {
        panic!("PYREC_REQUIRE=all: {reason}");
    }
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // The test harness captures what `eprintln` prints.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// The installed interpreters of these versions. Skips those that are not installed.
pub fn pythons(versions: &[u32]) -> Vec<Python> {
    let found = versions.iter().flat_map(|minor| {
        let pythons = find_pythons(*minor);
        if pythons.is_empty() {
            skip(&format!("no python3.{minor}"));
        }
        pythons
    });
    found.collect()
}

/// An interpreter of pyenv and the system's own, which are built with different options.
fn find_pythons(minor: u32) -> Vec<Python> {
    let name = format!("python3.{minor}");
    let pyenv = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
    let versions = pyenv.and_then(|versions| fs::read_dir(versions).ok()).into_iter().flatten().flatten();
    let mut candidates: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(&name)).collect();
    candidates.retain(|path| path.exists());
    candidates.truncate(1);
    candidates.push(Path::new("/usr/bin").join(&name));
    candidates.push(name.clone().into());
    let mut pythons: Vec<Python> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let script = "import sys; print(sys.executable, sys.version_info[1])";
            let output = Command::new(candidate).args(["-I", "-c", script]).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            let (path, found) = text.trim().rsplit_once(' ')?;
            (found == minor.to_string()).then(|| Python { path: path.into(), version: (3, minor) })
        })
        .collect();
    pythons.dedup_by(|a, b| a.path == b.path);
    // The one found by PATH is one of these two, or the only one.
    pythons.truncate(2);
    if pythons.is_empty() {
        pythons.extend(debian_python(&name).map(|path| Python { path, version: (3, minor) }));
    }
    pythons
}

/// The one that `scripts/pythons` has created: a command that runs it in a Debian root directory.
fn debian_python(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let path = cache.join("pyrec/pythons").join(name);
    let runs =
        path.exists() && Command::new(&path).args(["-c", ""]).status().is_ok_and(|status| status.success());
    runs.then_some(path)
}

/// The path of a Python program of the tests.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// The settings of a recording.
#[derive(Clone)]
pub struct RecordingOptions {
    pub groups: u32,
    pub on_full: OnFull,
    /// The interval at which the rings are read; `None` reads them only at the end.
    pub poll_interval: Option<Duration>,
    /// The directory in which the session directory is created.
    pub session_parent: PathBuf,
}

impl Default for RecordingOptions {
    fn default() -> RecordingOptions {
        let groups = FUNCTION | GC | IMPORT;
        let poll_interval = Some(Duration::from_millis(1));
        RecordingOptions { groups, on_full: OnFull::Wait, poll_interval, session_parent: "/dev/shm".into() }
    }
}

/// A tmpfs of limited size.
pub struct SmallMemory(TempDir);

impl SmallMemory {
    /// Mounts it. Returns `None`, and reports that, if the test may not mount file systems.
    pub fn mount(size: &str) -> Option<SmallMemory> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            skip("no permission to mount a tmpfs");
        }
        mounted.then_some(SmallMemory(directory))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// A session directory, and a thread that reads from it.
pub struct Recording {
    directory: TempDir,
    pub lock: Option<File>,
    reader: Option<JoinHandle<()>>,
    rings: Arc<Mutex<BTreeMap<String, Ring>>>,
    stop: Arc<AtomicBool>,
}

impl Recording {
    pub fn start(options: RecordingOptions) -> Recording {
        let directory = tempfile::tempdir_in(options.session_parent).expect("the session directory");
        let clock = ClockSource::Monotonic as u32;
        let words = [VERSION, options.groups, clock, options.on_full as u32, 0, 0];
        let mut session: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        session.resize(PAGE_BYTES, 0);
        fs::write(directory.path().join("session"), session).expect("the file is written");
        let lock = File::create(directory.path().join("lock")).expect("the file is created");
        lock.lock().expect("the file is locked");

        let (rings, stop) = (Arc::<Mutex<BTreeMap<String, Ring>>>::default(), Arc::<AtomicBool>::default());
        let reader = options.poll_interval.map(|poll_interval| {
            let (path, rings, stop) = (directory.path().to_owned(), rings.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    drain(&path, &mut rings.lock().expect("the mutex is not poisoned"));
                    thread::sleep(poll_interval);
                }
            })
        });
        Recording { directory, lock: Some(lock), reader, rings, stop }
    }

    /// A command that runs with the agent.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", library()).env(SESSION_VARIABLE, self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    /// Reads the rings.
    pub fn drain(&self) {
        drain(self.directory.path(), &mut self.rings.lock().expect("the mutex is not poisoned"));
    }

    /// Marks the session as closed.
    pub fn close(&self) {
        let session = File::options().write(true).open(self.directory.path().join("session"));
        session
            .and_then(|session| session.write_all_at(&1u32.to_ne_bytes(), 16))
            .expect("the file is written");
    }

    /// Reads the rings for the last time, and the definitions.
    pub fn finish(mut self) -> Trace {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        let mut rings = std::mem::take(&mut *self.rings.lock().expect("the mutex is not poisoned"));
        drain(self.directory.path(), &mut rings);
        let mut processes = Vec::new();
        for entry in fs::read_dir(self.directory.path()).expect("the session directory is read").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".defs") {
                let log = fs::read(entry.path()).expect("the log is read");
                let definitions = DefinitionReader::default().feed(&log).expect("the log is well-formed");
                let is_of_process = |(ring, _): &(&String, &Ring)| ring.starts_with(&format!("{name}."));
                let rings = rings.iter().filter(is_of_process).map(|(_, ring)| ring.clone()).collect();
                processes.push(Process { name: name.to_owned(), definitions, rings });
            }
        }
        processes.sort_by_key(Process::start_ticks);
        Trace { processes }
    }
}

/// The contents of a ring.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    pub tid: i32,
    pub start_ticks: u64,
    pub end_ticks: u64,
    pub lost: u64,
    pub waited_ns: u64,
    pub records: Vec<Record>,
}

fn drain(directory: &Path, rings: &mut BTreeMap<String, Ring>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".ring") {
            let file = File::options().read(true).write(true).open(entry.path()).expect("the ring is opened");
            drain_ring(&file, rings.entry(name).or_default());
        }
    }
}

/// Reads the ring's new records and releases their slots. The offsets are those of `RingHeader`;
/// the file is accessed by system calls, so that the test needs no unsafe code.
fn drain_ring(file: &File, ring: &mut Ring) {
    const PRODUCED: u64 = 64;
    const CONSUMED: u64 = 128;
    let word = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).map(|()| u64::from_ne_bytes(bytes)).unwrap_or(0)
    };
    let [version, capacity] = [word(0) as u32, (word(0) >> 32) as u32];
    if version != VERSION {
        return;
    }
    let head = word(PRODUCED);
    let mut number = ring.records.len() as u64;
    while number < head {
        let until_end = u64::from(capacity) - number % u64::from(capacity);
        let mut bytes = vec![0; (head - number).min(until_end) as usize * Record::SIZE];
        file.read_exact_at(&mut bytes, slot_offset(number, capacity) as u64).expect("the slots are read");
        let (records, _) = bytes.as_chunks();
        ring.records.extend(records.iter().map(Record::from_bytes));
        number += records.len() as u64;
    }
    file.write_all_at(&head.to_ne_bytes(), CONSUMED).expect("the tail is written");
    ring.tid = (word(8) >> 32) as i32;
    ring.start_ticks = word(16);
    ring.end_ticks = word(PRODUCED + 8);
    ring.lost = word(PRODUCED + 16);
    ring.waited_ns = word(PRODUCED + 32);
}

/// A process: the files whose names begin with `PID-N`.
#[derive(Debug)]
pub struct Process {
    pub name: String,
    pub definitions: Vec<Definition>,
    pub rings: Vec<Ring>,
}

/// File, first line and name: what identifies a code object for the independent counter.
pub type Code = (String, u32, String);

impl Process {
    pub fn pid(&self) -> i32 {
        self.name
            .split('-')
            .next()
            .and_then(|pid| pid.parse().ok())
            .expect("the log is named after its process")
    }

    fn start_ticks(&self) -> u64 {
        match self.definitions.first() {
            Some(Definition::Process { start_ticks, .. }) => *start_ticks,
            other => panic!("the first definition is not a process: {other:?}"),
        }
    }

    pub fn arguments(&self) -> Vec<String> {
        match self.definitions.first() {
            Some(Definition::Process { arguments, .. }) => arguments.clone(),
            other => panic!("the first definition is not a process: {other:?}"),
        }
    }

    pub fn notices(&self) -> Vec<&str> {
        let notices = self.definitions.iter().filter_map(|definition| match definition {
            Definition::Notice { text } => Some(text.as_str()),
            _ => None,
        });
        notices.collect()
    }

    pub fn thread_name(&self, tid: i32) -> Option<&str> {
        self.definitions.iter().find_map(|definition| match definition {
            Definition::Thread { tid: of, name } if *of == tid => Some(name.as_str()),
            _ => None,
        })
    }

    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.rings.iter().flat_map(|ring| ring.records.iter().copied())
    }

    pub fn codes(&self) -> BTreeMap<u32, Code> {
        let codes = self.definitions.iter().filter_map(|definition| match definition {
            Definition::Code { id, first_line, file, qualname, .. } => {
                let name = qualname.rsplit('.').next().unwrap_or(qualname);
                Some((*id, (file.clone(), *first_line, name.to_owned())))
            }
            _ => None,
        });
        codes.collect()
    }

    pub fn texts(&self) -> BTreeMap<u32, String> {
        let texts = self.definitions.iter().filter_map(|definition| match definition {
            Definition::Text { id, text } => Some((*id, text.clone())),
            _ => None,
        });
        texts.collect()
    }

    /// The number of entries and exits of each code object of the file.
    pub fn counts(&self, file: &Path) -> Counts {
        let codes = self.codes();
        let mut counts = Counts::new();
        for record in self.records() {
            let column = match record.kind() {
                Some(RecordKind::Call | RecordKind::Resume | RecordKind::Throw) => 0,
                Some(RecordKind::Return | RecordKind::Yield | RecordKind::Unwind) => 1,
                _ => continue,
            };
            let code = codes.get(&record.id()).expect("every id is defined");
            if Path::new(&code.0) == file {
                counts.entry(code.clone()).or_default()[column] += 1;
            }
        }
        counts
    }
}

/// Entries and exits by code object.
pub type Counts = BTreeMap<Code, [u64; 2]>;

/// A recording: its processes in the order of their start.
#[derive(Debug)]
pub struct Trace {
    pub processes: Vec<Process>,
}

impl Trace {
    /// The counts of all processes, summed.
    pub fn counts(&self, file: &Path) -> Counts {
        let mut all = Counts::new();
        for (code, [entries, returns]) in self.processes.iter().flat_map(|process| process.counts(file)) {
            let counts = all.entry(code).or_default();
            counts[0] += entries;
            counts[1] += returns;
        }
        all
    }

    pub fn notices(&self) -> Vec<&str> {
        self.processes.iter().flat_map(Process::notices).collect()
    }
}

/// Runs the program without the agent and counts entries and exits by `sys.setprofile`.
pub fn counted_by_setprofile(python: &Python, program: &Path) -> Counts {
    let output = tempfile::tempdir().expect("a temporary directory");
    let run = Command::new(&python.path)
        .arg(self::program("counter.py"))
        .arg(output.path())
        .arg(program)
        .output()
        .expect("Python starts");
    succeeded(&run);
    let mut counts = Counts::new();
    for entry in fs::read_dir(output.path()).expect("the directory is read").flatten() {
        for line in fs::read_to_string(entry.path()).expect("the counts are read").lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [line, name, entries, returns] = fields[..] else { panic!("the counter wrote {line:?}") };
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let code = (program.display().to_string(), number(line) as u32, name.to_owned());
            let sum = counts.entry(code).or_default();
            sum[0] += number(entries);
            sum[1] += number(returns);
        }
    }
    counts
}

/// Runs the command and checks that it succeeds.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the command starts");
    succeeded(&output);
    output
}

fn succeeded(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
}
