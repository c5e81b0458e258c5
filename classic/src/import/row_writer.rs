//! Writes the events of a capture, and `lost` rows where events are missing between them, into a
//! trace.

use std::sync::Arc;

use pyrec_schema::{
    Batch, Code, CodeId, Event, LostEvents, Manifest, Marker, MarkerGroup, Names, TextId, TraceWriter,
};
use rustc_hash::FxHashMap;

use super::event::ParsedEvent;
use super::reorder_buffer::ReorderBuffer;

const BATCH_ROWS: usize = 1 << 16;

/// Turns parsed events into rows and writes them in the order of their times.
#[derive(Debug)]
pub struct RowWriter {
    trace: TraceWriter,
    names: Arc<Names>,
    buffer: ReorderBuffer,
    batch: Batch,
    threads: FxHashMap<(i32, i32), ThreadState>,
    /// Which markers have occurred.
    seen: [bool; Marker::ALL.len()],
    events: u64,
    /// Lost events of unknown threads. The next `lost` row of any thread includes them.
    unattributed: u64,
}

/// State of one thread.
#[derive(Clone, Copy, Debug, Default)]
struct ThreadState {
    /// The time of its last event.
    time_ns: Option<i64>,
    depth: CallDepth,
    /// Events lost before its next one.
    lost: u64,
    /// Whether unattributed losses since its last event may be its own. Then its next event follows
    /// a `lost` row, if necessary with a count of 0.
    may_have_lost: bool,
}

impl ThreadState {
    /// Adds lost events. Saturates, since a tool may report any number.
    fn add_lost(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }
}

impl RowWriter {
    /// Creates a writer for a trace whose strings are in `names`.
    pub fn new(trace: TraceWriter, names: Arc<Names>) -> Self {
        RowWriter {
            trace,
            names,
            buffer: ReorderBuffer::default(),
            batch: Batch::default(),
            threads: FxHashMap::default(),
            seen: [false; Marker::ALL.len()],
            events: 0,
            unattributed: 0,
        }
    }

    /// The number of events so far, without `lost` rows.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Records that `count` events are lost here, of this thread or of an unknown one.
    pub fn add_lost(&mut self, thread: Option<(i32, i32)>, count: u64) {
        match thread {
            Some(thread) => self.threads.entry(thread).or_default().add_lost(count),
            None => {
                self.unattributed = self.unattributed.saturating_add(count);
                self.threads.values_mut().for_each(|thread| thread.may_have_lost = true);
            }
        }
    }

    /// Writes an event. Returns how many events must be missing before it, at least, beyond those
    /// that are already counted as lost.
    pub fn add_event(&mut self, parsed: &ParsedEvent) -> pyrec_schema::Result<u64> {
        // CPython 3.15 fires a return without an entry for internal code in a file of this name.
        if parsed.marker == Marker::FunctionReturn && parsed.file == "__init__" {
            return Ok(0);
        }
        let key = (parsed.pid, parsed.tid);
        let thread = self.threads.entry(key).or_default();
        let is_entry = parsed.marker == Marker::FunctionEntry;
        let missing = parsed.depth.map_or(0, |depth| thread.depth.step(is_entry, depth));
        // Events that are counted as lost already explain the gap.
        let missing = missing.saturating_sub(thread.lost.saturating_add(self.unattributed));
        thread.add_lost(missing);
        if thread.lost > 0 || thread.may_have_lost || (self.unattributed > 0 && self.events == 0) {
            let count =
                std::mem::take(&mut thread.lost).saturating_add(std::mem::take(&mut self.unattributed));
            thread.may_have_lost = false;
            let from_ns = thread.time_ns.map_or(parsed.time_ns, |time_ns| time_ns.min(parsed.time_ns));
            thread.time_ns = Some(parsed.time_ns);
            let lost = LostEvents { pid: parsed.pid, tid: parsed.tid, count, from_ns, to_ns: parsed.time_ns };
            let lost = lost.to_event(&self.names);
            self.push(lost)?;
        } else {
            thread.time_ns = thread.time_ns.max(Some(parsed.time_ns));
        }
        let event = self.to_event(parsed);
        self.events += 1;
        self.seen[parsed.marker as usize] = true;
        self.push(event)?;
        Ok(missing)
    }

