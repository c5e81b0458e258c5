//! A recorded process: its definitions and its threads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use pyrec_schema::{Code, Python};
use pyrec_wire::{Definition, DefinitionReader};
use rustc_hash::FxHashMap;

use super::definitions::{CodeEntry, DefinitionTables, Site};
use super::line_table::LineMap;
use super::retired_files::RetiredFiles;
use super::thread::{FunctionTexts, RecordedThread};
use super::tick_clock::TickClock;
use crate::os::clock::monotonic_ns;
use crate::os::process_handle::ProcessHandle;
use crate::output::row_writer::RowWriter;
use crate::session::file_names::ProgramId;
use crate::{Error, Result};

/// The largest read of definitions. The length of the file is under control of the program.
const MAX_READ_BYTES: u64 = 1 << 20;

/// Longer names of files and functions are truncated.
const MAX_NAME_BYTES: usize = 1 << 14;

/// A program in a recorded process.
pub(super) struct RecordedProcess {
    program: ProgramId,
    path: PathBuf,
    /// File name of `path`.
    name: Arc<str>,
    definitions: File,
    /// Offset up to which the definitions are read.
    offset: u64,
    /// Offset up to which the rows of definitions are in the trace already.
    recorded_to: u64,
    reader: DefinitionReader,
    tables: DefinitionTables,
    threads: Vec<RecordedThread>,
    thread_names: FxHashMap<i32, String>,
    /// Whether the pid belongs to a later program.
    is_replaced: bool,
    handle: ProcessHandle,
}

impl RecordedProcess {
    /// Opens the definitions of a program.
    pub fn open(program: ProgramId, path: PathBuf) -> Result<RecordedProcess> {
        let definitions = File::open(&path);
        let definitions = definitions.map_err(|source| Error::SessionFile { path: path.clone(), source })?;
        Ok(RecordedProcess {
            program,
            name: path.file_name().unwrap_or_default().to_string_lossy().into(),
            path,
            definitions,
            offset: 0,
            recorded_to: 0,
            reader: DefinitionReader::default(),
            tables: DefinitionTables::default(),
            threads: Vec::new(),
            thread_names: FxHashMap::default(),
            is_replaced: false,
            handle: ProcessHandle::open(program.pid),
        })
    }

    /// The program.
    pub fn program(&self) -> ProgramId {
        self.program
    }

    /// Sets the offset up to which the rows of definitions are in the trace already.
    pub fn skip_to(&mut self, offset: u64) {
        self.recorded_to = offset;
    }

    /// Adds a thread whose start is in the trace already.
    pub fn add_started(&mut self, thread: RecordedThread) {
        self.threads.push(thread);
    }

    /// Adds a thread, and writes its start.
    pub fn add(&mut self, mut thread: RecordedThread, rows: &mut RowWriter, clock: &TickClock) -> Result<()> {
        let name = self.thread_names.get(&thread.tid()).map(String::as_str);
        rows.push_thread_start(thread.start(clock), self.program.pid, thread.tid(), name)?;
        rows.set_position(thread.name(), 0);
        self.threads.push(thread);
        Ok(())
    }

    /// Releases the slots whose rows are in these batches.
    pub fn release(&mut self, committed_batches: u64) {
        self.threads.iter_mut().for_each(|thread| thread.release(committed_batches));
    }

    /// Whether unreleased records fill half of a ring.
    pub fn is_half_full(&self) -> bool {
        self.threads.iter().any(RecordedThread::is_half_full)
    }

    /// Marks the program as replaced by a later one of this pid (exec).
    pub fn set_replaced(&mut self) {
        self.is_replaced = true;
    }

    /// Whether the program has ended.
    pub fn has_exited(&self) -> bool {
        self.is_replaced || self.handle.has_exited()
    }

    /// Observes how far the threads have written.
    pub fn observe(&mut self) {
        self.threads.iter_mut().for_each(RecordedThread::observe);
    }

    /// Reads the definitions that have been appended.
    pub fn read_definitions(&mut self, rows: &mut RowWriter, clock: &TickClock) -> Result<()> {
        let length = self.definitions.metadata().map_err(|source| self.unreadable(source))?.len();
        if length <= self.offset {
            return Ok(());
        }
        let mut bytes = Vec::new();
        while self.offset < length {
            // No read extends across `recorded_to`.
            let end = if self.offset < self.recorded_to { length.min(self.recorded_to) } else { length };
            let is_recorded = end <= self.recorded_to;
            bytes.resize((end - self.offset).min(MAX_READ_BYTES) as usize, 0);
            let read = self.definitions.read_exact_at(&mut bytes, self.offset);
            read.map_err(|source| self.unreadable(source))?;
            self.offset += bytes.len() as u64;
            let definitions = self.reader.feed(&bytes).map_err(|_| self.invalid())?;
            definitions
                .into_iter()
                .try_for_each(|definition| self.define(definition, is_recorded, rows, clock))?;
        }
        // An incomplete definition at the end is read again after a crash.
        rows.set_position(&self.name, self.offset - self.reader.pending_len() as u64);
        Ok(())
    }

