//! Events as rows, on their way to the writer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyrec_schema::{Batch, CodeId, Event, LostEvents, Manifest, Marker, Names, Python, TextId};
use rustc_hash::FxHashMap;

use super::pipeline::{Marks, Pipeline};
use super::source_files::SourceFiles;
use crate::{Error, Result};

/// RowWriter in a batch: enough to make a call per batch free, few enough to stay in the cache of a core.
const BATCH_ROWS: usize = 1 << 15;

/// Fewer free rows than this are not worth reading records for.
const FEW_ROWS: usize = 1 << 10;

/// Takes rows from a provider and passes them on in batches. Also gathers what the manifest will say.
pub struct RowWriter {
    names: Arc<Names>,
    batch: Batch,
    /// Where the provider is in its own records, as far as that has changed in this batch.
    marks: Marks,
    /// The number of the present batch, from 1 on.
    number: u64,
    /// The last one that was passed on in a hurry.
    hurried: u64,
    pipeline: Pipeline,
    sources: Arc<Mutex<SourceFiles>>,
    pub(crate) facts: RecordingFacts,
}

/// What becomes known about the recording as it goes.
#[derive(Debug, Default)]
pub(crate) struct RecordingFacts {
    /// Events recorded, the recorder's own rows not counted.
    pub events: u64,
    /// Events known not to have been recorded.
    pub lost: u64,
    /// Every interpreter seen, each once.
    pub python: Vec<Python>,
    /// What one event costs a program, nanoseconds, as processes measured it.
    pub costs_ns: Vec<f64>,
    /// How long programs waited for the recorder; none where the provider cannot make them wait.
    pub waited_ns: Option<u64>,
    /// Sentences for the user, each with how often it was said.
    pub notices: FxHashMap<String, usize>,
}

impl RecordingFacts {
    /// What is known by now.
    pub fn manifest(&self, manifest: &Manifest) -> Manifest {
        Manifest {
            python: self.python.clone(),
            cost_per_event_ns: median(&self.costs_ns),
            waited_ns: self.waited_ns,
            ..manifest.clone()
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
            marks: Marks::new(),
            number: 1,
            hurried: 0,
            pipeline,
            sources,
            facts: RecordingFacts::default(),
        }
    }

    /// The strings that rows refer to.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Appends an event that CPython reported.
    #[inline]
    pub fn push(&mut self, event: Event) -> Result<()> {
        self.batch.push(event);
        if self.batch.len() >= BATCH_ROWS { self.send_batch() } else { Ok(()) }
    }

    /// How many records may be turned into rows so that they all come into the present batch, though some may make two.
    pub(crate) fn read_limit(&mut self) -> Result<usize> {
        if self.batch.len() + FEW_ROWS > BATCH_ROWS {
            self.send_batch()?;
        }
        Ok((BATCH_ROWS - self.batch.len()) / 2)
    }

    /// Says how far into a record of the provider's own its rows are now.
    pub(crate) fn set_position(&mut self, name: &Arc<str>, position: u64) {
        self.marks.push((name.clone(), Some(position)));
    }

    /// Says that such a record is gone.
    pub(crate) fn remove_position(&mut self, name: &Arc<str>) {
        self.marks.push((name.clone(), None));
    }

    /// The number of the present batch.
    pub(crate) fn batch_number(&self) -> u64 {
        self.number
    }

    /// Batches up to this one outlive the recorder: what they were made from may be forgotten.
    pub(crate) fn committed_batches(&self) -> u64 {
        self.pipeline.safe()
    }

    /// Makes everything so far safe as soon as possible.
    pub(crate) fn request_commit(&mut self) -> Result<()> {
        // One at a time: pages would become ever smaller.
        if self.committed_batches() < self.hurried {
            return Ok(());
        }
        self.hurried = self.number;
        self.send(true)
    }

    /// Appends a `lost` row.
    pub fn push_lost(&mut self, lost: LostEvents) -> Result<()> {
        self.facts.lost = self.facts.lost.saturating_add(lost.count);
        let event = lost.to_event(&self.names);
        self.push(event)
    }

