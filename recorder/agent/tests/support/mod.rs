//! A recorder for the agent's own tests: it knows the wire and nothing else.

#![allow(dead_code, reason = "each test file uses its part")]

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
            .expect("cargo runs");
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

/// The interpreters of these versions that are here; says aloud which are not.
pub fn pythons(versions: &[u32]) -> Vec<Python> {
    let found = versions.iter().flat_map(|minor| {
        let pythons = find_pythons(*minor);
        if pythons.is_empty() {
            // Past the test harness, which swallows what a passing test prints.
            let _ = writeln!(std::io::stderr(), "SKIPPED: there is no python3.{minor} on this machine");
        }
        pythons
    });
    found.collect()
}

/// One of pyenv's and the system's own, which differ in how they are built.
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
    // What is found by PATH is one of the two, or all that there is.
    pythons.truncate(2);
    if pythons.is_empty() {
        pythons.extend(made_python(&name).map(|path| Python { path, version: (3, minor) }));
    }
    pythons
}

/// The one that `scripts/pythons` has made: a command that runs it in a Debian of its own.
fn made_python(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let path = cache.join("pyrec/pythons").join(name);
    let runs =
        path.exists() && Command::new(&path).args(["-c", ""]).status().is_ok_and(|status| status.success());
    runs.then_some(path)
}

/// Where the test's Python programs are.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// How a recording goes.
#[derive(Clone)]
pub struct Options {
    pub groups: u32,
    pub on_full: OnFull,
    /// How long the reader sleeps between two looks at the rings, none: it never looks before the end.
    pub nap: Option<Duration>,
    /// Where the session lies.
    pub place: PathBuf,
}

impl Default for Options {
    fn default() -> Options {
        let groups = FUNCTION | GC | IMPORT;
        let nap = Some(Duration::from_millis(1));
        Options { groups, on_full: OnFull::Wait, nap, place: "/dev/shm".into() }
    }
}

/// Shared memory that is soon full.
pub struct SmallMemory(TempDir);

impl SmallMemory {
    /// None, and said so, where nothing can be mounted.
    pub fn mount(size: &str) -> Option<SmallMemory> {
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            let _ = writeln!(std::io::stderr(), "SKIPPED: nothing can be mounted here");
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
    pub fn start(options: Options) -> Recording {
        let directory = tempfile::tempdir_in(options.place).expect("there is shared memory");
        let clock = ClockSource::Monotonic as u32;
        let words = [VERSION, options.groups, clock, options.on_full as u32, 0, 0];
        let mut session: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        session.resize(PAGE_BYTES, 0);
        fs::write(directory.path().join("session"), session).expect("the session is written");
        let lock = File::create(directory.path().join("lock")).expect("the lock is made");
        lock.lock().expect("nobody else has the lock");

        let (rings, stop) = (Arc::<Mutex<BTreeMap<String, Ring>>>::default(), Arc::<AtomicBool>::default());
        let reader = options.nap.map(|nap| {
            let (path, rings, stop) = (directory.path().to_owned(), rings.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    drain(&path, &mut rings.lock().expect("nobody panics"));
                    thread::sleep(nap);
                }
            })
        });
        Recording { directory, lock: Some(lock), reader, rings, stop }
    }

    /// A command whose Pythons are recorded.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", library()).env(SESSION_VARIABLE, self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    /// Reads what is there.
    pub fn drain(&self) {
        drain(self.directory.path(), &mut self.rings.lock().expect("nobody panics"));
    }

    /// Says that the recording is over.
    pub fn close(&self) {
        let session = File::options().write(true).open(self.directory.path().join("session"));
        session
            .and_then(|session| session.write_all_at(&1u32.to_ne_bytes(), 16))
            .expect("the session is there");
    }

    /// Reads the rest.
    pub fn finish(mut self) -> Trace {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader lives");
        }
        let mut rings = std::mem::take(&mut *self.rings.lock().expect("nobody panics"));
        drain(self.directory.path(), &mut rings);
        let mut processes = Vec::new();
        for entry in fs::read_dir(self.directory.path()).expect("the session is there").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".defs") {
                let log = fs::read(entry.path()).expect("the log is there");
                let definitions = DefinitionReader::default().feed(&log).expect("the log is well-formed");
                let mine = |(ring, _): &(&String, &Ring)| ring.starts_with(&format!("{name}."));
                let rings = rings.iter().filter(mine).map(|(_, ring)| ring.clone()).collect();
                processes.push(Process { name: name.to_owned(), definitions, rings });
            }
        }
        processes.sort_by_key(Process::start_ticks);
        Trace { processes }
    }
}

