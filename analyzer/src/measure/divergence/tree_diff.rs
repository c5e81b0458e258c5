//! The difference of two threads: an ordered tree diff from the root down, which skips equal
//! subtrees.
//!
//! ```text
//! old  main           new  main       Callees with equal subtrees are matched and skipped.
//!      ├ f ═════════════ ├ f
//!      ├ g ───────────── ├ g'         Of the others, calls of the same function are paired, and
//!      │ └ h             │ └ i        compared inside.
//!      ├ k               │            The rest is a divergence: calls that only one side makes.
//!      └ f ═════════════ └ f
//! ```
//!
//! The result for a pair of subtrees is kept and reused when the pair recurs, so a loop with the
//! same divergence in each iteration is compared once.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use super::call_key::CallOutcome;
use super::myers::{common_subsequence, gaps};
use super::structural_hash::SubtreeId;
use super::subtrees::Subtrees;

/// The number of calls in common that are kept before a divergence.
const KEPT_BEFORE: usize = 2;

/// The number of one-sided calls that are kept of a divergence.
const KEPT_ONLY: usize = 8;

/// What a thread does next at a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextStep {
    /// Enter the call with that number.
    Enter(u64),
    /// Leave the call with the first number, in which the last call has the second number.
    Leave(u64, u64),
    /// End.
    EndOfThread,
}

/// A point at which two threads diverge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DivergencePoint {
    /// What each side does next, the old one first.
    pub next: [NextStep; 2],
    /// The number of calls that each side has made before.
    pub number: [u64; 2],
    /// The last callees in common before the point, in the call in which the threads diverge.
    pub before: Vec<SubtreeId>,
    /// The first of the calls that only one side makes.
    pub only: [Vec<SubtreeId>; 2],
    /// The number of calls that only one side makes: without and with the calls in them.
    pub only_calls: [(u64, u64); 2],
    /// Where the threads agree again.
    pub then: Convergence,
}

/// How two threads continue after a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Convergence {
    /// With equal calls.
    Equal(SubtreeId),
    /// With calls of the same function that differ inside.
    Pair(SubtreeId),
    /// With the end of the call in which they diverged.
    End([CallOutcome; 2]),
}

/// Divergences in calls of the same function, with one-sided calls of the same functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DivergenceKind {
    /// A hash of what the divergences have in common.
    pub signature: u64,
    /// The first of them.
    pub first: DivergencePoint,
}

/// The number of divergences of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DivergenceCount {
    /// The number of points.
    pub points: u64,
    /// The number of calls that only the old side makes, and only the new side.
    pub only: [u64; 2],
}

impl DivergenceCount {
    /// Adds another count, saturating.
    pub fn add(&mut self, other: DivergenceCount) {
        self.points = self.points.saturating_add(other.points);
        for (only, more) in self.only.iter_mut().zip(other.only) {
            *only = only.saturating_add(more);
        }
    }
}

/// Divergence counts by the signature of the kind.
pub type DivergenceCounts = FxHashMap<u64, DivergenceCount>;

/// The difference of two threads.
#[derive(Debug, Default)]
pub struct ThreadDiff {
    /// The first kinds, in the order of their first points.
    pub kinds: Vec<DivergenceKind>,
    /// The counts of all kinds.
    pub counts: DivergenceCounts,
}

/// Compares two threads, one of each run. Keeps the first point of at most `max_kinds` kinds.
pub fn diff_threads(subtrees: [&Subtrees; 2], threads: [SubtreeId; 2], max_kinds: usize) -> ThreadDiff {
    let mut differ = TreeDiffer::new(subtrees, max_kinds);
    if !is_equal(subtrees, threads) {
        differ.run(threads);
    }
    ThreadDiff { kinds: differ.kinds, counts: differ.counts }
}

struct TreeDiffer<'a> {
    subtrees: [&'a Subtrees; 2],
    max_kinds: usize,
    kinds: Vec<DivergenceKind>,
    signatures: FxHashSet<u64>,
    /// The counts in pairs that have been compared.
    compared: FxHashMap<[SubtreeId; 2], Vec<(u64, DivergenceCount)>>,
    counts: DivergenceCounts,
}

/// A pair of calls that is being compared.
struct OpenPair {
    calls: [SubtreeId; 2],
    /// The numbers of both calls; none for the roots of the threads.
    number: Option<[u64; 2]>,
    edits: std::vec::IntoIter<Edit>,
    /// The index of the next callee of each.
    callee: [usize; 2],
    /// The number of the next callee of each.
    next_number: [u64; 2],
    /// Whether the ends of the calls are part of a reported divergence.
    end_is_reported: bool,
    /// Whether the last callee of each is not in an equal pair.
    last_differs: [bool; 2],
    counts: DivergenceCounts,
}

