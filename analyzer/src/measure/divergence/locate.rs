//! The second pass over a run: reads again the row groups with divergence points, and captures
//! time, stack and lines there.

use pyrec_schema::{Event, Marker, Trace};
use rustc_hash::{FxHashMap, FxHashSet};

use super::call_key::{CallOutcome, TransitionTexts};
use super::replay::{CallObserver, OpenCall, ReplayContext, ThreadReplay};
use super::run_subtrees::{self, RunSubtrees, ThreadIncarnation, ThreadReplays, ThreadSubtree};
use super::subtrees::Subtrees;
use super::tree_diff::NextStep;
use crate::measure::source_location::FrameLocation;
use crate::order::{self, ThreadId};
use crate::tree::{OpenFrame, StackOp};
use crate::{Filter, Result};

/// The state of a thread at a point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadState {
    /// The time.
    pub time_ns: i64,
    /// The open calls, the innermost first.
    pub stack: Vec<FrameLocation>,
    /// The most recently executed lines, the oldest first.
    pub lines: Vec<FrameLocation>,
}

/// A point to look for. Numbers are those of the replay, which also counts entries that turn out to
/// be no calls.
#[derive(Clone, Copy, Debug)]
struct Query {
    /// The index of the point in the result.
    point: usize,
    thread: ThreadIncarnation,
    /// Whether the point is the end of the call, instead of its entry.
    is_end: bool,
    /// The number of the call.
    number: u64,
    /// The number of the last call that is entered before the point or at it. Reading starts with a
    /// row group that begins before that call.
    from: u64,
}

/// Captures the state at points of a run, each given by the index of its thread and the next step
/// there.
///
/// The result has the order of the points. It is none where a point was not found.
pub fn locate(
    trace: &Trace,
    filter: &Filter,
    transitions: TransitionTexts,
    run: &RunSubtrees,
    points: &[(usize, NextStep)],
) -> Result<Vec<Option<ThreadState>>> {
    let mut states = vec![None; points.len()];
    let mut queries = Vec::new();
    for (point, &(thread, next)) in points.iter().enumerate() {
        let thread = &run.threads[thread];
        match next {
            NextStep::EndOfThread => states[point] = Some(final_state(thread)),
            NextStep::Enter(number) => queries.push(query(point, thread, false, number, number)),
            NextStep::Leave(number, last) => queries.push(query(point, thread, true, number, last)),
        }
    }
    let mut locator = Locator::new(&queries, states);
    locator.read(trace, filter, transitions, run, &queries)?;
    Ok(locator.states)
}

fn final_state(thread: &ThreadSubtree) -> ThreadState {
    ThreadState { time_ns: thread.last_ns, stack: vec![], lines: thread.lines.clone() }
}

fn query(point: usize, thread: &ThreadSubtree, is_end: bool, number: u64, from: u64) -> Query {
    let [number, from] = [number, from].map(|number| replay_number(number, &thread.not_calls));
    Query { point, thread: thread.thread, is_end, number, from }
}

/// The number that the replay gives to the call with that many calls before it. `not_calls` are the
/// numbers that the replay gave to entries that were no calls.
fn replay_number(number: u64, not_calls: &[u64]) -> u64 {
    let (mut low, mut high) = (0, not_calls.len());
    while low < high {
        let middle = (low + high) / 2;
        if not_calls[middle] - middle as u64 <= number { low = middle + 1 } else { high = middle }
    }
    number + low as u64
}

/// Captures the state where a query matches.
struct Locator {
    /// The points of each thread, by whether they are at the end of a call, and the number of the
    /// call.
    points: FxHashMap<(ThreadIncarnation, bool, u64), Vec<usize>>,
    /// The thread whose rows are replayed.
    current: ThreadIncarnation,
    states: Vec<Option<ThreadState>>,
}

impl Locator {
    fn new(queries: &[Query], states: Vec<Option<ThreadState>>) -> Locator {
        let mut points: FxHashMap<_, Vec<usize>> = FxHashMap::default();
        for query in queries {
            points.entry((query.thread, query.is_end, query.number)).or_default().push(query.point);
        }
        let current = ThreadIncarnation { thread: ThreadId { pid: 0, tid: 0 }, incarnation: 0 };
        Locator { points, current, states }
    }

