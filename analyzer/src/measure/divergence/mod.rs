//! Divergences: where two runs of a program make different calls, in the order of the calls.
//!
//! ```text
//! old rows ─▶ replay ─▶ subtrees ─┐
//!                                 ├─▶ tree_diff ─▶ locate ─▶ describe
//! new rows ─▶ replay ─▶ subtrees ─┘
//!             first pass                           second pass, over row groups with divergences
//! ```
//!
//! The first pass reduces every call to a structural hash of its function and all that happened in
//! it, so equal threads have equal hashes. Only calls with different hashes are compared. Memory
//! grows with the number of distinct subtrees.

mod call_key;
mod describe;
mod function_table;
mod hash_index;
mod locate;
mod myers;
mod replay;
mod run_subtrees;
mod structural_hash;
mod subtree_builder;
mod subtrees;
mod thread_pairing;
mod tree_diff;

#[cfg(test)]
mod tests;

use pyrec_schema::Trace;
use rustc_hash::{FxHashMap, FxHashSet};

pub use self::call_key::CallOutcome;
pub use self::describe::{CallSummary, Divergence, DivergenceSide, UnpairedThread};

use self::call_key::{FunctionKey, THREAD_ROOT, TransitionTexts};
use self::describe::Describer;
use self::locate::locate;
use self::run_subtrees::{RunSubtrees, ThreadSubtree};
use self::thread_pairing::{ThreadIdentity, command_without_directories, pair_threads};
use self::tree_diff::{DivergenceCount, DivergenceCounts, DivergenceKind, ThreadDiff, diff_threads};
use super::alignment::{Alignment, FunctionId, Rename, RunNames, Side};
use super::{Comparability, FrameNames, RunConditions, Sources, Trust};
use crate::tree::Frame;
use crate::{Filter, Result};

/// The divergences of two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergences {
    /// The first divergence of each kind, in the order of time.
    pub first: Vec<Divergence>,
    /// The number of kinds.
    pub kinds: u64,
    /// The number of points with a divergence.
    pub places: u64,
    /// The number of calls that were compared, of the old run and of the new run.
    pub calls: [u64; 2],
    /// The number of these that only one run makes.
    pub only: [u64; 2],
    /// The threads of each run that have no counterpart in the other run.
    pub unpaired: [Vec<UnpairedThread>; 2],
    /// Whether the runs can be compared. Losses and the ends of recordings are no reasons against
    /// it, since divergences show them.
    pub comparability: Comparability,
    /// The trust of each run.
    pub trust: [Trust; 2],
}

impl Divergences {
    /// Compares two runs. Returns the first divergences of at most `max_kinds` kinds.
    ///
    /// # Errors
    ///
    /// Fails if a trace cannot be read, or if a rename applies to no name of the old run.
    pub fn read(
        [old, new]: [&Trace; 2],
        sources: [&Sources; 2],
        filter: &Filter,
        renames: &[Rename],
        max_kinds: usize,
    ) -> Result<Divergences> {
        let traces = [old, new];
        // Two providers do not record starts and outcomes of calls alike, so these are compared
        // only within one.
        let has_transitions = old.manifest().provider == new.manifest().provider;
        let transitions = traces.map(|trace| match has_transitions {
            true => TransitionTexts::of(trace.names()),
            false => TransitionTexts::ignored(),
        });
        let mut runs = both(|side| RunSubtrees::read(traces[side], filter, transitions[side]))?;
        let alignment = Alignment::of(&run_names(traces, sources, &runs), renames)?;
        let frames = unify_function_keys(&mut runs, &alignment);
        let pairs = pair_threads(&identities(old, &runs[0]), &identities(new, &runs[1]));
        let subtrees = [&runs[0].subtrees, &runs[1].subtrees];
        let diff = |&(old, new): &(usize, usize)| {
            let roots = [runs[0].threads[old].subtree, runs[1].threads[new].subtree];
            diff_threads(subtrees, roots, max_kinds)
        };
        let diffs: Vec<ThreadDiff> = pairs.iter().map(diff).collect();
        let counts = sum_counts(&diffs);
        let kinds = pairs.iter().zip(&diffs);
        let kinds: Vec<((usize, usize), &DivergenceKind)> =
            kinds.flat_map(|(&pair, diff)| diff.kinds.iter().map(move |kind| (pair, kind))).collect();
        let states = both(|side| {
            let point = |&((old, new), kind): &((usize, usize), &DivergenceKind)| {
                ([old, new][side], kind.first.next[side])
            };
            let points: Vec<_> = kinds.iter().map(point).collect();
            locate(traces[side], filter, transitions[side], &runs[side], &points)
        })?;
        let frame_names = traces.map(|trace| FrameNames::new(trace.names(), trace.manifest()));
        let describer = Describer { traces, frame_names, runs: &runs, frames: &frames };
        let [old_states, new_states] = states;
        let mut first: Vec<_> = kinds.iter().zip(old_states.into_iter().zip(new_states)).collect();
        first.sort_by_key(|(_, (old, new))| (describer.time_ns(0, old), describer.time_ns(1, new)));
        // Several threads can have divergences of one kind.
        let mut signatures = FxHashSet::default();
        first.retain(|((_, kind), _)| signatures.insert(kind.signature));
        first.truncate(max_kinds);
        let first = first.into_iter().map(|(&(pair, kind), (old, new))| {
            let places = counts.get(&kind.signature).map_or(0, |count| count.points);
            describer.divergence(pair, &kind.first, places, [old, new])
        });
        let mut total = DivergenceCount::default();
        counts.values().for_each(|&count| total.add(count));
        let paired = |side: usize| pairs.iter().map(move |&(old, new)| [old, new][side]);
        let unpaired = |side: usize| {
            let paired: FxHashSet<usize> = paired(side).collect();
            let threads = (0..runs[side].threads.len()).filter(|thread| !paired.contains(thread));
            threads.map(|thread| describer.unpaired(side, thread)).collect()
        };
        Ok(Divergences {
            first: first.collect(),
            kinds: counts.len() as u64,
            places: total.points,
            calls: [0, 1].map(|side| paired(side).map(|thread| describer.calls(side, thread)).sum()),
            only: total.only,
            unpaired: [0, 1].map(unpaired),
            comparability: comparability(traces, &runs),
            trust: [0, 1].map(|side| Trust::of_summary(traces[side].manifest(), &runs[side].summary)),
        })
    }
}

