//! Events as rows, on their way to the writer.

use std::sync::Arc;

use pyrec_schema::{Batch, CodeId, Event, Lost, Marker, Names, Python, TextId};
use rustc_hash::FxHashMap;

use crate::pipeline::Pipeline;
use crate::sources::Sources;
use crate::{Error, Result};

/// Rows in a batch: enough to make a call per batch free, few enough to stay in the cache of a core.
const BATCH_ROWS: usize = 1 << 16;

/// Takes rows from a provider and passes them on in batches. Also gathers what the manifest will say.
pub struct Rows {
    names: Arc<Names>,
    batch: Batch,
    pipeline: Pipeline,
    pub(crate) sources: Sources,
    pub(crate) facts: Facts,
}

/// What becomes known about the recording as it goes.
#[derive(Debug, Default)]
pub(crate) struct Facts {
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

impl Rows {
    pub(crate) fn new(names: Arc<Names>, pipeline: Pipeline) -> Self {
        Rows {
            names,
            batch: Batch::with_capacity(BATCH_ROWS),
            pipeline,
            sources: Sources::default(),
            facts: Facts::default(),
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
        if self.batch.len() >= BATCH_ROWS { self.pass_on() } else { Ok(()) }
    }

    /// Appends a `lost` row.
    pub fn lost(&mut self, lost: Lost) -> Result<()> {
        self.facts.lost = self.facts.lost.saturating_add(lost.count);
        let event = lost.to_event(&self.names);
        self.push(event)
    }

    /// Says that a process is there, with its parent and its command line.
    pub fn process_start(&mut self, time_ns: i64, pid: i32, parent: i32, command: &str) -> Result<()> {
        self.enter(pid, parent);
        let text = self.names.text(command);
        self.fact(time_ns, (pid, pid), Marker::ProcessStart, Some(i64::from(parent)), text)
    }

    /// Looks which files a process sees, while it is there.
    pub fn enter(&mut self, pid: i32, parent: i32) {
        self.sources.enter(pid, parent);
    }

    /// Says that a process is gone.
    pub fn process_exit(&mut self, time_ns: i64, pid: i32, status: Option<i32>) -> Result<()> {
        self.fact(time_ns, (pid, pid), Marker::ProcessExit, status.map(i64::from), TextId::NONE)
    }

    /// Says that a thread is there, and its name where that is known.
    pub fn thread_start(&mut self, time_ns: i64, pid: i32, tid: i32, name: Option<&str>) -> Result<()> {
        let text = name.map_or(TextId::NONE, |name| self.names.text(name));
        self.fact(time_ns, (pid, tid), Marker::ThreadStart, None, text)
    }

    /// Says that a thread is gone.
    pub fn thread_exit(&mut self, time_ns: i64, pid: i32, tid: i32) -> Result<()> {
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
    pub fn count(&mut self, events: u64) {
        self.facts.events += events;
    }

    /// Remembers that code of this file ran, so that its text comes into the trace.
    pub fn source(&mut self, file: &str, pid: i32) {
        self.sources.see(file, pid);
    }

    /// Remembers an interpreter.
    pub fn python(&mut self, python: Python) {
        let known = |seen: &Python| seen.executable == python.executable && seen.version == python.version;
        if !self.facts.python.iter().any(known) {
            self.facts.python.push(python);
        }
    }

    /// Keeps a sentence for the user.
    pub fn notice(&mut self, text: String) {
        *self.facts.notices.entry(text).or_default() += 1;
    }

    /// Passes what is here on to the writer, full batch or not.
    pub(crate) fn pass_on(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let empty = self.pipeline.empty_batch().unwrap_or_else(|| Batch::with_capacity(BATCH_ROWS));
        self.pipeline.write(std::mem::replace(&mut self.batch, empty))
    }

    /// Writes what every reader must be able to see from now on, whatever happens to us.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        self.pass_on()?;
        self.pipeline.checkpoint()
    }

    /// The writer's end of it, once everything is passed on.
    pub(crate) fn into_parts(mut self) -> Result<(Pipeline, Facts), Error> {
        self.pass_on()?;
        Ok((self.pipeline, self.facts))
    }

    /// Length of the trace so far, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.pipeline.bytes()
    }
}