    /// Applies a definition. `is_recorded`: its rows are in the trace already.
    fn define(
        &mut self,
        definition: Definition,
        is_recorded: bool,
        rows: &mut RowWriter,
        clock: &TickClock,
    ) -> Result<()> {
        let pid = self.program.pid;
        let is_valid = match definition {
            Definition::Process {
                ppid, start_ticks, version, build, executable, arguments, path, ..
            } => {
                if !is_recorded {
                    let start_ns = clock.to_ns(start_ticks);
                    rows.push_process_start(start_ns, pid, ppid, &arguments.join(" "))?;
                }
                let executable = (!executable.is_empty()).then_some(executable);
                rows.add_interpreter(Python { version, build: Some(build), executable, path });
                true
            }
            Definition::Code { id, first_line, file, qualname, line_table, lines } => {
                let (file, qualname) = (truncated(&file), truncated(&qualname));
                let code = Code { file, first_line: Some(first_line), qualname }.to_string();
                let entry = CodeEntry {
                    id: rows.names().code(&code),
                    lines: LineMap::new(first_line, line_table, &lines),
                };
                rows.add_source_file(file, pid);
                self.tables.codes.define(id, entry)
            }
            Definition::Text { id, text } => {
                let text = rows.names().text(&text);
                self.tables.texts.define(id, text)
            }
            Definition::Site { id, code, name } => {
                let site = Site { name: rows.names().text(&name), code };
                self.tables.sites.define(id, site)
            }
            Definition::Thread { tid, name } => {
                let thread = self.threads.iter().find(|thread| thread.tid() == tid);
                if let Some(thread) = thread.filter(|_| !is_recorded) {
                    // A second start row, which has the name.
                    rows.push_thread_start(thread.last_ns(), pid, tid, Some(&name))?;
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
        if is_valid { Ok(()) } else { Err(self.invalid()) }
    }

    /// Writes the events up to the last observation as rows. Returns their number. Threads that
    /// have ended are closed and their files retired.
    pub fn drain(
        &mut self,
        rows: &mut RowWriter,
        clock: &TickClock,
        texts: &FunctionTexts,
        buffer: &mut Vec<u8>,
        retired: &mut RetiredFiles,
    ) -> Result<u64> {
        let mut events = 0;
        for thread in &mut self.threads {
            events += thread.drain(&self.tables, rows, clock, texts, buffer)?;
        }
        let mut ended = self.threads.extract_if(.., |thread| thread.has_ended()).collect::<Vec<_>>();
        for thread in &mut ended {
            thread.end(rows, clock)?;
            retired.add(thread.name().clone(), thread.path().clone(), rows);
        }
        Ok(events)
    }

    /// Closes a process that has exited and is drained, writes its exit unless it is the launched
    /// one, and retires its files.
    pub fn retire(
        self,
        rows: &mut RowWriter,
        clock: &TickClock,
        launched: i32,
        retired: &mut RetiredFiles,
    ) -> Result<()> {
        let (pid, is_replaced) = (self.program.pid, self.is_replaced);
        let rings = self.threads.iter().map(|thread| (thread.name().clone(), thread.path().clone()));
        let files: Vec<_> = rings.chain([(self.name.clone(), self.path.clone())]).collect();
        self.close(rows, clock)?;
        if !is_replaced && pid != launched {
            rows.push_process_exit(monotonic_ns(), pid, None)?;
        }
        files.into_iter().for_each(|(name, path)| retired.add(name, path, rows));
        Ok(())
    }

    /// Closes the threads, whether the process has exited or only the recording ends.
    pub fn close(mut self, rows: &mut RowWriter, clock: &TickClock) -> Result<()> {
        self.threads.iter_mut().try_for_each(|thread| thread.close(rows, clock, monotonic_ns()))
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::SessionFile { path: self.path.clone(), source }
    }

    fn invalid(&self) -> Error {
        Error::InvalidRecord { pid: self.program.pid, path: self.path.clone() }
    }
}

fn truncated(name: &str) -> &str {
    let end = (0..=MAX_NAME_BYTES.min(name.len())).rev().find(|&at| name.is_char_boundary(at));
    &name[..end.unwrap_or(0)]
}
