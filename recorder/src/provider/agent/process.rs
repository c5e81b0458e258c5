//! One process that the agent is in: its definitions and its threads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use pyrec_schema::{Code, Python};
use pyrec_wire::{Definition, DefinitionReader};
use rustc_hash::FxHashMap;

use super::definitions::{Known, KnownCode, Site};
use super::line_table::Lines;
use super::retired_files::RetiredFiles;
use super::thread::{Texts, Thread};
use super::tick_clock::Clock;
use crate::os::clock::monotonic_ns;
use crate::os::process_handle;
use crate::output::row_writer::RowWriter;
use crate::{Error, Result};

/// Definitions that are read at once: a log's length is what its program says.
const CHUNK_BYTES: u64 = 1 << 20;

/// A file or a function with a longer name is known by the beginning of it.
const MAX_NAME_BYTES: usize = 1 << 14;

/// A process.
pub(super) struct Process {
    path: PathBuf,
    /// The name of its definitions' file.
    name: Arc<str>,
    /// `PID-N`, what the names of its files start with.
    stem: String,
    pid: i32,
    definitions: File,
    offset: u64,
    /// DefinitionReader up to there are told of in the trace.
    told: u64,
    decoder: DefinitionReader,
    known: Known,
    threads: Vec<Thread>,
    thread_names: FxHashMap<i32, String>,
    /// Whether another program took its place under the same number (exec).
    replaced: bool,
    handle: process_handle::ProcessHandle,
}

impl Process {
    /// Opens a process's definitions.
    pub fn open(path: PathBuf) -> Result<Process> {
        let failed = |source| Error::SessionFile { path: path.clone(), source };
        let definitions = File::open(&path).map_err(failed)?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let pid = stem.split('-').next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        Ok(Process {
            name: path.file_name().unwrap_or_default().to_string_lossy().into(),
            path,
            stem,
            pid,
            definitions,
            offset: 0,
            told: 0,
            decoder: DefinitionReader::default(),
            known: Known::default(),
            threads: Vec::new(),
            thread_names: FxHashMap::default(),
            replaced: false,
            handle: process_handle::ProcessHandle::open(pid),
        })
    }

    /// `PID-N`.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What its definitions say up to there is in the trace.
    pub fn skip_to(&mut self, told: u64) {
        self.told = told;
    }

    /// Takes a thread in whose beginning is in the trace.
    pub fn add_known(&mut self, thread: Thread) {
        self.threads.push(thread);
    }

    /// Gives the threads the slots of what is in these batches.
    pub fn release(&mut self, safe: u64) {
        self.threads.iter_mut().for_each(|thread| thread.release(safe));
    }

    /// Whether one of its threads may have to wait for slots.
    pub fn is_crowded(&self) -> bool {
        self.threads.iter().any(Thread::is_crowded)
    }

    /// Takes a thread in.
    pub fn add(&mut self, mut thread: Thread, rows: &mut RowWriter, clock: &Clock) -> Result<()> {
        let name = self.thread_names.get(&thread.tid()).map(String::as_str);
        rows.push_thread_start(thread.start(clock), self.pid, thread.tid(), name)?;
        rows.set_position(thread.name(), 0);
        self.threads.push(thread);
        Ok(())
    }

    /// Another program has taken its place: it is over as soon as everything it wrote is drained.
    pub fn replace(&mut self) {
        self.replaced = true;
    }

    /// Whether it was gone when this was called.
    pub fn has_ended(&self) -> bool {
        self.replaced || self.handle.has_exited()
    }

    /// Sees how far its threads have come.
    pub fn look(&mut self) {
        self.threads.iter_mut().for_each(Thread::look);
    }

    /// Reads the definitions that have been added.
    pub fn define(&mut self, rows: &mut RowWriter, clock: &Clock) -> Result<()> {
        let length = self.definitions.metadata().map_err(|source| self.unreadable(source))?.len();
        if length <= self.offset {
            return Ok(());
        }
        let mut bytes = Vec::new();
        while self.offset < length {
            // What is told of already is read by itself first.
            let end = if self.offset < self.told { length.min(self.told) } else { length };
            let is_told = end <= self.told;
            bytes.resize((end - self.offset).min(CHUNK_BYTES) as usize, 0);
            let read = self.definitions.read_exact_at(&mut bytes, self.offset);
            read.map_err(|source| self.unreadable(source))?;
            self.offset += bytes.len() as u64;
            let definitions = self.decoder.feed(&bytes).map_err(|_| self.malformed())?;
            definitions
                .into_iter()
                .try_for_each(|definition| self.learn(definition, is_told, rows, clock))?;
        }
        // Half of one at the end is read again.
        rows.set_position(&self.name, self.offset - self.decoder.pending_len() as u64);
        Ok(())
    }

