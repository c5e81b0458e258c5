//! One of the two runs: its threads, each with its shape.

use pyrec_schema::{Batch, Columns, Event, Marker, TextId, Trace};
use rustc_hash::FxHashMap;

use super::folder::Folder;
use super::head::Hows;
use super::keys::Lookup;
use super::shapes::{ShapeId, Shapes};
use super::walk::{Eye, Rows, Walk};
use crate::calls::TraceSummary;
use crate::measure::Naming;
use crate::measure::place::Spot;
use crate::order::{self, ThreadId};
use crate::tree::{Frame, Repairs, StackOp, TraceCounts};
use crate::{Filter, Result};

/// The threads are kept as they are where a row group begins, unless they have more open calls than this.
const MOST_OPEN: usize = 20_000;

/// One of the two runs.
#[derive(Debug)]
pub struct Run {
    /// Its threads, in the order in which they ended.
    pub threads: Vec<ThreadRun>,
    /// What they are made of.
    pub shapes: Shapes,
    /// The functions in it, by their numbers.
    pub frames: Vec<Frame>,
    /// The command of each process, where it is known.
    pub commands: FxHashMap<i32, TextId>,
    /// What the trace holds.
    pub seen: TraceSummary,
    /// From where rows can be read again, in order.
    pub starts: Vec<RowGroup>,
}

/// A thread, from its start to its end. Another one may have had its number before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// Its number.
    pub thread: ThreadId,
    /// How many had it before.
    pub before: u32,
}

/// What a thread did.
#[derive(Debug)]
pub struct ThreadRun {
    /// Which one.
    pub life: Life,
    /// Its name.
    pub name: TextId,
    /// When it was first heard of.
    pub first_ns: i64,
    /// When it was last heard of.
    pub last_ns: i64,
    /// The lines that were executed last in it.
    pub lines: Vec<Spot>,
    /// Its calls.
    pub shape: ShapeId,
    /// How many calls had been told when events were first lost.
    pub lost_at: Option<u64>,
    /// The numbers of calls that turned out to be none.
    pub none: Vec<u64>,
}

/// A row group, and how far each thread was where it begins.
#[derive(Debug)]
pub struct RowGroup {
    /// The file that it is in.
    pub file: usize,
    /// Which one of that file.
    pub number: usize,
    /// The threads; none where too much was open.
    pub walks: Option<Walks>,
}

/// How far threads are, with how many had their number before.
pub type Walks = FxHashMap<ThreadId, (u32, Walk)>;

/// A thread that runs.
#[derive(Debug)]
struct Running {
    walk: Walk,
    folder: Folder,
    before: u32,
    name: TextId,
    first_ns: Option<i64>,
    lost_at: Option<u64>,
}

impl Running {
    fn end(&mut self, thread: ThreadId, shapes: &mut Shapes) -> Option<ThreadRun> {
        let number = self.walk.number();
        let (shape, none) = self.folder.end(shapes);
        let (first_ns, lost_at) = (self.first_ns.take(), self.lost_at.take());
        let life = Life { thread, before: self.before };
        let run = ThreadRun {
            life,
            name: std::mem::take(&mut self.name),
            first_ns: first_ns?,
            last_ns: self.walk.now_ns(),
            lines: self.walk.lines().collect(),
            shape,
            lost_at,
            none,
        };
        self.before += 1;
        self.walk.restart();
        (number > 0 || lost_at.is_some()).then_some(run)
    }
}

/// The reading of a run.
struct Reading<'a> {
    filter: &'a Filter,
    eye: Eye<'a>,
    running: FxHashMap<ThreadId, Running>,
    ended: Vec<ThreadRun>,
    commands: FxHashMap<i32, TextId>,
    counts: TraceCounts,
}

/// Columns that are read: lines where there are some.
pub fn columns(trace: &Trace) -> Columns {
    let line = trace.manifest().markers.iter().any(|group| group == "line");
    Columns { line, value: true, text: true }
}