    /// Says that a process is there, with its parent and its command line.
    pub fn push_process_start(&mut self, time_ns: i64, pid: i32, parent: i32, command: &str) -> Result<()> {
        self.note_root(pid, parent);
        let text = self.names.text(command);
        self.fact(time_ns, (pid, pid), Marker::ProcessStart, Some(i64::from(parent)), text)
    }

    /// Looks which files a process sees, while it is there.
    pub fn note_root(&mut self, pid: i32, parent: i32) {
        self.sources().note_root(pid, parent);
    }

    /// Says that a process is gone.
    pub fn push_process_exit(&mut self, time_ns: i64, pid: i32, status: Option<i32>) -> Result<()> {
        self.fact(time_ns, (pid, pid), Marker::ProcessExit, status.map(i64::from), TextId::NONE)
    }

    /// Says that a thread is there, and its name where that is known.
    pub fn push_thread_start(&mut self, time_ns: i64, pid: i32, tid: i32, name: Option<&str>) -> Result<()> {
        let text = name.map_or(TextId::NONE, |name| self.names.text(name));
        self.fact(time_ns, (pid, tid), Marker::ThreadStart, None, text)
    }

    /// Says that a thread is gone.
    pub fn push_thread_exit(&mut self, time_ns: i64, pid: i32, tid: i32) -> Result<()> {
        self.fact(time_ns, (pid, tid), Marker::ThreadExit, None, TextId::NONE)
    }

    fn fact(
        &mut self,
        time_ns: i64,
        (pid, tid): (i32, i32),
        marker: Marker,
        value: Option<i64>,
        text: TextId,
    ) -> Result<()> {
        self.push(Event { time_ns, pid, tid, marker, code: CodeId::NONE, line: 0, value, text })
    }

    /// Counts events that were pushed. Said once for many, so that pushing stays cheap.
    pub fn count_events(&mut self, events: u64) {
        self.facts.events += events;
    }

    /// Remembers that code of this file ran, so that its text comes into the trace.
    pub fn add_source_file(&mut self, file: &str, pid: i32) {
        self.sources().add(file, pid);
    }

    fn sources(&self) -> MutexGuard<'_, SourceFiles> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an interpreter.
    pub fn add_interpreter(&mut self, python: Python) {
        let known = |seen: &Python| seen.executable == python.executable && seen.version == python.version;
        if !self.facts.python.iter().any(known) {
            self.facts.python.push(python);
        }
    }

    /// Keeps a sentence for the user.
    pub fn add_notice(&mut self, text: String) {
        *self.facts.notices.entry(text).or_default() += 1;
    }

    /// Passes what is here on to the writer, full batch or not.
    pub(crate) fn send_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() && self.marks.is_empty() { Ok(()) } else { self.send(false) }
    }

    fn send(&mut self, hurry: bool) -> Result<()> {
        let empty = self.pipeline.empty_batch().unwrap_or_else(|| Batch::with_capacity(BATCH_ROWS));
        self.number += 1;
        let batch = std::mem::replace(&mut self.batch, empty);
        self.pipeline.write(batch, std::mem::take(&mut self.marks), hurry)
    }

    /// Writes what every reader must be able to see from now on, whatever happens to us.
    pub(crate) fn checkpoint(&mut self, manifest: &Manifest) -> Result<()> {
        self.send_batch()?;
        self.pipeline.checkpoint(self.facts.manifest(manifest))
    }

    /// Copies what there is.
    pub(crate) fn snapshot(&mut self, manifest: &Manifest) -> Result<()> {
        self.checkpoint(manifest)?;
        self.pipeline.snapshot()
    }

    /// The writer's end of it, once everything is passed on.
    pub(crate) fn into_parts(mut self) -> Result<(Pipeline, RecordingFacts), Error> {
        self.send_batch()?;
        Ok((self.pipeline, self.facts))
    }

    /// Length of the trace so far, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.pipeline.bytes()
    }
}
