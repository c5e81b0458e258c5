//! Events and what is missing between them into rows of the trace.

use std::sync::Arc;

use pyrec_schema::{Batch, Code, CodeId, Event, Group, Lost, Manifest, Marker, Names, TextId, TraceWriter};
use rustc_hash::FxHashMap;

use super::depth::Depth;
use super::line::Said;
use super::names_of;
use super::window::Window;

const BATCH_ROWS: usize = 1 << 16;

/// The rows on their way into the file.
#[derive(Debug)]
pub struct Rows {
    trace: TraceWriter,
    names: Arc<Names>,
    window: Window,
    batch: Batch,
    threads: FxHashMap<(i32, i32), Thread>,
    /// Which markers there were.
    seen: [bool; Marker::ALL.len()],
    events: u64,
    /// Events that are missing before the next one, of nobody knows which thread.
    lost: u64,
}

/// What is known of a thread.
#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    /// When something was last seen of it.
    time_ns: Option<i64>,
    depth: Depth,
    /// Events that are missing before its next one.
    lost: u64,
    /// Whether there may be more of them, of which only their sum with those of other threads is known.
    has_share: bool,
}

impl Thread {
    /// A tool may say that it lost any number.
    fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }
}

impl Rows {
    /// Rows for that trace, whose names are these.
    pub fn new(trace: TraceWriter, names: Arc<Names>) -> Self {
        Rows {
            trace,
            names,
            window: Window::default(),
            batch: Batch::default(),
            threads: FxHashMap::default(),
            seen: [false; Marker::ALL.len()],
            events: 0,
            lost: 0,
        }
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Something is missing here, in that thread, or in any.
    pub fn lost(&mut self, thread: Option<(i32, i32)>, count: u64) {
        match thread {
            Some(thread) => self.threads.entry(thread).or_default().lose(count),
            None => {
                self.lost = self.lost.saturating_add(count);
                self.threads.values_mut().for_each(|thread| thread.has_share = true);
            }
        }
    }

    /// Takes an event. Returns how many must be missing before it.
    pub fn event(&mut self, said: &Said) -> pyrec_schema::Result<u64> {
        // CPython 3.15 leaves code of its own, of a file of this name, that it never entered.
        if said.marker == Marker::FunctionReturn && said.file == "__init__" {
            return Ok(0);
        }
        let key = (said.pid, said.tid);
        let thread = self.threads.entry(key).or_default();
        let is_entry = said.marker == Marker::FunctionEntry;
        let missing = said.level.map_or(0, |level| thread.depth.step(is_entry, level));
        // A line that could not be read explains what is missing, and is counted already.
        let missing = missing.saturating_sub(thread.lost.saturating_add(self.lost));
        thread.lose(missing);
        if thread.lost > 0 || thread.has_share || (self.lost > 0 && self.events == 0) {
            let count = std::mem::take(&mut thread.lost).saturating_add(std::mem::take(&mut self.lost));
            thread.has_share = false;
            let from_ns = thread.time_ns.map_or(said.time_ns, |time_ns| time_ns.min(said.time_ns));
            thread.time_ns = Some(said.time_ns);
            let lost = Lost { pid: said.pid, tid: said.tid, count, from_ns, to_ns: said.time_ns };
            let lost = lost.to_event(&self.names);
            self.push(lost)?;
        } else {
            thread.time_ns = thread.time_ns.max(Some(said.time_ns));
        }
        let event = self.row(said);
        self.events += 1;
        self.seen[said.marker as usize] = true;
        self.push(event)?;
        Ok(missing)
    }

    fn row(&self, said: &Said) -> Event {
        let Said { time_ns, pid, tid, marker, file, name, line, value, .. } = *said;
        let is_code = marker.is_code();
        // The first line of a code object is not among what a marker says.
        let code = || self.names.code(&Code { file, first_line: None, qualname: name }.to_string());
        let code = if is_code { code() } else { CodeId::NONE };
        let text = if is_code || name.is_empty() { TextId::NONE } else { self.names.text(name) };
        Event { time_ns, pid, tid, marker, code, line, value, text }
    }

    fn push(&mut self, event: Event) -> pyrec_schema::Result<()> {
        match self.window.push(event) {
            Some(ready) => self.write(ready),
            None => Ok(()),
        }
    }

    fn write(&mut self, event: Event) -> pyrec_schema::Result<()> {
        self.batch.push(event);
        if self.batch.len() < BATCH_ROWS {
            return Ok(());
        }
        self.trace.write(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    /// Writes the rest, with what else is known of the recording.
    pub fn finish(mut self, complete: impl FnOnce(&mut Manifest)) -> pyrec_schema::Result<()> {
        self.lose_the_rest()?;
        while let Some(event) = self.window.pop() {
            self.write(event)?;
        }
        self.trace.write(&self.batch)?;
        let has = |group: &Group| group.markers().iter().any(|&marker| self.seen[marker as usize]);
        let groups: Vec<Group> = Group::ALL.into_iter().filter(has).collect();
        let manifest = self.trace.manifest_mut();
        manifest.markers = names_of(&groups);
        complete(manifest);
        self.trace.finish().map(drop)
    }

    /// What is missing after the last event of a thread.
    fn lose_the_rest(&mut self) -> pyrec_schema::Result<()> {
        let mut unsettled: Vec<((i32, i32), Thread)> =
            self.threads.iter().map(|(&key, &thread)| (key, thread)).collect();
        unsettled.retain(|(_, thread)| thread.lost > 0 || thread.has_share);
        unsettled.sort_unstable_by_key(|&(key, _)| key);
        for ((pid, tid), thread) in unsettled {
            // Whose no event was seen is a thread only by half a line.
            let Some(time_ns) = thread.time_ns else { continue };
            let count = thread.lost.saturating_add(std::mem::take(&mut self.lost));
            let lost = Lost { pid, tid, count, from_ns: time_ns, to_ns: time_ns };
            let lost = lost.to_event(&self.names);
            self.push(lost)?;
        }
        Ok(())
    }
}
