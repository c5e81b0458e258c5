//! Call trees: the calls of a trace, merged by call path. `docs/design/tree.md` specifies the
//! rules.
//!
//! ```text
//! row groups ─▶ TracePiece ─▶ … join … ─▶ TracePiece ─▶ FrameFilter ─▶ CallTree ─▶ Profile
//!                  │ for each thread
//!                  └ ThreadPiece: Stack, Nodes, Repairs
//! ```

mod child_index;
mod counts;
mod frame_filter;
mod groups;
mod histogram;
mod nodes;
mod profile;
mod read;
mod stack;
mod thread_info;
mod thread_piece;
mod trace_piece;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use pyrec_schema::{Batch, Manifest, Names, Trace};

use crate::order::{self, ThreadId};
use crate::{Filter, Result};

pub(crate) use counts::saturating_sum;
pub use counts::{Repairs, TraceCounts};
pub(crate) use frame_filter::{FrameFilter, add_filtered};
pub use groups::{GroupBy, GroupCalls, GroupKey, GroupedCalls, GroupsBuilder};
pub use histogram::DurationHistogram;
pub use nodes::{Node, NodeId, Nodes, ROOT, Tally, WalkEvent};
pub use profile::ProfileMetadata;
pub use stack::Frame;
pub(crate) use stack::{OpenFrame, Stack, StackOp};
pub use thread_info::{ProcessInfo, ThreadInfo};
use thread_piece::RebuiltThread;
#[cfg(test)]
pub(crate) use thread_piece::TimedOp;
pub(crate) use trace_piece::TracePiece;

/// The calls of a trace, merged: one node for each distinct call path.
#[derive(Debug)]
pub struct CallTree {
    /// The call paths that the filter selects, merged over all threads.
    pub nodes: Nodes,
    /// The strings of the frames' ids.
    pub names: Arc<Names>,
    /// The manifest of the recording.
    pub manifest: Manifest,
    /// Counts over the whole trace.
    pub counts: TraceCounts,
    /// The threads of the whole trace, in the order of their ids.
    pub threads: Vec<ThreadSummary>,
    /// Bytes of truncated files that could not be read.
    pub torn_bytes: u64,
    /// Reports leave out what took less, in nanoseconds.
    pub min_time_ns: u64,
}

/// A thread of the trace, without its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadSummary {
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
    /// Time in calls, in nanoseconds.
    pub in_calls_ns: u64,
    /// Repairs in the thread.
    pub repairs: Repairs,
    /// Other facts from its rows.
    pub info: ThreadInfo,
}

impl ThreadSummary {
    /// Whether there are rows of the thread other than the recorder's own.
    pub fn has_events(&self) -> bool {
        self.info.events > 0 || self.repairs.total() > 0
    }
}

impl CallTree {
    /// Reads a trace and keeps what the filter selects.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<CallTree> {
        let piece = CallTree::rebuild(trace, filter)?;
        Ok(CallTree::of(piece, filter, trace.names().clone(), trace.manifest().clone(), torn_bytes(trace)))
    }

    /// Reads a trace and returns the call paths of each selected thread separately, with the
    /// thread's position in [`CallTree::threads`]. The returned tree has no call paths.
    pub fn read_by_thread(trace: &Trace, filter: &Filter) -> Result<(CallTree, Vec<(usize, Nodes)>)> {
        let mut by_thread = Vec::new();
        let piece = CallTree::rebuild(trace, filter)?;
        let (names, manifest) = (trace.names().clone(), trace.manifest().clone());
        let calls = CallTree::build(piece, filter, names, manifest, torn_bytes(trace), Some(&mut by_thread));
        Ok((calls, by_thread))
    }

    /// Builds a call tree from batches in memory. Each batch is rebuilt as a piece and joined to
    /// those before it.
    pub fn of_rows(batches: &[Batch], filter: &Filter, names: Arc<Names>, manifest: Manifest) -> CallTree {
        let events = batches.iter().flat_map(Batch::iter).filter(|event| event.marker.is_event());
        let origin_ns = events.map(|event| event.time_ns).min();
        let window = filter.window(origin_ns.unwrap_or(0));
        let mut piece = TracePiece::first(window);
        for batch in batches {
            let mut next = TracePiece::middle(window);
            next.push(batch, &names);
            piece.join(next);
        }
        CallTree::of(piece, filter, names, manifest, 0)
    }

    fn rebuild(trace: &Trace, filter: &Filter) -> Result<TracePiece> {
        read::rebuild(trace, order::time_window(trace, filter)?)
    }

    /// Finishes the threads of a rebuilt trace and keeps what the filter selects.
    pub(crate) fn of(
        piece: TracePiece,
        filter: &Filter,
        names: Arc<Names>,
        manifest: Manifest,
        torn_bytes: u64,
    ) -> CallTree {
        CallTree::build(piece, filter, names, manifest, torn_bytes, None)
    }

    /// Builds the tree, with the call paths in `by_thread` if that is given.
    fn build(
        piece: TracePiece,
        filter: &Filter,
        names: Arc<Names>,
        manifest: Manifest,
        torn_bytes: u64,
        mut by_thread: Option<&mut Vec<(usize, Nodes)>>,
    ) -> CallTree {
        let mut nodes = Nodes::default();
        let mut threads = Vec::new();
        let mut frame_filter = FrameFilter::new(filter, &names);
        let counts = piece.counts;
        let mut pieces: Vec<_> = piece.threads.into_iter().collect();
        pieces.sort_unstable_by_key(|&(thread, _)| thread);
        for (ThreadId { pid, tid }, thread) in pieces {
            let RebuiltThread { nodes: mut all, repairs } = thread.piece.finish();
            if filter.selects_thread(pid, tid) {
                let mut own = Nodes::default();
                add_filtered(
                    &mut all,
                    &mut frame_filter,
                    if by_thread.is_some() { &mut own } else { &mut nodes },
                );
                by_thread.iter_mut().for_each(|paths| paths.push((threads.len(), std::mem::take(&mut own))));
            }
            let in_calls = all.iter().filter(|(_, node)| node.frame.is_call());
            let in_calls_ns = saturating_sum(in_calls.map(|(_, node)| node.tally.self_ns));
            threads.push(ThreadSummary { pid, tid, in_calls_ns, repairs, info: thread.info });
        }
        let min_time_ns = filter.min_time_ns();
        CallTree { nodes, names, manifest, counts, threads, torn_bytes, min_time_ns }
    }

    /// The repairs in all threads.
    pub fn repairs(&self) -> Repairs {
        let mut repairs = Repairs::default();
        self.threads.iter().for_each(|thread| repairs += thread.repairs);
        repairs
    }
}

fn torn_bytes(trace: &Trace) -> u64 {
    trace.files().iter().map(|file| file.torn_bytes()).sum()
}