    fn learn(
        &mut self,
        definition: Definition,
        is_told: bool,
        rows: &mut RowWriter,
        clock: &Clock,
    ) -> Result<()> {
        let is_known = match definition {
            Definition::Process {
                ppid, start_ticks, version, build, executable, arguments, path, ..
            } => {
                if !is_told {
                    let start_ns = clock.to_ns(start_ticks);
                    rows.push_process_start(start_ns, self.pid, ppid, &arguments.join(" "))?;
                }
                let executable = (!executable.is_empty()).then_some(executable);
                rows.add_interpreter(Python { version, build: Some(build), executable, path });
                true
            }
            Definition::Code { id, first_line, file, qualname, line_table, lines } => {
                let (file, qualname) = (cut(&file), cut(&qualname));
                let code = Code { file, first_line: Some(first_line), qualname }.to_string();
                let known = KnownCode {
                    id: rows.names().code(&code),
                    lines: Lines::new(first_line, line_table, &lines),
                };
                rows.add_source_file(file, self.pid);
                self.known.codes.define(id, known)
            }
            Definition::Text { id, text } => {
                let text = rows.names().text(&text);
                self.known.texts.define(id, text)
            }
            Definition::Site { id, code, name } => {
                let site = Site { name: rows.names().text(&name), code };
                self.known.sites.define(id, site)
            }
            Definition::Thread { tid, name } => {
                let thread = self.threads.iter().find(|thread| thread.tid() == tid);
                if let Some(thread) = thread.filter(|_| !is_told) {
                    // Said again, now with its name.
                    rows.push_thread_start(thread.last_ns(), self.pid, tid, Some(&name))?;
                }
                self.thread_names.insert(tid, name);
                true
            }
            Definition::Cost { event_ns } => {
                rows.facts.costs_ns.push(event_ns);
                true
            }
            Definition::Notice { text } => {
                rows.add_notice(text);
                true
            }
        };
        if is_known { Ok(()) } else { Err(self.malformed()) }
    }

    /// Moves what its threads wrote up to the last look. Returns the number of events.
    pub fn drain(
        &mut self,
        rows: &mut RowWriter,
        clock: &Clock,
        texts: &Texts,
        buffer: &mut Vec<u8>,
        attic: &mut RetiredFiles,
    ) -> Result<u64> {
        let mut events = 0;
        for thread in &mut self.threads {
            events += thread.drain(&self.known, rows, clock, texts, buffer)?;
        }
        let mut ended = self.threads.extract_if(.., |thread| thread.has_ended()).collect::<Vec<_>>();
        for thread in &mut ended {
            thread.end(rows, clock)?;
            attic.put(thread.name().clone(), thread.path().clone(), rows);
        }
        Ok(events)
    }

    /// It is gone, and everything it wrote is drained: closes its books.
    pub fn end(
        self,
        rows: &mut RowWriter,
        clock: &Clock,
        launched: i32,
        attic: &mut RetiredFiles,
    ) -> Result<()> {
        let (pid, replaced) = (self.pid, self.replaced);
        let threads = self.threads.iter().map(|thread| (thread.name().clone(), thread.path().clone()));
        let files: Vec<_> = threads.chain([(self.name.clone(), self.path.clone())]).collect();
        self.leave(rows, clock)?;
        if !replaced && pid != launched {
            rows.push_process_exit(monotonic_ns(), pid, None)?;
        }
        files.into_iter().for_each(|(name, path)| attic.put(name, path, rows));
        Ok(())
    }

    /// The recording of it is over, whether it lives or not.
    pub fn leave(mut self, rows: &mut RowWriter, clock: &Clock) -> Result<()> {
        self.threads.iter_mut().try_for_each(|thread| thread.abandon(rows, clock))
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::SessionFile { path: self.path.clone(), source }
    }

    fn malformed(&self) -> Error {
        Error::InvalidRecord { pid: self.pid, path: self.path.clone() }
    }
}

/// The beginning of a name that is longer than any is.
fn cut(name: &str) -> &str {
    let end = (0..=MAX_NAME_BYTES.min(name.len())).rev().find(|&at| name.is_char_boundary(at));
    &name[..end.unwrap_or(0)]
}