    fn to_event(&self, parsed: &ParsedEvent) -> Event {
        let ParsedEvent { time_ns, pid, tid, marker, file, name, line, value, .. } = *parsed;
        let is_code = marker.is_code();
        // A marker's arguments do not include the first line of the code object.
        let code = || self.names.code(&Code { file, first_line: None, qualname: name }.to_string());
        let code = if is_code { code() } else { CodeId::NONE };
        let text = if is_code || name.is_empty() { TextId::NONE } else { self.names.text(name) };
        Event { time_ns, pid, tid, marker, code, line, value, text }
    }

    fn push(&mut self, event: Event) -> pyrec_schema::Result<()> {
        match self.buffer.push(event) {
            Some(earliest) => self.write(earliest),
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

    /// Writes the buffered events and ends the trace. `complete` fills in the manifest.
    pub fn finish(mut self, complete: impl FnOnce(&mut Manifest)) -> pyrec_schema::Result<()> {
        self.write_final_losses()?;
        while let Some(event) = self.buffer.pop() {
            self.write(event)?;
        }
        self.trace.write(&self.batch)?;
        let occurs = |group: &MarkerGroup| group.markers().iter().any(|&marker| self.seen[marker as usize]);
        let groups: Vec<MarkerGroup> = MarkerGroup::ALL.into_iter().filter(occurs).collect();
        let manifest = self.trace.manifest_mut();
        manifest.markers = group_names(&groups);
        complete(manifest);
        self.trace.finish().map(drop)
    }

    /// Writes a `lost` row for each thread that lost events after its last event.
    fn write_final_losses(&mut self) -> pyrec_schema::Result<()> {
        let mut threads: Vec<((i32, i32), ThreadState)> =
            self.threads.iter().map(|(&key, &thread)| (key, thread)).collect();
        threads.retain(|(_, thread)| thread.lost > 0 || thread.may_have_lost);
        threads.sort_unstable_by_key(|&(key, _)| key);
        for ((pid, tid), thread) in threads {
            // Only malformed lines name this thread, so it may not exist.
            let Some(time_ns) = thread.time_ns else { continue };
            let count = thread.lost.saturating_add(std::mem::take(&mut self.unattributed));
            let lost = LostEvents { pid, tid, count, from_ns: time_ns, to_ns: time_ns };
            let lost = lost.to_event(&self.names);
            self.push(lost)?;
        }
        Ok(())
    }
}

/// The names of marker groups, as the manifest lists them.
pub fn group_names(groups: &[MarkerGroup]) -> Vec<String> {
    groups.iter().map(|group| group.name().to_owned()).collect()
}

/// The call depth of a thread, in formats that show it by indentation.
#[derive(Clone, Copy, Debug, Default)]
struct CallDepth(Option<usize>);

impl CallDepth {
    /// Moves to the next line: an entry or a return at `depth`. Returns how many lines must be
    /// missing before it, at least.
    fn step(&mut self, is_entry: bool, depth: usize) -> u64 {
        let expected = self.0.map(|current| if is_entry { current } else { current.saturating_sub(1) });
        self.0 = Some(if is_entry { depth + 1 } else { depth });
        expected.map_or(0, |expected| expected.abs_diff(depth) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(steps: &[(bool, usize)]) -> Vec<u64> {
        let mut depth = CallDepth::default();
        steps.iter().map(|&(is_entry, level)| depth.step(is_entry, level)).collect()
    }

    #[test]
    fn a_return_has_the_depth_of_its_entry() {
        let calls = [(true, 3), (true, 4), (false, 4), (true, 4), (false, 4), (false, 3)];
        assert_eq!(missing(&calls), [0; 6]);
    }

    #[test]
    fn a_jump_in_depth_counts_the_missing_lines() {
        assert_eq!(missing(&[(true, 0), (true, 3), (false, 3), (false, 0)]), [0, 2, 0, 2]);
        // A second thread begins at depth 0.
        assert_eq!(missing(&[(true, 0), (true, 1), (true, 0)]), [0, 0, 2]);
    }
}
