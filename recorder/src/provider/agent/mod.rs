//! The agent provider: the programs' own hooks, met in the session directory.
//!
//! ```text
//! PID-N.defs ──▶ Process: codes, texts ─┐
//! PID-N.K.ring ─▶ Thread ── records ────┴─▶ rows ─▶ … ─▶ journal or trace
//!            ◀────────── slots, when a killed recorder would not take their rows along ──────────┘
//! ```

mod attach_session;
mod definitions;
mod line_table;
mod orphaned_session;
mod process;
mod retired_files;
mod thread;
mod tick_clock;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;

use rustc_hash::FxHashSet;

use self::attach_session::{AttachSession, PAUSE};
pub(crate) use self::orphaned_session::drain_orphaned;
use self::process::Process;
use self::retired_files::RetiredFiles;
use self::thread::{Texts, Thread};
use self::tick_clock::Clock;
use super::Provider;
use crate::os::process_root::ProcessRoot;
use crate::os::user::User;
use crate::output::row_writer::RowWriter;
use crate::session::{Session, is_definitions, is_ring};
use crate::target::attach::{self, RemoteDebug};
use crate::{Capture, Error, Result};

/// Drains every process that the agent has entered.
pub(crate) struct Agent {
    session: Session,
    generation: Option<u32>,
    clock: Clock,
    processes: Vec<Process>,
    /// Files of the session directory that are open, or were.
    known: FxHashSet<OsString>,
    /// Files of those that are gone.
    attic: RetiredFiles,
    /// The process whose end is somebody else's to report.
    launched: i32,
    texts: Option<Texts>,
    buffer: Vec<u8>,
    /// Where the process was there before us.
    visit: Option<AttachSession>,
}

impl Agent {
    /// Makes a session for programs of this user.
    pub fn new(capture: &Capture, user: Option<&User>) -> Result<Agent> {
        Agent::with_root(capture, user, ProcessRoot::own())
    }

    /// Enters a process that runs already. `is_given_up` is asked now and then while it comes to no safe point.
    pub fn attach(pid: i32, capture: &Capture, is_given_up: &mut dyn FnMut() -> bool) -> Result<Agent> {
        let root = ProcessRoot::of(pid).map_err(|source| attach::Error::of(pid, source))?;
        attach::refuse_container(pid)?;
        attach::refuse_recorded(pid, &root)?;
        // Before anything is written for it.
        RemoteDebug::open(pid, &root)?;
        let user = User::of_process(pid);
        let mut agent = Agent::with_root(capture, user.as_ref(), root)?;
        agent.visit = Some(AttachSession::begin(pid, &agent.session, is_given_up)?);
        Ok(agent)
    }

    fn with_root(capture: &Capture, user: Option<&User>, root: ProcessRoot) -> Result<Agent> {
        let source = tick_clock::best_source();
        Ok(Agent {
            session: Session::create(capture, source, user, root)?,
            generation: None,
            clock: Clock::new(source),
            processes: Vec::new(),
            known: FxHashSet::default(),
            attic: RetiredFiles::default(),
            launched: 0,
            texts: None,
            buffer: Vec::new(),
            visit: None,
        })
    }