    /// Reads each row group that can contain a point which has not been found.
    fn read(
        &mut self,
        trace: &Trace,
        filter: &Filter,
        transitions: TransitionTexts,
        run: &RunSubtrees,
        queries: &[Query],
    ) -> Result<()> {
        let mut context = run_subtrees::replay_context(trace, filter, transitions)?;
        let threads: FxHashSet<ThreadId> = queries.iter().map(|query| query.thread.thread).collect();
        let starts: Vec<usize> = queries.iter().map(|query| first_row_group(run, query)).collect();
        let mut replays: Option<ThreadReplays> = None;
        for (index, row_group) in run.row_groups.iter().enumerate() {
            let is_needed = |states: &[Option<ThreadState>]| {
                let is_missing =
                    |(query, &start): (&Query, &usize)| start <= index && states[query.point].is_none();
                queries.iter().zip(&starts).any(is_missing)
            };
            if !is_needed(&self.states) {
                replays = None;
                continue;
            }
            for batch in
                trace.files()[row_group.file].read(row_group.row_group, run_subtrees::columns(trace))?
            {
                // All points were found: the rest of the row group is not needed.
                if !is_needed(&self.states) {
                    replays = None;
                    break;
                }
                let batch = batch?;
                let replays = replays.get_or_insert_with(|| row_group.replays.clone().unwrap_or_default());
                for (thread, rows) in
                    order::thread_runs(&batch).filter(|(thread, _)| threads.contains(thread))
                {
                    let (incarnation, replay) = replays.entry(thread).or_insert_with(|| {
                        let is_wanted = filter.selects_thread(thread.pid, thread.tid);
                        (0, ThreadReplay::new(is_wanted, context.functions.is_open()))
                    });
                    for row in rows {
                        self.current = ThreadIncarnation { thread, incarnation: *incarnation };
                        let event =
                            Event { value: batch.value(row), ..order::event_without_value(&batch, row) };
                        replay.push(StackOp::of(&event, trace.names()), &event, &mut context, self);
                        if event.marker == Marker::ThreadExit {
                            *incarnation += 1;
                            replay.restart();
                        }
                    }
                }
            }
        }
        self.finish(replays, &mut context);
        Ok(())
    }

    /// Ends the threads that are open where the trace ends.
    fn finish(&mut self, replays: Option<ThreadReplays>, context: &mut ReplayContext) {
        for (thread, (incarnation, mut replay)) in replays.into_iter().flatten() {
            self.current = ThreadIncarnation { thread, incarnation };
            replay.finish(context, self);
        }
    }

    fn capture(&mut self, is_end: bool, number: u64, state: impl FnOnce() -> ThreadState) {
        if let Some(points) = self.points.get(&(self.current, is_end, number)) {
            let state = state();
            points.iter().for_each(|&point| self.states[point] = Some(state.clone()));
        }
    }
}

impl CallObserver for Locator {
    fn pending(&self) -> usize {
        0
    }

    fn enter(&mut self, replay: &ThreadReplay, number: u64, time_ns: i64) {
        let state =
            || ThreadState { time_ns, stack: replay.callers().collect(), lines: replay.lines().collect() };
        self.capture(false, number, state);
    }

    fn leave(
        &mut self,
        replay: &ThreadReplay,
        open: &OpenFrame<OpenCall>,
        _: Option<CallOutcome>,
        _: &mut Subtrees,
    ) {
        self.capture(true, open.data.number, || ThreadState {
            time_ns: replay.now_ns(),
            stack: [FrameLocation { frame: open.frame, line: open.data.line }]
                .into_iter()
                .chain(replay.callers())
                .collect(),
            lines: replay.lines().collect(),
        });
    }
}

/// The index of the last row group that begins before a point and has saved replays; 0 if there is
/// none.
fn first_row_group(run: &RunSubtrees, query: &Query) -> usize {
    let begins_before = |replays: &ThreadReplays| match replays.get(&query.thread.thread) {
        Some((incarnation, replay)) => {
            (*incarnation, replay.number()) <= (query.thread.incarnation, query.from)
        }
        None => true,
    };
    run.row_groups.iter().rposition(|start| start.replays.as_ref().is_some_and(begins_before)).unwrap_or(0)
}