/// One step of the edit script that turns the callees of the old call into those of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    /// That many callees are equal.
    Equal(usize),
    /// One callee of each is a call of the same function, and differs inside.
    Pair,
    /// That many callees of the old call are deleted, and that many of the new call inserted.
    Replace([usize; 2]),
}

impl<'a> TreeDiffer<'a> {
    fn new(subtrees: [&'a Subtrees; 2], max_kinds: usize) -> Self {
        let (kinds, signatures, compared, counts) = Default::default();
        TreeDiffer { subtrees, max_kinds, kinds, signatures, compared, counts }
    }

    /// Compares two threads depth first, with a stack of its own because calls can nest deeply.
    fn run(&mut self, threads: [SubtreeId; 2]) {
        let mut open = vec![self.open(threads, None, [0, 0])];
        while let Some(pair) = open.last_mut() {
            match pair.edits.next() {
                Some(Edit::Equal(count)) => {
                    pair.last_differs = [false; 2];
                    self.advance(pair, [count, count]);
                }
                Some(Edit::Replace(count)) => {
                    let is_over = self.report(pair, count);
                    if is_over {
                        break;
                    }
                    (0..2).for_each(|side| pair.last_differs[side] |= count[side] > 0);
                    self.advance(pair, count);
                }
                Some(Edit::Pair) => {
                    let calls = [0, 1].map(|side| self.callees(pair, side)[pair.callee[side]]);
                    pair.last_differs = [true; 2];
                    match self.compared.get(&calls) {
                        Some(counts) => {
                            add_counts(&mut pair.counts, counts.iter().copied());
                            self.advance(pair, [1, 1]);
                        }
                        None => {
                            let number = pair.next_number;
                            open.push(self.open(calls, Some(number), number.map(|number| number + 1)));
                        }
                    }
                }
                None => {
                    let is_over = self.report_end(pair);
                    if is_over {
                        break;
                    }
                    let Some(OpenPair { calls, counts, .. }) = open.pop() else { break };
                    let outer = open.last_mut();
                    let outer_counts = outer.map_or(&mut self.counts, |outer| &mut outer.counts);
                    add_counts(outer_counts, counts.iter().map(|(&kind, &count)| (kind, count)));
                    self.compared.insert(calls, counts.into_iter().collect());
                    if let Some(outer) = open.last_mut() {
                        self.advance(outer, [1, 1]);
                    }
                }
            }
        }
        // Pairs that are open where the recording of one side ends.
        for pair in open {
            add_counts(&mut self.counts, pair.counts);
        }
    }

    fn open(&self, calls: [SubtreeId; 2], number: Option<[u64; 2]>, next_number: [u64; 2]) -> OpenPair {
        let edits = edit_script(self.subtrees, calls).into_iter();
        let (callee, end_is_reported, last_differs, counts) = Default::default();
        OpenPair { calls, number, edits, callee, next_number, end_is_reported, last_differs, counts }
    }

    /// Moves past that many callees.
    fn advance(&self, pair: &mut OpenPair, count: [usize; 2]) {
        for (side, count) in count.into_iter().enumerate() {
            let callees = &self.callees(pair, side)[pair.callee[side]..][..count];
            let calls = callees.iter().map(|&callee| self.subtrees[side].calls(callee));
            pair.next_number[side] += calls.sum::<u64>();
            pair.callee[side] += count;
        }
    }

    /// The callees of one call of a pair, in order.
    fn callees(&self, pair: &OpenPair, side: usize) -> &'a [SubtreeId] {
        self.subtrees[side].callees(pair.calls[side])
    }

    fn outcomes(&self, pair: &OpenPair) -> [CallOutcome; 2] {
        [0, 1].map(|side| self.subtrees[side].key(pair.calls[side]).outcome())
    }

    /// Reports different outcomes of a pair. Returns whether the recording of one side ends there.
    fn report_end(&mut self, pair: &mut OpenPair) -> bool {
        let outcomes = self.outcomes(pair);
        // An exception that propagates out of a call in which the threads diverged is part of that
        // divergence.
        let is_propagated = |side: usize| {
            let last = self.callees(pair, side).last();
            let has_raised =
                last.is_some_and(|&last| self.subtrees[side].key(last).outcome() == CallOutcome::Raised);
            outcomes[side] == CallOutcome::Raised && pair.last_differs[side] && has_raised
        };
        if outcomes[0] == outcomes[1] || pair.end_is_reported || is_propagated(0) || is_propagated(1) {
            return false;
        }
        self.report(pair, [0, 0])
    }

