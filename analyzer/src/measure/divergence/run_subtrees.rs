//! The first pass over a run: one subtree for each thread, and points from which the second pass
//! can start.

use pyrec_schema::{Batch, Columns, Event, Marker, TextId, Trace};
use rustc_hash::FxHashMap;

use super::call_key::TransitionTexts;
use super::function_table::FunctionTable;
use super::replay::{ReplayContext, RowColumns, ThreadReplay};
use super::structural_hash::SubtreeId;
use super::subtree_builder::SubtreeBuilder;
use super::subtrees::Subtrees;
use crate::calls::TraceSummary;
use crate::measure::FrameNames;
use crate::measure::source_location::FrameLocation;
use crate::order::{self, ThreadId};
use crate::tree::{Frame, Repairs, StackOp, TraceCounts};
use crate::{Filter, Result};

/// The replay states at the start of a row group are kept only if their threads and open calls are
/// at most that many.
const MAX_SAVED_CALLS: usize = 20_000;

/// A run as subtrees.
#[derive(Debug)]
pub struct RunSubtrees {
    /// The threads, in the order in which they ended.
    pub threads: Vec<ThreadSubtree>,
    /// The distinct subtrees of all threads.
    pub subtrees: Subtrees,
    /// The frames of the functions, by key.
    pub frames: Vec<Frame>,
    /// The command of each process, by process id, where it is known.
    pub commands: FxHashMap<i32, TextId>,
    /// Counts and repairs of the whole trace.
    pub summary: TraceSummary,
    /// The row groups of the trace, in order.
    pub row_groups: Vec<RowGroupStart>,
}

/// A thread from its start to its end. The system reuses thread ids, so an id alone does not
/// identify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadIncarnation {
    /// The process and thread id.
    pub thread: ThreadId,
    /// The number of earlier threads with that id.
    pub incarnation: u32,
}

/// A thread with the subtree of its calls.
#[derive(Debug)]
pub struct ThreadSubtree {
    /// The thread.
    pub thread: ThreadIncarnation,
    /// The thread's name.
    pub name: TextId,
    /// The time of its first row.
    pub first_ns: i64,
    /// The time of its last row.
    pub last_ns: i64,
    /// Its most recently executed lines at its end, the oldest first.
    pub lines: Vec<FrameLocation>,
    /// Its calls, below [`THREAD_ROOT`](super::call_key::THREAD_ROOT).
    pub subtree: SubtreeId,
    /// The number of calls before the first loss of events, if there was one.
    pub lost_at: Option<u64>,
    /// The numbers of entries that never returned and were no calls, in ascending order.
    pub not_calls: Vec<u64>,
}

/// The start of a row group, with the state of the replay there.
#[derive(Debug)]
pub struct RowGroupStart {
    /// The index of the file in the trace.
    pub file: usize,
    /// The index of the row group in the file.
    pub row_group: usize,
    /// The replay of each thread; none where they were too large to keep.
    pub replays: Option<ThreadReplays>,
}

/// The replays of threads, each with the number of earlier threads with its id.
pub type ThreadReplays = FxHashMap<ThreadId, (u32, ThreadReplay)>;

/// A thread that has not ended.
#[derive(Debug)]
struct LiveThread {
    replay: ThreadReplay,
    builder: SubtreeBuilder,
    incarnation: u32,
    name: TextId,
    first_ns: Option<i64>,
    lost_at: Option<u64>,
}

impl LiveThread {
    /// Ends the thread; none if it made no calls and lost no events.
    fn end(&mut self, thread: ThreadId, subtrees: &mut Subtrees) -> Option<ThreadSubtree> {
        let calls = self.replay.number();
        let (subtree, not_calls) = self.builder.finish(subtrees);
        let (first_ns, lost_at) = (self.first_ns.take(), self.lost_at.take());
        let ended = ThreadSubtree {
            thread: ThreadIncarnation { thread, incarnation: self.incarnation },
            name: std::mem::take(&mut self.name),
            first_ns: first_ns?,
            last_ns: self.replay.now_ns(),
            lines: self.replay.lines().collect(),
            subtree,
            lost_at,
            not_calls,
        };
        self.incarnation += 1;
        self.replay.restart();
        (calls > 0 || lost_at.is_some()).then_some(ended)
    }
}

/// Reads a run.
struct RunReader<'a> {
    filter: &'a Filter,
    context: ReplayContext<'a>,
    live: FxHashMap<ThreadId, LiveThread>,
    ended: Vec<ThreadSubtree>,
    commands: FxHashMap<i32, TextId>,
    counts: TraceCounts,
}