impl Run {
    /// Reads it.
    pub fn read(trace: &Trace, filter: &Filter, hows: Hows) -> Result<Run> {
        let mut reading = Reading {
            filter,
            eye: eye(trace, filter, hows)?,
            running: FxHashMap::default(),
            ended: vec![],
            commands: FxHashMap::default(),
            counts: TraceCounts::default(),
        };
        let mut starts = Vec::new();
        for (number, file) in trace.files().iter().enumerate() {
            for row_group in 0..file.row_groups() {
                let batches = file.read(row_group, columns(trace))?;
                starts.push(RowGroup { file: number, number: row_group, walks: reading.walks() });
                for batch in batches {
                    reading.push(&batch?, trace);
                }
            }
        }
        Ok(reading.finish(trace, starts))
    }
}

/// What sees the rows of a trace.
pub fn eye<'a>(trace: &'a Trace, filter: &'a Filter, hows: Hows) -> Result<Eye<'a>> {
    let naming = Naming::new(trace.names(), trace.manifest());
    Ok(Eye {
        lookup: Lookup::new(trace.names(), naming, filter),
        shapes: Shapes::default(),
        hows,
        repairs: Repairs::default(),
        window: order::time_window(trace, filter)?,
    })
}

impl Reading<'_> {
    /// How far each thread is, unless that is too much to keep.
    fn walks(&self) -> Option<Walks> {
        let open: usize = self.running.values().map(|running| 1 + running.walk.depth()).sum();
        let walk =
            |(&thread, running): (&ThreadId, &Running)| (thread, (running.before, running.walk.clone()));
        (open <= MOST_OPEN).then(|| self.running.iter().map(walk).collect())
    }

    fn push(&mut self, batch: &Batch, trace: &Trace) {
        self.counts.add(batch);
        for (thread, mut rows) in order::thread_runs(batch) {
            let running = self.running.entry(thread).or_insert_with(|| Running {
                walk: Walk::new(
                    self.filter.selects_thread(thread.pid, thread.tid),
                    self.eye.lookup.is_open(),
                ),
                folder: Folder::default(),
                before: 0,
                name: TextId::NONE,
                first_ns: None,
                lost_at: None,
            });
            while !rows.is_empty() {
                let columns = Rows {
                    times_ns: &batch.time_ns[rows.clone()],
                    markers: &batch.marker[rows.clone()],
                    codes: &batch.code[rows.clone()],
                    lines: &batch.line[rows.clone()],
                    texts: &batch.text[rows.clone()],
                };
                rows.start += running.walk.push_plain(columns, &mut self.eye, &mut running.folder);
                let Some(row) = rows.next() else { break };
                let event = Event { value: batch.value(row), ..order::event_without_value(batch, row) };
                if event.marker != Marker::Source {
                    running.first_ns = running.first_ns.or(Some(event.time_ns));
                }
                match event.marker {
                    Marker::Lost => running.lost_at = running.lost_at.or(Some(running.walk.number())),
                    Marker::ThreadStart if event.text != TextId::NONE => running.name = event.text,
                    Marker::ProcessStart if event.text != TextId::NONE => {
                        self.commands.entry(event.pid).or_insert(event.text);
                    }
                    _ => {}
                }
                let step = StackOp::of(&event, trace.names());
                running.walk.push(step, &event, &mut self.eye, &mut running.folder);
                if event.marker == Marker::ThreadExit {
                    self.ended.extend(running.end(thread, &mut self.eye.shapes));
                }
            }
        }
    }

    fn finish(mut self, trace: &Trace, starts: Vec<RowGroup>) -> Run {
        let mut running: Vec<(ThreadId, Running)> = self.running.into_iter().collect();
        running.sort_unstable_by_key(|&(thread, _)| thread);
        for (thread, mut running) in running {
            running.walk.finish(&mut self.eye, &mut running.folder);
            self.ended.extend(running.end(thread, &mut self.eye.shapes));
        }
        self.eye.shapes.close();
        let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
        Run {
            threads: self.ended,
            shapes: self.eye.shapes,
            frames: self.eye.lookup.into_frames(),
            commands: self.commands,
            seen: TraceSummary { counts: self.counts, repairs: self.eye.repairs, torn_bytes },
            starts,
        }
    }
}
