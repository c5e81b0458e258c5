//! Where two runs of a program part: the calls that only one of them makes, in their order.
//!
//! ```text
//! rows ─▶ walk ─▶ shapes ─┐                               first: each thread into one number that stands for all it did
//!                         ├▶ compare ─▶ look ─▶ value     then: only what differs is looked at, and looked up again
//! rows ─▶ walk ─▶ shapes ─┘
//! ```

mod align;
mod compare;
mod folder;
mod hash;
mod head;
mod keys;
mod look;
mod outline;
mod pairs;
mod run;
mod shapes;
mod sought;
mod table;
mod tell;
mod walk;

#[cfg(test)]
mod tests;

use pyrec_schema::Trace;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use self::compare::{Comparison, Tally, compare};
use self::head::{Hows, Key, THREAD};
use self::pairs::{Named, pair, plain_command};
use self::run::Run;
use self::tell::Teller;
use super::diff::{self, Alignment, Circumstances, Comparability, FunctionId, Rename, RunNames};
use super::{Naming, Place, Sources, Trust};
use crate::tree::Frame;
use crate::{Filter, Result};

pub use self::head::Finish;
pub use self::outline::Outline;

/// Where two runs part.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergences {
    /// The first place of each kind, in the order of time.
    pub first: Vec<Divergence>,
    /// How many kinds there are.
    pub kinds: u64,
    /// How many places.
    pub places: u64,
    /// The calls that were compared, of the old run and of the new one.
    pub calls: [u64; 2],
    /// Those that only one of them makes.
    pub only: [u64; 2],
    /// Threads for which there is none in the other run.
    pub alone: [Vec<Alone>; 2],
    /// Whether it makes sense to compare them. Losses and ends are no reason against it: the places tell.
    pub comparability: Comparability,
    /// How far to trust each.
    pub trust: [Trust; 2],
}

/// A thread for which there is none in the other run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alone {
    /// Its process.
    pub pid: i32,
    /// Its number.
    pub tid: i32,
    /// Its name.
    pub thread: Option<String>,
    /// How many calls it made.
    pub calls: u64,
}

/// A place where two threads part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// In how many places the two runs part in this way; this is the first.
    pub places: u64,
    /// The old run here.
    pub old: Side,
    /// The new run here.
    pub new: Side,
    /// The last calls that both made before it, in the call in which they part.
    pub before: Vec<Outline>,
    /// The call that both make then; none where the call in which they parted ends.
    pub then: Option<Outline>,
}

/// One of the two runs at a place where they part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its process.
    pub pid: i32,
    /// Its thread.
    pub tid: i32,
    /// The thread's name.
    pub thread: Option<String>,
    /// How many calls the thread has made before.
    pub number: u64,
    /// When, since the first event of the trace.
    pub time_ns: Option<i64>,
    /// The open calls, the innermost first.
    pub stack: Vec<Place>,
    /// The lines that were executed last before it, in order, where lines were recorded.
    pub lines: Vec<Place>,
    /// The calls that only this run makes, with what is in them, as far as a few rows go.
    pub only: Vec<Outline>,
    /// How many such calls there are in all.
    pub only_count: u64,
    /// The same with all calls that are in them.
    pub only_calls: u64,
    /// How the call ends in which they part, if nothing else comes before that.
    pub ends: Option<Finish>,
    /// Whether events of the thread were lost before: what happened meanwhile is unknown.
    pub after_loss: bool,
}

