//! A piece of a trace, rebuilt: a piece of each of its threads.

use pyrec_schema::{Batch, Event, Marker, Names};
use rustc_hash::FxHashMap;

use super::thread_piece::{ThreadPiece, TimedOp};
use super::{Repairs, StackOp, ThreadInfo, TraceCounts};
use crate::filter::TimeWindow;
use crate::order::{self, ThreadId};

/// Consecutive rows of a trace, rebuilt thread by thread. Two consecutive pieces can be joined into
/// one.
#[derive(Debug)]
pub struct TracePiece {
    /// Whether it begins the trace.
    is_first: bool,
    window: TimeWindow,
    /// The threads with rows in the piece.
    pub threads: FxHashMap<ThreadId, ThreadState>,
    /// Counts over all rows.
    pub counts: TraceCounts,
}

/// A piece of one thread.
#[derive(Debug)]
pub struct ThreadState {
    /// The calls.
    pub piece: ThreadPiece,
    /// Other facts from its rows.
    pub info: ThreadInfo,
}

impl TracePiece {
    /// The piece that begins the trace, without rows.
    pub fn first(window: TimeWindow) -> TracePiece {
        TracePiece { is_first: true, window, threads: FxHashMap::default(), counts: TraceCounts::default() }
    }

    /// A piece from the middle of the trace, without rows.
    pub fn middle(window: TimeWindow) -> TracePiece {
        TracePiece { is_first: false, ..TracePiece::first(window) }
    }

    /// Reads the next rows.
    pub fn push(&mut self, batch: &Batch, names: &Names) {
        self.counts.add(batch);
        for (thread, mut rows) in order::thread_runs(batch) {
            let state = self.thread(thread);
            // A source text has nothing to do with the thread and time of its row.
            let is_of_thread = |row: &usize| batch.marker[*row] != Marker::Source;
            if let (Some(first), Some(last)) =
                (rows.clone().find(is_of_thread), rows.clone().rfind(is_of_thread))
            {
                state.info.extend_span(batch.time_ns[first], batch.time_ns[last]);
            }
            while !rows.is_empty() {
                let plain = state.piece.push_plain(
                    &batch.time_ns[rows.clone()],
                    &batch.marker[rows.clone()],
                    &batch.code[rows.clone()],
                );
                state.info.events += plain as u64;
                rows.start += plain;
                let Some(row) = rows.next() else { break };
                let event = order::event_without_value(batch, row);
                if event.marker.is_event() {
                    state.info.events += 1;
                } else {
                    state.info.read(&Event { value: batch.value(row), ..event });
                }
                state.piece.push(TimedOp { time_ns: event.time_ns, op: StackOp::of(&event, names) });
            }
        }
    }

    /// Appends the piece that follows.
    pub fn join(&mut self, next: TracePiece) {
        self.counts.join(&next.counts);
        for (thread, after) in next.threads {
            let state = self.thread(thread);
            state.info.join(&after.info);
            state.piece.join(after.piece);
        }
    }

    /// Ends all threads and returns their repairs.
    pub fn repairs(self) -> Repairs {
        let mut repairs = Repairs::default();
        self.threads.into_values().for_each(|state| repairs += state.piece.finish().repairs);
        repairs
    }

    fn thread(&mut self, thread: ThreadId) -> &mut ThreadState {
        let (is_first, window) = (self.is_first, self.window);
        self.threads.entry(thread).or_insert_with(|| ThreadState {
            piece: if is_first { ThreadPiece::first(window) } else { ThreadPiece::middle(window) },
            info: ThreadInfo::default(),
        })
    }
}
