//! The agent provider: it drains the rings of the agents, which are loaded into the recorded
//! processes.
//!
//! ```text
//! PID-N.defs   ─▶ RecordedProcess: definitions ─┐
//! PID-N.K.ring ─▶ RecordedThread: records ──────┴─▶ rows ─▶ … ─▶ committed: journal or trace
//!       ▲                                                                 │
//!       └────── slots are released, retired files are deleted ◀──────────┘
//! ```

mod attach_session;
mod definitions;
mod line_table;
mod orphaned_session;
mod process;
mod retired_files;
mod thread;
mod tick_clock;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;

use rustc_hash::FxHashSet;

use self::attach_session::{AttachSession, POLL_INTERVAL};
pub(crate) use self::orphaned_session::drain_orphaned;
use self::process::RecordedProcess;
use self::retired_files::RetiredFiles;
use self::thread::{FunctionTexts, RecordedThread};
use self::tick_clock::TickClock;
use super::Provider;
use crate::os::process_root::ProcessRoot;
use crate::os::user::User;
use crate::output::row_writer::RowWriter;
use crate::session::directory::SessionDirectory;
use crate::session::file_names::{AgentFile, ProgramId};
use crate::target::attach::{self, RemoteDebug};
use crate::{Capture, Error, Result};

/// Drains every process that the agent is loaded into.
pub(crate) struct AgentProvider {
    session: SessionDirectory,
    /// The generation of the session directory when its files were last listed. None if they must
    /// be listed again.
    generation: Option<u32>,
    clock: TickClock,
    processes: Vec<RecordedProcess>,
    /// The names of the session's files that were opened.
    opened: FxHashSet<OsString>,
    retired: RetiredFiles,
    /// The pid of the launched program, or 0. Its supervisor records its exit.
    launched: i32,
    texts: Option<FunctionTexts>,
    /// Holds the records that were read last.
    buffer: Vec<u8>,
    /// None if the program was launched.
    attached: Option<AttachSession>,
}

impl AgentProvider {
    /// A provider for a program that will be launched as this user.
    pub fn new(capture: &Capture, user: Option<&User>) -> Result<AgentProvider> {
        AgentProvider::with_root(capture, user, ProcessRoot::own())
    }

    /// Loads the agent into a running process. `is_cancelled` is called at intervals, as long as
    /// the process does not reach a safe point.
    pub fn attach(
        pid: i32,
        capture: &Capture,
        is_cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<AgentProvider> {
        let root = ProcessRoot::of(pid).map_err(|source| attach::Error::of(pid, source))?;
        attach::refuse_container(pid)?;
        attach::refuse_recorded(pid, &root)?;
        // Fails if the process cannot be attached to, before a session is created for it.
        RemoteDebug::open(pid, &root)?;
        let user = User::of_process(pid);
        let mut agent = AgentProvider::with_root(capture, user.as_ref(), root)?;
        agent.attached = Some(AttachSession::start(pid, &agent.session, is_cancelled)?);
        Ok(agent)
    }

    fn with_root(capture: &Capture, user: Option<&User>, root: ProcessRoot) -> Result<AgentProvider> {
        let source = tick_clock::best_source();
        Ok(AgentProvider {
            session: SessionDirectory::create(capture, source, user, root)?,
            generation: None,
            clock: TickClock::new(source),
            processes: Vec::new(),
            opened: FxHashSet::default(),
            retired: RetiredFiles::default(),
            launched: 0,
            texts: None,
            buffer: Vec::new(),
            attached: None,
        })
    }

    /// Environment variables for the launched program, so that it loads the agent. Libraries that
    /// were to be preloaded anyway still are.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        let mut preload = self.session.library().as_os_str().to_owned();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preload.push(":");
            preload.push(others);
        }
        [("LD_PRELOAD", preload), (pyrec_wire::SESSION_VARIABLE, self.session.path().into())]
    }

    /// Sets the pid of the launched program.
    pub fn set_launched(&mut self, pid: i32) {
        self.launched = pid;
    }

    /// The path of the session directory.
    pub fn session_path(&self) -> &Path {
        self.session.path()
    }

    /// Reads both clocks, for conversion and for repair.
    fn anchor_clock(&mut self) {
        self.clock.anchor();
        self.session.store_clock_anchor(self.clock.last_reading());
    }

    /// The name of the clock in the manifest.
    pub fn clock_name(&self) -> &'static str {
        self.clock.name()
    }

    /// Opens the files that agents have created since the last call.
    fn open_new_files(&mut self, rows: &mut RowWriter) -> Result<()> {
        let generation = self.session.generation();
        if self.generation == Some(generation) {
            return Ok(());
        }
        let files = self.new_files()?;
        // The start times in these files are then before an anchor, as all later times will be.
        self.anchor_clock();
        let mut is_complete = true;
        for (file, name) in files {
            let path = self.session.path().join(&name);
            let is_open = match file {
                AgentFile::Definitions(program) => self.open_definitions(program, path).map(|()| true)?,
                AgentFile::Ring(program, _) => self.open_ring(program, path, rows)?,
            };
            if is_open {
                self.opened.insert(name);
            }
            is_complete &= is_open;
        }
        // A ring that is still being created is opened next time.
        self.generation = is_complete.then_some(generation);
        Ok(())
    }

    /// The files of agents that are not open, in the order in which to open them.
    fn new_files(&self) -> Result<Vec<(AgentFile, OsString)>> {
        let failed = |source| Error::SessionFile { path: self.session.path().to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(self.session.path()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(file) = AgentFile::parse(&name)
                && !self.opened.contains(&name)
            {
                files.push((file, name));
            }
        }
        files.sort();
        Ok(files)
    }

    fn open_definitions(&mut self, program: ProgramId, path: PathBuf) -> Result<()> {
        let earlier = self.processes.iter_mut().filter(|process| process.program().pid == program.pid);
        earlier.for_each(RecordedProcess::set_replaced);
        self.processes.push(RecordedProcess::open(program, path)?);
        Ok(())
    }

    /// Returns whether the ring could be opened: its definitions are open, and it is complete.
    fn open_ring(&mut self, program: ProgramId, path: PathBuf, rows: &mut RowWriter) -> Result<bool> {
        let Some(process) = self.processes.iter_mut().find(|process| process.program() == program) else {
            return Ok(false);
        };
        let Some(thread) = RecordedThread::open(path)? else { return Ok(false) };
        process.read_definitions(rows, &self.clock)?;
        process.add(thread, rows, &self.clock)?;
        Ok(true)
    }

    /// Releases slots and deletes files whose rows are committed. Requests a commit if many are
    /// not.
    fn release_committed(&mut self, rows: &mut RowWriter) -> Result<()> {
        let committed = rows.committed_batches();
        self.processes.iter_mut().for_each(|process| process.release(committed));
        for name in self.retired.delete_committed(rows) {
            self.opened.remove(OsStr::new(&*name));
        }
        let is_full = self.retired.is_full() || self.processes.iter().any(RecordedProcess::is_half_full);
        if is_full { rows.request_commit() } else { Ok(()) }
    }

    fn pids(&self) -> Vec<i32> {
        self.processes.iter().map(|process| process.program().pid).collect()
    }
}