/// What was read from one ring.
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
            let file = File::options().read(true).write(true).open(entry.path()).expect("a ring is ours");
            drain_ring(&file, rings.entry(name).or_default());
        }
    }
}

/// Layout as `RingHeader` has it; read and written by system calls, so that the test needs no shared memory.
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
        file.read_exact_at(&mut bytes, slot_offset(number, capacity) as u64).expect("the slots are there");
        let (records, _) = bytes.as_chunks();
        ring.records.extend(records.iter().map(Record::from_bytes));
        number += records.len() as u64;
    }
    file.write_all_at(&head.to_ne_bytes(), CONSUMED).expect("the ring is ours");
    ring.tid = (word(8) >> 32) as i32;
    ring.start_ticks = word(16);
    ring.end_ticks = word(PRODUCED + 8);
    ring.lost = word(PRODUCED + 16);
    ring.waited_ns = word(PRODUCED + 32);
}

/// One `PID-N`.
#[derive(Debug)]
pub struct Process {
    pub name: String,
    pub definitions: Vec<Definition>,
    pub rings: Vec<Ring>,
}

/// A code object, as an independent counter knows it.
pub type Code = (String, u32, String);

impl Process {
    pub fn pid(&self) -> i32 {
        self.name
            .split('-')
            .next()
            .and_then(|pid| pid.parse().ok())
            .expect("a log is named after its process")
    }

    fn start_ticks(&self) -> u64 {
        match self.definitions.first() {
            Some(Definition::Process { start_ticks, .. }) => *start_ticks,
            other => panic!("a log begins with its process, not {other:?}"),
        }
    }

    pub fn arguments(&self) -> Vec<String> {
        match self.definitions.first() {
            Some(Definition::Process { arguments, .. }) => arguments.clone(),
            other => panic!("a log begins with its process, not {other:?}"),
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

    /// How often each code object of that file was entered and left.
    pub fn counts(&self, file: &Path) -> Counts {
        let codes = self.codes();
        let mut counts = Counts::new();
        for record in self.records() {
            let column = match record.kind() {
                Some(RecordKind::Call | RecordKind::Resume | RecordKind::Throw) => 0,
                Some(RecordKind::Return | RecordKind::Yield | RecordKind::Unwind) => 1,
                _ => continue,
            };
            let code = codes.get(&record.id()).expect("every number is defined");
            if Path::new(&code.0) == file {
                counts.entry(code.clone()).or_default()[column] += 1;
            }
        }
        counts
    }
}

/// Entries and returns.
pub type Counts = BTreeMap<Code, [u64; 2]>;

/// Everything, the processes in the order of their start.
#[derive(Debug)]
pub struct Trace {
    pub processes: Vec<Process>,
}

impl Trace {
    /// The counts of all processes together.
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

/// The same run, counted by `sys.setprofile`.
pub fn counted_by_setprofile(python: &Python, program: &Path) -> Counts {
    let output = tempfile::tempdir().expect("there is a temporary directory");
    let run = Command::new(&python.path)
        .arg(self::program("counter.py"))
        .arg(output.path())
        .arg(program)
        .output()
        .expect("python runs");
    succeeded(&run);
    let mut counts = Counts::new();
    for entry in fs::read_dir(output.path()).expect("the directory is ours").flatten() {
        for line in fs::read_to_string(entry.path()).expect("the counter wrote it").lines() {
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

/// Runs the command, which is to succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    succeeded(&output);
    output
}

fn succeeded(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
}
