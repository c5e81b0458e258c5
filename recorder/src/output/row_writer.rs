//! The writer of rows: it gathers events into batches and sends these to the writing thread.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyrec_schema::{Batch, CodeId, Event, LostEvents, Manifest, Marker, Names, Python, TextId};

use super::pipeline::{Pipeline, PositionUpdates};
use super::source_files::SourceFiles;
use crate::Result;

/// Rows in a full batch. So many make the cost per batch negligible, and still fit the cache of a
/// core.
const BATCH_ROWS: usize = 1 << 15;

/// With fewer free rows than this in a batch, the next one is begun before records are read.
const MIN_FREE_ROWS: usize = 1 << 10;

/// Takes events from a provider, and sends them to the writing thread in batches. Gathers the facts
/// for the manifest on the way.
pub struct RowWriter {
    names: Arc<Names>,
    batch: Batch,
    /// Positions of the provider in its own files that have changed in this batch.
    positions: PositionUpdates,
    /// The number of the current batch, counted from 1.
    batch_number: u64,
    /// The number of the last batch that was sent with a request to commit.
    commit_requested: u64,
    pipeline: Pipeline,
    sources: Arc<Mutex<SourceFiles>>,
    pub(crate) facts: RecordingFacts,
}

/// Facts about the recording that become known while it is made.
#[derive(Debug, Default)]
pub(crate) struct RecordingFacts {
    /// Events recorded, without the recorder's own rows.
    pub events: u64,
    /// Lost events.
    pub lost: u64,
    /// Every interpreter seen, each once.
    pub python: Vec<Python>,
    /// The cost of an event for the program in nanoseconds, as each process measured it.
    pub costs_ns: Vec<f64>,
    /// How long programs waited for the recorder, in nanoseconds. None if the provider cannot make
    /// them wait.
    pub waited_ns: Option<u64>,
    /// Sentences for the user, each once.
    pub notices: BTreeSet<String>,
}

impl RecordingFacts {
    /// The manifest from the start of the recording, with the facts known by now.
    pub fn manifest(&self, initial: &Manifest) -> Manifest {
        Manifest {
            python: self.python.clone(),
            cost_per_event_ns: median(&self.costs_ns),
            waited_ns: self.waited_ns,
            ..initial.clone()
        }
    }
}

fn median(numbers: &[f64]) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

impl RowWriter {
    pub(crate) fn new(names: Arc<Names>, sources: Arc<Mutex<SourceFiles>>, pipeline: Pipeline) -> Self {
        RowWriter {
            names,
            batch: Batch::with_capacity(BATCH_ROWS),
            positions: PositionUpdates::new(),
            batch_number: 1,
            commit_requested: 0,
            pipeline,
            sources,
            facts: RecordingFacts::default(),
        }
    }

    /// The interned strings that rows refer to.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Appends an event.
    #[inline]
    pub fn push(&mut self, event: Event) -> Result<()> {
        self.batch.push(event);
        if self.batch.len() >= BATCH_ROWS { self.send_batch() } else { Ok(()) }
    }

    /// How many records may be read so that all their rows fit the current batch. A record can make
    /// two rows. Begins a new batch if little is free.
    pub(crate) fn read_limit(&mut self) -> Result<usize> {
        if self.batch.len() + MIN_FREE_ROWS > BATCH_ROWS {
            self.send_batch()?;
        }
        Ok((BATCH_ROWS - self.batch.len()) / 2)
    }

    /// Sets the position of the provider in one of its files, as of the last row.
    pub(crate) fn set_position(&mut self, name: &Arc<str>, position: u64) {
        self.positions.push((name.clone(), Some(position)));
    }

    /// Removes the position in a file that was deleted.
    pub(crate) fn remove_position(&mut self, name: &Arc<str>) {
        self.positions.push((name.clone(), None));
    }

    /// The number of the current batch, counted from 1.
    pub(crate) fn batch_number(&self) -> u64 {
        self.batch_number
    }

    /// The number of the last batch that is committed. The provider may release the records that
    /// its rows were made from: they are not needed if the recorder is killed.
    pub(crate) fn committed_batches(&self) -> u64 {
        self.pipeline.committed_batches()
    }

    /// Requests that every row so far be committed as soon as possible.
    pub(crate) fn request_commit(&mut self) -> Result<()> {
        // A request at a time, because every commit ends a page and small pages compress badly.
        if self.committed_batches() < self.commit_requested {
            return Ok(());
        }
        self.commit_requested = self.batch_number;
        self.send(true)
    }

