//! The rows of all threads as call events.

use pyrec_schema::{Columns, Event, Names, Trace};
use rustc_hash::FxHashMap;

use super::call::CallVisitor;
use super::thread::{ReaderState, ThreadCalls};
use crate::filter::TimeWindow;
use crate::order::{self, ThreadId};
use crate::tree::{FrameFilter, Repairs, StackOp, TraceCounts};
use crate::{Filter, Result};

/// What is counted over the whole trace, whatever the filter selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Rows by marker, lost events, and the time span.
    pub counts: TraceCounts,
    /// Repairs in all threads.
    pub repairs: Repairs,
    /// Bytes of truncated files that could not be read.
    pub torn_bytes: u64,
}

/// Reads a trace and calls `visit` with every event that the filter selects, file by file and row
/// group by row group, so the events of several threads alternate.
///
/// Events have default values in columns that are not in `columns`. The columns `value` and `text`
/// are always read.
pub fn read(
    trace: &Trace,
    filter: &Filter,
    columns: Columns,
    visit: &mut impl CallVisitor,
) -> Result<TraceSummary> {
    let columns = Columns { value: true, text: true, ..columns };
    let mut calls = CallStream::new(filter, trace.names(), order::time_window(trace, filter)?);
    let mut counts = TraceCounts::default();
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, columns)? {
                let batch = batch?;
                counts.add(&batch);
                batch.iter().try_for_each(|event| calls.push(&event, visit))?;
            }
        }
    }
    let repairs = calls.finish(visit)?;
    let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
    Ok(TraceSummary { counts, repairs, torn_bytes })
}

/// Turns rows into call events. The rows of one thread must come in that thread's order; threads
/// may alternate.
#[derive(Debug)]
pub struct CallStream<'a> {
    filter: &'a Filter,
    state: ReaderState<'a>,
    threads: Vec<(ThreadId, ThreadCalls)>,
    /// Positions in `threads`.
    positions: FxHashMap<ThreadId, usize>,
    /// The position of the thread of the last row. Most rows are of the same thread as the row
    /// before.
    recent: usize,
}

impl<'a> CallStream<'a> {
    /// A stream without rows. `window` is the time window of the filter in this trace
    /// ([`Filter::window`]).
    pub fn new(filter: &'a Filter, names: &'a Names, window: TimeWindow) -> Self {
        let state = ReaderState {
            frames: FrameFilter::new(filter, names),
            names,
            window,
            min_time_ns: i64::try_from(filter.min_time.as_nanos()).unwrap_or(i64::MAX),
            next_id: 0,
            repairs: Repairs::default(),
        };
        CallStream { filter, state, threads: Vec::new(), positions: FxHashMap::default(), recent: 0 }
    }

    /// Reads the next row and visits the events that follow from it.
    pub fn push(&mut self, event: &Event, visit: &mut impl CallVisitor) -> Result<()> {
        let op = StackOp::of(event, self.state.names);
        if op == StackOp::Ignore {
            return Ok(());
        }
        let thread = ThreadId::of(event);
        if self.threads.get(self.recent).is_none_or(|(recent, _)| *recent != thread) {
            self.recent = *self.positions.entry(thread).or_insert_with(|| {
                let is_selected = self.filter.selects_thread(thread.pid, thread.tid);
                self.threads.push((thread, ThreadCalls::new(is_selected)));
                self.threads.len() - 1
            });
        }
        self.threads[self.recent].1.push(op, event, &mut self.state, visit)
    }

    /// Ends the trace: calls that are open end as [`super::Ending::StillOpen`]. Returns the repairs
    /// in all threads.
    pub fn finish(mut self, visit: &mut impl CallVisitor) -> Result<Repairs> {
        self.threads.sort_unstable_by_key(|&(thread, _)| thread);
        for (_, calls) in &mut self.threads {
            calls.finish(&mut self.state, visit)?;
        }
        Ok(self.state.repairs)
    }
}
