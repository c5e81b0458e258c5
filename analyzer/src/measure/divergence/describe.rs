//! The reported form of divergences: ids replaced by names and source locations.

use pyrec_schema::{TextId, Trace};
use serde::Serialize;

use super::call_key::{CallOutcome, FunctionKey};
use super::locate::ThreadState;
use super::run_subtrees::RunSubtrees;
use super::structural_hash::SubtreeId;
use super::tree_diff::{Convergence, DivergencePoint};
use crate::measure::source_location::FrameLocation;
use crate::measure::{FrameNames, SourceLocation};
use crate::order::ThreadId;
use crate::tree::Frame;

/// The most rows of a call outline.
const OUTLINE_ROWS: usize = 8;

/// The greatest depth of calls in an outline.
const OUTLINE_DEPTH: usize = 2;

/// A divergence of two threads. It stands for all divergences of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// The number of points with a divergence of this kind, of which this is the first.
    pub places: u64,
    /// The old run at this point.
    pub old: DivergenceSide,
    /// The new run at this point.
    pub new: DivergenceSide,
    /// The last calls in common before this point, in the call in which the threads diverge.
    pub before: Vec<CallSummary>,
    /// The next call in common; none where the call in which they diverge ends.
    pub then: Option<CallSummary>,
}

/// One run at the point of a divergence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DivergenceSide {
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
    /// The thread's name.
    pub thread: Option<String>,
    /// The number of calls that the thread has made before.
    pub number: u64,
    /// The time since the first event of the trace.
    pub time_ns: Option<i64>,
    /// The open calls, the innermost first.
    pub stack: Vec<SourceLocation>,
    /// The most recently executed lines, the oldest first, where lines were recorded.
    pub lines: Vec<SourceLocation>,
    /// An outline of the calls that only this run makes.
    pub only: Vec<CallSummary>,
    /// The number of these calls, without the calls in them.
    pub only_count: u64,
    /// The number of these calls, with the calls in them.
    pub only_calls: u64,
    /// How the call in which the threads diverge ends, if it ends before they agree again.
    pub ends: Option<CallOutcome>,
    /// Whether events of the thread were lost before, so that the divergence may be an effect of
    /// the loss.
    pub after_loss: bool,
}

/// A row of a call outline: one call, or several adjacent equal ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallSummary {
    /// The depth below the outline's outermost calls.
    pub depth: usize,
    /// The function.
    #[serde(flatten)]
    pub function: SourceLocation,
    /// The number of adjacent equal calls.
    pub times: u64,
    /// How they ended.
    pub ended: CallOutcome,
    /// The number of calls in all of them, themselves included.
    pub calls: u64,
}

/// A thread that has no counterpart in the other run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnpairedThread {
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
    /// The thread's name.
    pub thread: Option<String>,
    /// The number of calls that it made.
    pub calls: u64,
}

/// Replaces ids by names.
pub struct Describer<'a> {
    /// The traces of both runs, the old one first.
    pub traces: [&'a Trace; 2],
    /// The names of frames in each.
    pub frame_names: [FrameNames<'a>; 2],
    /// The runs.
    pub runs: &'a [RunSubtrees; 2],
    /// The frames of each function in both runs, by function key.
    pub frames: &'a [[Option<Frame>; 2]],
}

impl Describer<'_> {
    /// A thread that has no counterpart.
    pub fn unpaired(&self, side: usize, thread: usize) -> UnpairedThread {
        let run = &self.runs[side].threads[thread];
        let (calls, ThreadId { pid, tid }) = (self.calls(side, thread), run.thread.thread);
        UnpairedThread { pid, tid, thread: self.thread_name(side, run.name), calls }
    }

    /// The number of calls of a thread.
    pub fn calls(&self, side: usize, thread: usize) -> u64 {
        self.runs[side].subtrees.calls(self.runs[side].threads[thread].subtree) - 1
    }

    fn thread_name(&self, side: usize, name: TextId) -> Option<String> {
        self.traces[side].names().text_str(name).map(|name| name.to_string())
    }

    /// The time of a state since the first event of the trace.
    pub fn time_ns(&self, side: usize, state: &Option<ThreadState>) -> Option<i64> {
        let first_ns = self.runs[side].summary.counts.first_ns;
        state.as_ref().map(|state| state.time_ns.saturating_sub(first_ns))
    }

    /// A divergence of two threads, given by their indices, with the states of both threads.
    pub fn divergence(
        &self,
        (old, new): (usize, usize),
        point: &DivergencePoint,
        places: u64,
        [old_state, new_state]: [Option<ThreadState>; 2],
    ) -> Divergence {
        let then = match point.then {
            Convergence::Equal(subtree) | Convergence::Pair(subtree) => self.outline(0, &[subtree], 1).pop(),
            Convergence::End(_) => None,
        };
        let before = self.outline(0, &point.before, OUTLINE_ROWS);
        Divergence {
            places,
            old: self.side(0, old, point, old_state),
            new: self.side(1, new, point, new_state),
            before: before.into_iter().filter(|call| call.depth == 0).collect(),
            then,
        }
    }

    fn side(
        &self,
        side: usize,
        thread: usize,
        point: &DivergencePoint,
        state: Option<ThreadState>,
    ) -> DivergenceSide {
        let time_ns = self.time_ns(side, &state);
        let state = state.unwrap_or_default();
        let locations = |locations: Vec<FrameLocation>| {
            let location = |location| SourceLocation::of(location, &self.frame_names[side]);
            locations.into_iter().map(location).collect()
        };
        let run = &self.runs[side].threads[thread];
        let number = point.number[side];
        DivergenceSide {
            pid: run.thread.thread.pid,
            tid: run.thread.thread.tid,
            thread: self.thread_name(side, run.name),
            number,
            time_ns,
            stack: locations(state.stack),
            lines: locations(state.lines),
            only: self.outline(side, &point.only[side], OUTLINE_ROWS),
            only_count: point.only_calls[side].0,
            only_calls: point.only_calls[side].1,
            ends: match point.then {
                Convergence::End(outcomes) => Some(outcomes[side]),
                _ => None,
            },
            after_loss: run.lost_at.is_some_and(|lost_at| lost_at <= number),
        }
    }

    /// These calls and their callees in preorder, in at most that many rows.
    fn outline(&self, side: usize, calls: &[SubtreeId], max_rows: usize) -> Vec<CallSummary> {
        let subtrees = &self.runs[side].subtrees;
        let mut rows = Vec::new();
        // Calls that are not in the outline yet, with their depth; the next ones last.
        let mut waiting: Vec<(usize, &[SubtreeId])> = vec![(0, calls)];
        while let Some((depth, calls)) = waiting.pop() {
            let Some(&first) = calls.first() else { continue };
            if rows.len() == max_rows {
                break;
            }
            let hash = subtrees.hash(first);
            let times = calls.iter().take_while(|&&call| subtrees.hash(call) == hash).count();
            let frame = self.frame(side, subtrees.key(first).function());
            rows.push(CallSummary {
                depth,
                function: SourceLocation::of(FrameLocation { frame, line: 0 }, &self.frame_names[side]),
                times: times as u64,
                ended: subtrees.key(first).outcome(),
                calls: subtrees.calls(first).saturating_mul(times as u64),
            });
            waiting.push((depth, &calls[times..]));
            if depth < OUTLINE_DEPTH {
                waiting.push((depth + 1, subtrees.callees(first)));
            }
        }
        rows
    }

    fn frame(&self, side: usize, function: FunctionKey) -> Frame {
        self.frames.get(function as usize).and_then(|frames| frames[side]).unwrap_or(Frame::Lost)
    }
}