    /// Reports a divergence with that many one-sided callees. Returns whether the recording of one
    /// side ends there.
    fn report(&mut self, pair: &mut OpenPair, count: [usize; 2]) -> bool {
        let callees = [0, 1].map(|side| self.callees(pair, side));
        let only = [0, 1].map(|side| &callees[side][pair.callee[side]..][..count[side]]);
        let only_calls = [0, 1].map(|side| {
            let calls = only[side].iter().map(|&callee| self.subtrees[side].calls(callee));
            (only[side].len() as u64, calls.sum::<u64>())
        });
        let outcomes = self.outcomes(pair);
        let then = match pair.edits.as_slice().first() {
            Some(Edit::Equal(_)) => Convergence::Equal(callees[0][pair.callee[0] + count[0]]),
            Some(_) => Convergence::Pair(callees[0][pair.callee[0] + count[0]]),
            None => Convergence::End(outcomes),
        };
        pair.end_is_reported |= matches!(then, Convergence::End(_));
        let signature = self.signature(pair.calls[0], only, then);
        let one = DivergenceCount { points: 1, only: only_calls.map(|(_, calls)| calls) };
        pair.counts.entry(signature).or_default().add(one);
        if self.signatures.insert(signature) && self.kinds.len() < self.max_kinds {
            let next = [0, 1].map(|side| match (callees[side].get(pair.callee[side]), pair.number) {
                (Some(_), _) => NextStep::Enter(pair.next_number[side]),
                (None, Some(number)) => NextStep::Leave(number[side], pair.next_number[side] - 1),
                (None, None) => NextStep::EndOfThread,
            });
            let before = if pair.last_differs == [false; 2] { &callees[0][..pair.callee[0]] } else { &[] };
            let first = DivergencePoint {
                next,
                number: pair.next_number,
                before: before[before.len().saturating_sub(KEPT_BEFORE)..].to_vec(),
                only: only.map(|only| only[..only.len().min(KEPT_ONLY)].to_vec()),
                only_calls,
                then,
            };
            self.kinds.push(DivergenceKind { signature, first });
        }
        let is_open = |outcome| outcome == CallOutcome::StillOpen;
        matches!(then, Convergence::End([old, new]) if is_open(old) != is_open(new))
    }

    /// Hashes the function in which the threads diverge, the one-sided callees, and different
    /// outcomes. Adjacent calls of one function count once.
    fn signature(&self, caller: SubtreeId, only: [&[SubtreeId]; 2], then: Convergence) -> u64 {
        let mut hasher = FxHasher::default();
        self.subtrees[0].key(caller).function().hash(&mut hasher);
        for (subtrees, only) in self.subtrees.iter().zip(only) {
            let mut calls: Vec<u32> =
                only.iter().map(|&callee| subtrees.key(callee).function_and_start()).collect();
            calls.dedup();
            calls.hash(&mut hasher);
        }
        match then {
            Convergence::End([old, new]) if old != new => (old, new).hash(&mut hasher),
            _ => {}
        }
        hasher.finish()
    }
}

fn add_counts(to: &mut DivergenceCounts, counts: impl IntoIterator<Item = (u64, DivergenceCount)>) {
    for (kind, count) in counts {
        to.entry(kind).or_default().add(count);
    }
}

fn is_equal(subtrees: [&Subtrees; 2], [old, new]: [SubtreeId; 2]) -> bool {
    subtrees[0].hash(old) == subtrees[1].hash(new)
}

/// The edit script between the callees of two calls. Equal subtrees are matched first, then calls
/// of the same function in the gaps between them.
fn edit_script(subtrees: [&Subtrees; 2], [old, new]: [SubtreeId; 2]) -> Vec<Edit> {
    let (old, new) = (subtrees[0].callees(old), subtrees[1].callees(new));
    let equal = common_subsequence(
        [old.len(), new.len()],
        |index| subtrees[0].hash(old[index]),
        |index| subtrees[1].hash(new[index]),
    );
    let mut edits = Vec::new();
    for (gap, equal) in gaps(&equal, old.len(), new.len()) {
        pair_by_function(subtrees, [&old[gap.old], &new[gap.new]], &mut edits);
        push_edit(&mut edits, Edit::Equal(equal));
    }
    edits
}

/// Pairs calls of the same function in a gap between equal callees.
fn pair_by_function(subtrees: [&Subtrees; 2], [old, new]: [&[SubtreeId]; 2], edits: &mut Vec<Edit>) {
    let function = |side: usize, id: SubtreeId| subtrees[side].key(id).function_and_start();
    let pairs = common_subsequence(
        [old.len(), new.len()],
        |index| function(0, old[index]),
        |index| function(1, new[index]),
    );
    for (gap, paired) in gaps(&pairs, old.len(), new.len()) {
        push_edit(edits, Edit::Replace([gap.old.len(), gap.new.len()]));
        for (&old, &new) in old[gap.old.end..][..paired].iter().zip(&new[gap.new.end..]) {
            push_edit(edits, if is_equal(subtrees, [old, new]) { Edit::Equal(1) } else { Edit::Pair });
        }
    }
}

fn push_edit(edits: &mut Vec<Edit>, edit: Edit) {
    if !matches!(edit, Edit::Equal(0) | Edit::Replace([0, 0])) {
        edits.push(edit);
    }
}