/// Does the same for both runs, in parallel.
fn both<T: Send>(task: impl Fn(usize) -> Result<T> + Sync) -> Result<[T; 2]> {
    std::thread::scope(|scope| {
        let new = scope.spawn(|| task(1));
        let old = task(0);
        let new = new.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok([old?, new?])
    })
}

/// Gives aligned functions the same key in both runs. Returns the frames of each function, by the
/// new keys.
fn unify_function_keys(runs: &mut [RunSubtrees; 2], alignment: &Alignment) -> Vec<[Option<Frame>; 2]> {
    let mut frames = vec![[Some(Frame::Thread); 2]];
    let mut keys: FxHashMap<FunctionId, FunctionKey> = FxHashMap::default();
    for (side, run) in runs.iter_mut().enumerate() {
        let unified = |&frame: &Frame| {
            // The alignment has a function for every frame but that of the thread.
            let Some(function) = alignment.function(side, frame) else { return THREAD_ROOT };
            let key = *keys.entry(function).or_insert(frames.len() as FunctionKey);
            frames.resize(frames.len().max(key as usize + 1), [None; 2]);
            frames[key as usize][side].get_or_insert(frame);
            key
        };
        let unified: Vec<FunctionKey> = run.frames.iter().map(unified).collect();
        run.subtrees.translate(|key| key.with_function(unified[key.function() as usize]));
    }
    frames
}

fn identities(trace: &Trace, run: &RunSubtrees) -> Vec<ThreadIdentity> {
    let text = |id| trace.names().text_str(id).unwrap_or_default();
    let identity = |thread: &ThreadSubtree| {
        let process = thread.thread.thread.pid;
        let command = run.commands.get(&process);
        ThreadIdentity {
            process,
            command: command.map_or(String::new(), |&command| command_without_directories(&text(command))),
            name: text(thread.name).to_string(),
            calls: run.subtrees.hash(thread.subtree),
            first_ns: thread.first_ns,
        }
    };
    run.threads.iter().map(identity).collect()
}

fn comparability(traces: [&Trace; 2], runs: &[RunSubtrees; 2]) -> Comparability {
    let trust = [0, 1].map(|index| Trust::of_summary(traces[index].manifest(), &runs[index].summary));
    let conditions = [(0, Side::Old), (1, Side::New)].map(|(index, side)| RunConditions {
        side,
        manifest: traces[index].manifest(),
        trust: &trust[index],
    });
    Comparability::of_sequences(&conditions)
}

fn run_names<'a>(
    traces: [&'a Trace; 2],
    sources: [&'a Sources; 2],
    runs: &[RunSubtrees; 2],
) -> [RunNames<'a>; 2] {
    [(0, Side::Old), (1, Side::New)].map(|(index, side)| RunNames {
        side,
        names: traces[index].names(),
        manifest: traces[index].manifest(),
        sources: sources[index],
        frames: runs[index].frames.clone(),
        files: vec![],
    })
}

/// The counts of each kind over all pairs of threads.
fn sum_counts(diffs: &[ThreadDiff]) -> DivergenceCounts {
    let mut sum = DivergenceCounts::default();
    for (&kind, &count) in diffs.iter().flat_map(|diff| &diff.counts) {
        sum.entry(kind).or_default().add(count);
    }
    sum
}
