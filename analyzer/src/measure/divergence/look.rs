//! A second look at the rows: when, in which calls, and after which lines.

use pyrec_schema::{Event, Marker, Trace};
use rustc_hash::{FxHashMap, FxHashSet};

use super::compare::Next;
use super::head::{Finish, Hows};
use super::run::{self, Life, Run, ThreadRun, Walks};
use super::shapes::Shapes;
use super::walk::{Eye, Running, Tell, Walk};
use crate::measure::place::Spot;
use crate::order::{self, ThreadId};
use crate::tree::{OpenFrame, StackOp};
use crate::{Filter, Result};

/// What stands at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// When.
    pub time_ns: i64,
    /// The open calls, the innermost first.
    pub stack: Vec<Spot>,
    /// The lines that were executed last.
    pub lines: Vec<Spot>,
}

/// A place that is looked for: by the numbers that the walk gives, which count what turns out to be no call.
#[derive(Clone, Copy, Debug)]
struct Want {
    place: usize,
    life: Life,
    is_end: bool,
    number: u64,
    /// The call before the place has this number, so the place is not in a row group that begins later.
    from: u64,
}

/// Looks for places in threads of a run: each with the number of its thread.
pub fn look(
    trace: &Trace,
    filter: &Filter,
    hows: Hows,
    run: &Run,
    places: &[(usize, Next)],
) -> Result<Vec<Option<Sight>>> {
    let mut sights = vec![None; places.len()];
    let mut wants = Vec::new();
    for (place, &(thread, next)) in places.iter().enumerate() {
        let thread = &run.threads[thread];
        match next {
            Next::End => sights[place] = Some(end(thread)),
            Next::Enter(number) => wants.push(want(place, thread, false, number, number)),
            Next::Leave(number, last) => wants.push(want(place, thread, true, number, last)),
        }
    }
    let mut watcher = Watcher::new(&wants, sights);
    watcher.read(trace, filter, hows, run, &wants)?;
    Ok(watcher.sights)
}

fn end(thread: &ThreadRun) -> Sight {
    Sight { time_ns: thread.last_ns, stack: vec![], lines: thread.lines.clone() }
}

fn want(place: usize, thread: &ThreadRun, is_end: bool, number: u64, from: u64) -> Want {
    let [number, from] = [number, from].map(|number| told(number, &thread.none));
    Want { place, life: thread.life, is_end, number, from }
}

/// The number that the walk gave to a call, from how many calls came before it. Those that were none have numbers, too.
fn told(number: u64, none: &[u64]) -> u64 {
    let (mut low, mut high) = (0, none.len());
    while low < high {
        let middle = (low + high) / 2;
        if none[middle] - middle as u64 <= number { low = middle + 1 } else { high = middle }
    }
    number + low as u64
}

struct Watcher {
    /// By thread, whether an end is looked for, and the number of the call.
    wants: FxHashMap<(Life, bool, u64), Vec<usize>>,
    /// The thread whose rows are read.
    life: Life,
    sights: Vec<Option<Sight>>,
}

impl Watcher {
    fn new(wants: &[Want], sights: Vec<Option<Sight>>) -> Watcher {
        let mut by_number: FxHashMap<_, Vec<usize>> = FxHashMap::default();
        for want in wants {
            by_number.entry((want.life, want.is_end, want.number)).or_default().push(want.place);
        }
        let life = Life { thread: ThreadId { pid: 0, tid: 0 }, before: 0 };
        Watcher { wants: by_number, life, sights }
    }

    /// Reads the row groups in which something is.
    fn read(&mut self, trace: &Trace, filter: &Filter, hows: Hows, run: &Run, wants: &[Want]) -> Result<()> {
        let mut eye = run::eye(trace, filter, hows)?;
        let threads: FxHashSet<ThreadId> = wants.iter().map(|want| want.life.thread).collect();
        let starts: Vec<usize> = wants.iter().map(|want| start(run, want)).collect();
        let mut walks: Option<Walks> = None;
        for (at, row_group) in run.starts.iter().enumerate() {
            let is_open = |sights: &[Option<Sight>]| {
                let is_open = |(want, &start): (&Want, &usize)| start <= at && sights[want.place].is_none();
                wants.iter().zip(&starts).any(is_open)
            };
            if !is_open(&self.sights) {
                walks = None;
                continue;
            }
            for batch in trace.files()[row_group.file].read(row_group.number, run::columns(trace))? {
                // Once all is found, the rest of the row group is not worth its reading.
                if !is_open(&self.sights) {
                    walks = None;
                    break;
                }
                let batch = batch?;
                let walks = walks.get_or_insert_with(|| row_group.walks.clone().unwrap_or_default());
                for (thread, rows) in
                    order::thread_runs(&batch).filter(|(thread, _)| threads.contains(thread))
                {
                    let (before, walk) = walks.entry(thread).or_insert_with(|| {
                        (0, Walk::new(filter.selects_thread(thread.pid, thread.tid), eye.lookup.is_open()))
                    });
                    for row in rows {
                        self.life = Life { thread, before: *before };
                        let event =
                            Event { value: batch.value(row), ..order::event_without_value(&batch, row) };
                        walk.push(StackOp::of(&event, trace.names()), &event, &mut eye, self);
                        if event.marker == Marker::ThreadExit {
                            *before += 1;
                            walk.restart();
                        }
                    }
                }
            }
        }
        self.finish(walks, &mut eye);
        Ok(())
    }

    /// What is open at the end stays so.
    fn finish(&mut self, walks: Option<Walks>, eye: &mut Eye) {
        for (thread, (before, mut walk)) in walks.into_iter().flatten() {
            self.life = Life { thread, before };
            walk.finish(eye, self);
        }
    }

    fn note(&mut self, is_end: bool, number: u64, sight: impl FnOnce() -> Sight) {
        if let Some(places) = self.wants.get(&(self.life, is_end, number)) {
            let sight = sight();
            places.iter().for_each(|&place| self.sights[place] = Some(sight.clone()));
        }
    }
}

impl Tell for Watcher {
    fn waiting(&self) -> usize {
        0
    }

    fn enter(&mut self, walk: &Walk, number: u64, time_ns: i64) {
        let sight = || Sight { time_ns, stack: walk.callers().collect(), lines: walk.lines().collect() };
        self.note(false, number, sight);
    }

    fn leave(&mut self, walk: &Walk, open: &OpenFrame<Running>, _: Option<Finish>, _: &mut Shapes) {
        self.note(true, open.data.number, || Sight {
            time_ns: walk.now_ns(),
            stack: [Spot { frame: open.frame, line: open.data.line }]
                .into_iter()
                .chain(walk.callers())
                .collect(),
            lines: walk.lines().collect(),
        });
    }
}

/// The row group from which a place can be looked for: the last one that begins before it.
fn start(run: &Run, want: &Want) -> usize {
    let begins_before = |walks: &Walks| match walks.get(&want.life.thread) {
        Some((before, walk)) => (*before, walk.number()) <= (want.life.before, want.from),
        None => true,
    };
    run.starts.iter().rposition(|start| start.walks.as_ref().is_some_and(begins_before)).unwrap_or(0)
}