impl Divergences {
    /// Compares two runs; tells the first places of no more than so many kinds.
    pub fn read(
        [old, new]: [&Trace; 2],
        sources: [&Sources; 2],
        filter: &Filter,
        renames: &[Rename],
        most: usize,
    ) -> Result<Divergences> {
        let traces = [old, new];
        // How calls begin and end is compared where both runs tell.
        let tells = old.manifest().provider == new.manifest().provider;
        let hows = traces.map(|trace| if tells { Hows::of(trace.names()) } else { Hows::unknown() });
        let mut runs = both(|side| Run::read(traces[side], filter, hows[side]))?;
        let alignment = Alignment::of(&names(traces, sources, &runs), renames)?;
        let frames = unite(&mut runs, &alignment);
        let pairs = pair(&named(old, &runs[0]), &named(new, &runs[1]));
        let shapes = [&runs[0].shapes, &runs[1].shapes];
        let threads = |&(old, new): &(usize, usize)| {
            compare(shapes, [runs[0].threads[old].shape, runs[1].threads[new].shape], most)
        };
        let comparisons: Vec<Comparison> = pairs.iter().map(threads).collect();
        let naming = traces.map(|trace| Naming::new(trace.names(), trace.manifest()));
        let teller = Teller { traces, naming, runs: &runs, frames: &frames, filter, hows };
        let tallies = sum(&comparisons);
        let kinds = pairs.iter().zip(&comparisons);
        let kinds =
            kinds.flat_map(|(&pair, comparison)| comparison.kinds.iter().map(move |kind| (pair, kind)));
        let mut first = teller.tell(&kinds.collect::<Vec<_>>(), &tallies)?;
        first.truncate(most);
        let mut whole = Tally::default();
        tallies.values().for_each(|&tally| whole.add(tally));
        let side = |side: usize| pairs.iter().map(move |&(old, new)| [old, new][side]);
        let alone = |at: usize| {
            let paired: FxHashSet<usize> = side(at).collect();
            let threads = (0..runs[at].threads.len()).filter(|thread| !paired.contains(thread));
            threads.map(|thread| teller.alone(at, thread)).collect()
        };
        Ok(Divergences {
            first,
            kinds: tallies.len() as u64,
            places: whole.places,
            calls: [0, 1].map(|at| side(at).map(|thread| teller.calls(at, thread)).sum()),
            only: whole.only,
            alone: [0, 1].map(alone),
            comparability: comparability(traces, &runs),
            trust: [0, 1].map(|at| Trust::of_seen(traces[at].manifest(), &runs[at].seen)),
        })
    }
}

/// Does the same with both runs, side by side.
fn both<T: Send>(task: impl Fn(usize) -> Result<T> + Sync) -> Result<[T; 2]> {
    std::thread::scope(|scope| {
        let new = scope.spawn(|| task(1));
        let old = task(0);
        let new = new.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok([old?, new?])
    })
}

/// Gives the functions of both runs the numbers of one alignment. Gives the frames of each function in both.
fn unite(runs: &mut [Run; 2], alignment: &Alignment) -> Vec<[Option<Frame>; 2]> {
    let mut frames = vec![[Some(Frame::Thread); 2]];
    let mut numbers: FxHashMap<FunctionId, Key> = FxHashMap::default();
    for (side, run) in runs.iter_mut().enumerate() {
        let key = |&frame: &Frame| {
            // Only the thread itself is no function.
            let Some(function) = alignment.function(side, frame) else { return THREAD };
            let key = *numbers.entry(function).or_insert(frames.len() as Key);
            frames.resize(frames.len().max(key as usize + 1), [None; 2]);
            frames[key as usize][side].get_or_insert(frame);
            key
        };
        let keys: Vec<Key> = run.frames.iter().map(key).collect();
        run.shapes.translate(|head| head.with_key(keys[head.key() as usize]));
    }
    frames
}

fn named(trace: &Trace, run: &Run) -> Vec<Named> {
    let text = |id| trace.names().text_str(id).unwrap_or_default();
    let name = |thread: &run::ThreadRun| {
        let process = thread.life.thread.pid;
        let command =
            run.commands.get(&process).map_or(String::new(), |&command| plain_command(&text(command)));
        Named {
            process,
            command,
            name: text(thread.name).to_string(),
            shape: run.shapes.hash(thread.shape),
            first_ns: thread.first_ns,
        }
    };
    run.threads.iter().map(name).collect()
}

fn comparability(traces: [&Trace; 2], runs: &[Run; 2]) -> Comparability {
    let trust = [0, 1].map(|at| Trust::of_seen(traces[at].manifest(), &runs[at].seen));
    let circumstances = [(0, diff::Side::Old), (1, diff::Side::New)].map(|(at, side)| Circumstances {
        side,
        manifest: traces[at].manifest(),
        trust: &trust[at],
    });
    Comparability::step_by_step(&circumstances)
}

fn names<'a>(traces: [&'a Trace; 2], sources: [&'a Sources; 2], runs: &[Run; 2]) -> [RunNames<'a>; 2] {
    [(0, diff::Side::Old), (1, diff::Side::New)].map(|(at, side)| RunNames {
        side,
        names: traces[at].names(),
        manifest: traces[at].manifest(),
        sources: sources[at],
        frames: runs[at].frames.clone(),
        files: vec![],
    })
}

/// How often each kind is met in all threads.
fn sum(comparisons: &[Comparison]) -> FxHashMap<u64, Tally> {
    let mut sum: FxHashMap<u64, Tally> = FxHashMap::default();
    for (&kind, &tally) in comparisons.iter().flat_map(|comparison| &comparison.tallies) {
        sum.entry(kind).or_default().add(tally);
    }
    sum
}