const HOOKS_REMAIN: &str = "The process ran no Python code when the recording ended; \
                            the agent removes its hooks when it does.";

impl Drop for AgentProvider {
    /// Removes the hooks from an attached process if the recording failed.
    fn drop(&mut self) {
        if let Some(mut attached) = self.attached.take() {
            self.session.close();
            attached.request_detach(&self.pids(), &self.session);
            while !attached.is_done(&self.session) {
                sleep(POLL_INTERVAL);
            }
            attached.finish(&self.session);
        }
    }
}

impl Provider for AgentProvider {
    fn drain(&mut self, rows: &mut RowWriter) -> Result<u64> {
        let _credentials = self.session.switch_credentials()?;
        self.open_new_files(rows)?;
        // A process that has exited before its heads are observed is drained completely below.
        let exited: Vec<bool> = self.processes.iter().map(RecordedProcess::has_exited).collect();
        // First the heads and then the definitions, so that every id in the records is defined.
        self.processes.iter_mut().for_each(RecordedProcess::observe);
        self.anchor_clock();
        let texts = *self.texts.get_or_insert_with(|| FunctionTexts::new(rows.names()));
        let mut events = 0;
        for process in &mut self.processes {
            process.read_definitions(rows, &self.clock)?;
            events += process.drain(rows, &self.clock, &texts, &mut self.buffer, &mut self.retired)?;
        }
        rows.count_events(events);
        let mut index = 0;
        for has_exited in exited {
            if has_exited {
                let process = self.processes.remove(index);
                process.retire(rows, &self.clock, self.launched, &mut self.retired)?;
            } else {
                index += 1;
            }
        }
        self.release_committed(rows)?;
        Ok(events)
    }

    fn stop(&mut self, rows: &mut RowWriter) -> Result<()> {
        if let Some(mut attached) = self.attached.take() {
            attached.request_detach(&self.pids(), &self.session);
            while !attached.is_done(&self.session) {
                self.drain(rows)?;
                sleep(POLL_INTERVAL);
            }
            if !attached.finish(&self.session) {
                rows.add_notice(HOOKS_REMAIN.into());
            }
        }
        let _credentials = self.session.switch_credentials()?;
        self.session.close();
        self.drain(rows)?;
        for process in self.processes.drain(..) {
            process.close(rows, &self.clock)?;
        }
        Ok(())
    }
}