    /// Appends a `lost` row.
    pub fn push_lost(&mut self, lost: LostEvents) -> Result<()> {
        self.facts.lost = self.facts.lost.saturating_add(lost.count);
        let event = lost.to_event(&self.names);
        self.push(event)
    }

    /// Appends the start of a process, with its parent and its command line.
    pub fn push_process_start(&mut self, time_ns: i64, pid: i32, parent: i32, command: &str) -> Result<()> {
        self.note_root(pid, parent);
        let text = self.names.text(command);
        self.push_fact(time_ns, (pid, pid), Marker::ProcessStart, Some(i64::from(parent)), text)
    }

    /// Looks up the root directory of a process while it exists, for reading its source files
    /// later.
    pub fn note_root(&mut self, pid: i32, parent: i32) {
        self.sources().note_root(pid, parent);
    }

    /// Appends the exit of a process, with its status if that is known.
    pub fn push_process_exit(&mut self, time_ns: i64, pid: i32, status: Option<i32>) -> Result<()> {
        self.push_fact(time_ns, (pid, pid), Marker::ProcessExit, status.map(i64::from), TextId::NONE)
    }

    /// Appends the start of a thread, with its name if that is known.
    pub fn push_thread_start(&mut self, time_ns: i64, pid: i32, tid: i32, name: Option<&str>) -> Result<()> {
        let text = name.map_or(TextId::NONE, |name| self.names.text(name));
        self.push_fact(time_ns, (pid, tid), Marker::ThreadStart, None, text)
    }

    /// Appends the exit of a thread.
    pub fn push_thread_exit(&mut self, time_ns: i64, pid: i32, tid: i32) -> Result<()> {
        self.push_fact(time_ns, (pid, tid), Marker::ThreadExit, None, TextId::NONE)
    }

    fn push_fact(
        &mut self,
        time_ns: i64,
        (pid, tid): (i32, i32),
        marker: Marker,
        value: Option<i64>,
        text: TextId,
    ) -> Result<()> {
        self.push(Event { time_ns, pid, tid, marker, code: CodeId::NONE, line: 0, value, text })
    }

    /// Adds to the count of events. Separate from [`RowWriter::push`], to be called once for many.
    pub fn count_events(&mut self, events: u64) {
        self.facts.events += events;
    }

    /// Adds a file whose code ran, so that its source text is recorded at the end.
    pub fn add_source_file(&mut self, file: &str, pid: i32) {
        self.sources().add(file, pid);
    }

    fn sources(&self) -> MutexGuard<'_, SourceFiles> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an interpreter to the facts, if it is new.
    pub fn add_interpreter(&mut self, python: Python) {
        let is_same =
            |known: &Python| known.executable == python.executable && known.version == python.version;
        if !self.facts.python.iter().any(is_same) {
            self.facts.python.push(python);
        }
    }

    /// Adds a sentence for the user, shown at the end.
    pub fn add_notice(&mut self, text: String) {
        self.facts.notices.insert(text);
    }

    /// Sends the current batch, full or not, unless there is nothing to send.
    pub(crate) fn send_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() && self.positions.is_empty() { Ok(()) } else { self.send(false) }
    }

    fn send(&mut self, commit_now: bool) -> Result<()> {
        let empty = self.pipeline.empty_batch().unwrap_or_else(|| Batch::with_capacity(BATCH_ROWS));
        self.batch_number += 1;
        let batch = std::mem::replace(&mut self.batch, empty);
        self.pipeline.write(batch, std::mem::take(&mut self.positions), commit_now)
    }

    /// Requests a checkpoint of every row so far, with the facts known by now.
    pub(crate) fn checkpoint(&mut self, initial: &Manifest) -> Result<()> {
        self.send_batch()?;
        self.pipeline.checkpoint(self.facts.manifest(initial))
    }

    /// Requests a copy of the trace, with every row so far.
    pub(crate) fn snapshot(&mut self, initial: &Manifest) -> Result<()> {
        self.checkpoint(initial)?;
        self.pipeline.snapshot()
    }

    /// Sends what is left, and returns the pipeline and the facts for writing the end.
    pub(crate) fn into_parts(mut self) -> Result<(Pipeline, RecordingFacts)> {
        self.send_batch()?;
        Ok((self.pipeline, self.facts))
    }

    /// Length of the trace so far, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.pipeline.bytes()
    }
}