    /// What the program's environment must say for the agent to be loaded: a library that is preloaded already stays.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        let mut preload = self.session.library().as_os_str().to_owned();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preload.push(":");
            preload.push(others);
        }
        [("LD_PRELOAD", preload), (pyrec_wire::SESSION_VARIABLE, self.session.path().into())]
    }

    /// Says which process the recorder launched and waits for itself.
    pub fn launched(&mut self, pid: i32) {
        self.launched = pid;
    }

    /// The directory in which the programs and we meet.
    pub fn session(&self) -> &Path {
        self.session.path()
    }

    /// Reads both clocks.
    fn read_clocks(&mut self) {
        self.clock.anchor();
        self.session.note_clocks(self.clock.reading());
    }

    /// The name of the clock in the manifest.
    pub fn clock_name(&self) -> &'static str {
        self.clock.name()
    }

    /// Opens what agents have made since the last look.
    fn discover(&mut self, rows: &mut RowWriter) -> Result<()> {
        let generation = self.session.generation();
        if self.generation == Some(generation) {
            return Ok(());
        }
        let mut names = self.new_files()?;
        // What they say of their beginning then lies before an anchor, as all that follows will.
        self.read_clocks();
        // Definitions before the rings that need them, and processes in the order of their making.
        names.sort_by_key(|name| (!is_definitions(name), name.clone()));
        let mut all_ready = true;
        for name in names {
            let path = self.session.path().join(&name);
            let opened = if is_definitions(&name) {
                let process = Process::open(path)?;
                self.processes
                    .iter_mut()
                    .filter(|older| older.pid() == process.pid())
                    .for_each(Process::replace);
                self.processes.push(process);
                true
            } else {
                self.open_ring(path, rows)?
            };
            if opened {
                self.known.insert(name);
            }
            all_ready &= opened;
        }
        // A ring that is being made is looked for again.
        self.generation = all_ready.then_some(generation);
        Ok(())
    }

    /// Gives back what nobody needs any more should we be killed.
    fn give_back(&mut self, rows: &mut RowWriter) -> Result<()> {
        let safe = rows.committed_batches();
        self.processes.iter_mut().for_each(|process| process.release(safe));
        for name in self.attic.clear(rows) {
            self.known.remove(std::ffi::OsStr::new(&*name));
        }
        let is_crowded = self.attic.is_crowded() || self.processes.iter().any(Process::is_crowded);
        if is_crowded { rows.request_commit() } else { Ok(()) }
    }

    fn new_files(&self) -> Result<Vec<OsString>> {
        let failed = |source| Error::SessionFile { path: self.session.path().to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(self.session.path()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let ours = is_definitions(&name) || is_ring(&name);
            if ours && !self.known.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open_ring(&mut self, path: PathBuf, rows: &mut RowWriter) -> Result<bool> {
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
        let Some(process) = self.processes.iter_mut().find(|process| Some(process.stem()) == stem) else {
            return Ok(false);
        };
        let Some(thread) = Thread::open(path)? else { return Ok(false) };
        process.define(rows, &self.clock)?;
        process.add(thread, rows, &self.clock)?;
        Ok(true)
    }
}

const STAYS: &str = "The process ran no Python code when the recording ended; \
                     the agent takes its hooks away when it does.";

impl Drop for Agent {
    /// Where the recording failed, the program must not pay for it.
    fn drop(&mut self) {
        if let Some(mut visit) = self.visit.take() {
            self.session.close();
            let pids: Vec<i32> = self.processes.iter().map(Process::pid).collect();
            visit.ask(&pids, &self.session);
            while !visit.is_over(&self.session) {
                sleep(PAUSE);
            }
            visit.end(&self.session);
        }
    }
}

impl Provider for Agent {
    fn drain(&mut self, rows: &mut RowWriter) -> Result<u64> {
        let _credentials = self.session.switch_credentials()?;
        self.discover(rows)?;
        // Whether a process has ended is asked first: what it wrote before that is then seen below.
        let ended: Vec<bool> = self.processes.iter().map(Process::has_ended).collect();
        // The heads first, the definitions after them: then every number up to the heads is known.
        self.processes.iter_mut().for_each(Process::look);
        self.read_clocks();
        let texts = *self.texts.get_or_insert_with(|| Texts::new(rows.names()));
        let mut events = 0;
        for process in &mut self.processes {
            process.define(rows, &self.clock)?;
            events += process.drain(rows, &self.clock, &texts, &mut self.buffer, &mut self.attic)?;
        }
        rows.count_events(events);
        let mut index = 0;
        for process_ended in ended {
            if process_ended {
                let process = self.processes.remove(index);
                process.end(rows, &self.clock, self.launched, &mut self.attic)?;
            } else {
                index += 1;
            }
        }
        self.give_back(rows)?;
        Ok(events)
    }

    fn stop(&mut self, rows: &mut RowWriter) -> Result<()> {
        if let Some(mut visit) = self.visit.take() {
            let pids: Vec<i32> = self.processes.iter().map(Process::pid).collect();
            visit.ask(&pids, &self.session);
            while !visit.is_over(&self.session) {
                self.drain(rows)?;
                sleep(PAUSE);
            }
            if !visit.end(&self.session) {
                rows.add_notice(STAYS.into());
            }
        }
        let _credentials = self.session.switch_credentials()?;
        self.session.close();
        self.drain(rows)?;
        for process in self.processes.drain(..) {
            process.leave(rows, &self.clock)?;
        }
        Ok(())
    }
}