/// The columns that both passes read: lines only where they were recorded.
pub fn columns(trace: &Trace) -> Columns {
    let line = trace.manifest().markers.iter().any(|group| group == "line");
    Columns { line, value: true, text: true }
}

impl RunSubtrees {
    /// Reads a trace.
    pub fn read(trace: &Trace, filter: &Filter, transitions: TransitionTexts) -> Result<RunSubtrees> {
        let mut reader = RunReader {
            filter,
            context: replay_context(trace, filter, transitions)?,
            live: FxHashMap::default(),
            ended: vec![],
            commands: FxHashMap::default(),
            counts: TraceCounts::default(),
        };
        let mut row_groups = Vec::new();
        for (file_index, file) in trace.files().iter().enumerate() {
            for row_group in 0..file.row_groups() {
                let batches = file.read(row_group, columns(trace))?;
                row_groups.push(RowGroupStart { file: file_index, row_group, replays: reader.replays() });
                for batch in batches {
                    reader.push(&batch?, trace);
                }
            }
        }
        Ok(reader.finish(trace, row_groups))
    }
}

/// The context of a replay of a trace from its first row.
pub fn replay_context<'a>(
    trace: &'a Trace,
    filter: &'a Filter,
    transitions: TransitionTexts,
) -> Result<ReplayContext<'a>> {
    let frame_names = FrameNames::new(trace.names(), trace.manifest());
    Ok(ReplayContext {
        functions: FunctionTable::new(trace.names(), frame_names, filter),
        subtrees: Subtrees::default(),
        transitions,
        repairs: Repairs::default(),
        window: order::time_window(trace, filter)?,
    })
}

impl RunReader<'_> {
    /// Copies the replay of each thread, unless they are too large.
    fn replays(&self) -> Option<ThreadReplays> {
        let calls: usize = self.live.values().map(|live| 1 + live.replay.depth()).sum();
        let replay =
            |(&thread, live): (&ThreadId, &LiveThread)| (thread, (live.incarnation, live.replay.clone()));
        (calls <= MAX_SAVED_CALLS).then(|| self.live.iter().map(replay).collect())
    }

    fn push(&mut self, batch: &Batch, trace: &Trace) {
        self.counts.add(batch);
        for (thread, mut rows) in order::thread_runs(batch) {
            let live = self.live.entry(thread).or_insert_with(|| {
                let is_wanted = self.filter.selects_thread(thread.pid, thread.tid);
                LiveThread {
                    replay: ThreadReplay::new(is_wanted, self.context.functions.is_open()),
                    builder: SubtreeBuilder::default(),
                    incarnation: 0,
                    name: TextId::NONE,
                    first_ns: None,
                    lost_at: None,
                }
            });
            while !rows.is_empty() {
                let columns = RowColumns {
                    times_ns: &batch.time_ns[rows.clone()],
                    markers: &batch.marker[rows.clone()],
                    codes: &batch.code[rows.clone()],
                    lines: &batch.line[rows.clone()],
                    texts: &batch.text[rows.clone()],
                };
                rows.start += live.replay.push_plain(columns, &mut self.context, &mut live.builder);
                let Some(row) = rows.next() else { break };
                let event = Event { value: batch.value(row), ..order::event_without_value(batch, row) };
                if event.marker != Marker::Source {
                    live.first_ns = live.first_ns.or(Some(event.time_ns));
                }
                match event.marker {
                    Marker::Lost => live.lost_at = live.lost_at.or(Some(live.replay.number())),
                    Marker::ThreadStart if event.text != TextId::NONE => live.name = event.text,
                    Marker::ProcessStart if event.text != TextId::NONE => {
                        self.commands.entry(event.pid).or_insert(event.text);
                    }
                    _ => {}
                }
                let step = StackOp::of(&event, trace.names());
                live.replay.push(step, &event, &mut self.context, &mut live.builder);
                if event.marker == Marker::ThreadExit {
                    self.ended.extend(live.end(thread, &mut self.context.subtrees));
                }
            }
        }
    }

    fn finish(mut self, trace: &Trace, row_groups: Vec<RowGroupStart>) -> RunSubtrees {
        let mut live: Vec<(ThreadId, LiveThread)> = self.live.into_iter().collect();
        live.sort_unstable_by_key(|&(thread, _)| thread);
        for (thread, mut live) in live {
            live.replay.finish(&mut self.context, &mut live.builder);
            self.ended.extend(live.end(thread, &mut self.context.subtrees));
        }
        self.context.subtrees.finish();
        let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
        RunSubtrees {
            threads: self.ended,
            subtrees: self.context.subtrees,
            frames: self.context.functions.into_frames(),
            commands: self.commands,
            summary: TraceSummary { counts: self.counts, repairs: self.context.repairs, torn_bytes },
            row_groups,
        }
    }
}
