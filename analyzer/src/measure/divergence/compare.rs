//! Two threads, shape against shape: where they part, and where they are together again.
//!
//! ```text
//! GOOD   main            BAD   main          The same shapes are alike: nothing in them is looked at.
//!        ├ f ═══════════════── ├ f
//!        ├ g ───────────────── ├ g'          Of the others, calls of the same function are pairs: they part inside.
//!        │ └ h                 │ └ i
//!        ├ k                   │             What then is left is where they part.
//!        └ f ═══════════════── └ f
//! ```
//!
//! A pair that was seen before is not looked at again, so a loop that parts in the same way a million times costs one.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use super::align::{align, gaps};
use super::head::Finish;
use super::shapes::{ShapeId, Shapes};

/// How many calls that both made are kept before a place.
const BEFORE: usize = 2;

/// How many of the calls that only one made are kept.
const KEPT: usize = 8;

/// What one side does next in its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// It enters the call of that number.
    Enter(u64),
    /// It leaves the call of that number, in which the last call had the other one.
    Leave(u64, u64),
    /// Its thread ends.
    End,
}

/// A place where two threads part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// What each side does next, the old one first.
    pub next: [Next; 2],
    /// How many calls each has made before.
    pub number: [u64; 2],
    /// The last calls that both made before, in the call in which they part.
    pub before: Vec<ShapeId>,
    /// The first of the calls that only one makes.
    pub only: [Vec<ShapeId>; 2],
    /// How many such calls there are, without and with all that is in them.
    pub only_calls: [(u64, u64); 2],
    /// What both do then.
    pub then: Then,
}

/// What both sides do once they are together again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// They make the same call.
    Call(ShapeId),
    /// They make a call of the same function, and part in it.
    Pair(ShapeId),
    /// The call in which they parted ends.
    End([Finish; 2]),
}

/// Places that are alike: in calls of the same function, with calls of the same functions that only one side makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stands for what is alike.
    pub signature: u64,
    /// The first place.
    pub first: Parting,
}

/// How often two threads part in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In how many places.
    pub places: u64,
    /// How many calls only the old one makes there, and only the new one.
    pub only: [u64; 2],
}

impl Tally {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: Tally) {
        self.places = self.places.saturating_add(other.places);
        for (only, more) in self.only.iter_mut().zip(other.only) {
            *only = only.saturating_add(more);
        }
    }
}

/// How two threads part.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The first kinds, in the order of their first places.
    pub kinds: Vec<Kind>,
    /// How often each kind is met, by its signature.
    pub tallies: FxHashMap<u64, Tally>,
}

/// Compares two threads, one of each run; keeps the first place of no more than so many kinds.
pub fn compare(shapes: [&Shapes; 2], threads: [ShapeId; 2], most: usize) -> Comparison {
    let mut comparing = Comparing { shapes, most, ..Comparing::new(shapes) };
    if !is_same(shapes, threads) {
        comparing.run(threads);
    }
    Comparison { kinds: comparing.kinds, tallies: comparing.whole }
}

type Tallies = FxHashMap<u64, Tally>;

struct Comparing<'a> {
    shapes: [&'a Shapes; 2],
    most: usize,
    kinds: Vec<Kind>,
    signatures: FxHashSet<u64>,
    /// Pairs that were looked at.
    known: FxHashMap<[ShapeId; 2], Vec<(u64, Tally)>>,
    whole: Tallies,
}

/// Two calls of the same function, and how far they are compared.
struct Level {
    shape: [ShapeId; 2],
    /// Their numbers; none for the threads themselves.
    number: Option<[u64; 2]>,
    steps: std::vec::IntoIter<Step>,
    /// The next callee of each.
    at: [usize; 2],
    /// The number that it has.
    next: [u64; 2],
    /// Whether their ends were told along with what stands before them.
    is_told: bool,
    /// Whether the last callee of each is not one that both made alike.
    is_apart: [bool; 2],
    tallies: Tallies,
}

/// A step through the callees of two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many are alike.
    Same(usize),
    /// One of each, of the same function.
    Pair,
    /// So many that only the old one, and only the new one makes.
    Gap([usize; 2]),
}

impl<'a> Comparing<'a> {
    fn new(shapes: [&'a Shapes; 2]) -> Self {
        let (kinds, signatures, known, whole) = Default::default();
        Comparing { shapes, most: 0, kinds, signatures, known, whole }
    }

    fn run(&mut self, threads: [ShapeId; 2]) {
        let mut levels = vec![self.level(threads, None, [0, 0])];
        while let Some(level) = levels.last_mut() {
            match level.steps.next() {
                Some(Step::Same(count)) => {
                    level.is_apart = [false; 2];
                    self.pass(level, [count, count]);
                }
                Some(Step::Gap(count)) => {
                    let is_over = self.tell(level, count);
                    if is_over {
                        break;
                    }
                    (0..2).for_each(|side| level.is_apart[side] |= count[side] > 0);
                    self.pass(level, count);
                }
                Some(Step::Pair) => {
                    let pair = [0, 1].map(|side| self.callees(level, side)[level.at[side]]);
                    level.is_apart = [true; 2];
                    match self.known.get(&pair) {
                        Some(known) => {
                            known
                                .iter()
                                .for_each(|&(kind, tally)| level.tallies.entry(kind).or_default().add(tally));
                            self.pass(level, [1, 1]);
                        }
                        None => {
                            let number = level.next;
                            levels.push(self.level(pair, Some(number), number.map(|number| number + 1)));
                        }
                    }
                }
                None => {
                    let is_over = self.tell_end(level);
                    if is_over {
                        break;
                    }
                    let Some(Level { shape, tallies, .. }) = levels.pop() else { break };
                    let outer = levels.last_mut();
                    let into = outer.map_or(&mut self.whole, |outer| &mut outer.tallies);
                    tallies.iter().for_each(|(&kind, &tally)| into.entry(kind).or_default().add(tally));
                    self.known.insert(shape, tallies.into_iter().collect());
                    if let Some(outer) = levels.last_mut() {
                        self.pass(outer, [1, 1]);
                    }
                }
            }
        }
        // Where a recording ended, what was counted so far stands.
        for level in levels {
            level
                .tallies
                .into_iter()
                .for_each(|(kind, tally)| self.whole.entry(kind).or_default().add(tally));
        }
    }

    fn level(&self, shape: [ShapeId; 2], number: Option<[u64; 2]>, next: [u64; 2]) -> Level {
        let steps = steps(self.shapes, shape).into_iter();
        let (is_told, is_apart, tallies) = Default::default();
        Level { shape, number, steps, at: [0; 2], next, is_told, is_apart, tallies }
    }

    /// Goes past so many callees.
    fn pass(&self, level: &mut Level, count: [usize; 2]) {
        for (side, count) in count.into_iter().enumerate() {
            let callees = &self.callees(level, side)[level.at[side]..][..count];
            level.next[side] += callees.iter().map(|&callee| self.shapes[side].calls(callee)).sum::<u64>();
            level.at[side] += count;
        }
    }

    /// What one of them calls, in order.
    fn callees(&self, level: &Level, side: usize) -> &'a [ShapeId] {
        self.shapes[side].children(level.shape[side])
    }

    fn finishes(&self, level: &Level) -> [Finish; 2] {
        [0, 1].map(|side| self.shapes[side].head(level.shape[side]).finish())
    }

    /// They end, each in its way. Returns whether that is the end of what was recorded of one of them.
    fn tell_end(&mut self, level: &mut Level) -> bool {
        let finishes = self.finishes(level);
        // An exception that came from a call in which they parted is no news.
        let is_passed_on = |side: usize| {
            let last = self.callees(level, side).last();
            let has_raised =
                last.is_some_and(|&last| self.shapes[side].head(last).finish() == Finish::Raised);
            finishes[side] == Finish::Raised && level.is_apart[side] && has_raised
        };
        if finishes[0] == finishes[1] || level.is_told || is_passed_on(0) || is_passed_on(1) {
            return false;
        }
        self.tell(level, [0, 0])
    }

    /// They part. Returns whether that is the end of what was recorded of one of them.
    fn tell(&mut self, level: &mut Level, count: [usize; 2]) -> bool {
        let callees = [0, 1].map(|side| self.callees(level, side));
        let only = [0, 1].map(|side| &callees[side][level.at[side]..][..count[side]]);
        let only_calls = [0, 1].map(|side| {
            let calls = only[side].iter().map(|&shape| self.shapes[side].calls(shape));
            (only[side].len() as u64, calls.sum::<u64>())
        });
        let finishes = self.finishes(level);
        let then = match level.steps.as_slice().first() {
            Some(Step::Same(_)) => Then::Call(callees[0][level.at[0] + count[0]]),
            Some(_) => Then::Pair(callees[0][level.at[0] + count[0]]),
            None => Then::End(finishes),
        };
        level.is_told |= matches!(then, Then::End(_));
        let signature = self.signature(level.shape[0], only, then);
        let tally = Tally { places: 1, only: only_calls.map(|(_, calls)| calls) };
        level.tallies.entry(signature).or_default().add(tally);
        if self.signatures.insert(signature) && self.kinds.len() < self.most {
            let next = [0, 1].map(|side| match (callees[side].get(level.at[side]), level.number) {
                (Some(_), _) => Next::Enter(level.next[side]),
                (None, Some(number)) => Next::Leave(number[side], level.next[side] - 1),
                (None, None) => Next::End,
            });
            let before = if level.is_apart == [false; 2] { &callees[0][..level.at[0]] } else { &[] };
            let first = Parting {
                next,
                number: level.next,
                before: before[before.len().saturating_sub(BEFORE)..].to_vec(),
                only: only.map(|only| only[..only.len().min(KEPT)].to_vec()),
                only_calls,
                then,
            };
            self.kinds.push(Kind { signature, first });
        }
        let is_cut = |finish| finish == Finish::StillOpen;
        matches!(then, Then::End([old, new]) if is_cut(old) != is_cut(new))
    }

    /// What is alike: the functions, however often they are called in turn.
    fn signature(&self, caller: ShapeId, only: [&[ShapeId]; 2], then: Then) -> u64 {
        let mut hasher = FxHasher::default();
        self.shapes[0].head(caller).key().hash(&mut hasher);
        for (shapes, only) in self.shapes.iter().zip(only) {
            let mut calls: Vec<u32> = only.iter().map(|&shape| shapes.head(shape).call()).collect();
            calls.dedup();
            calls.hash(&mut hasher);
        }
        match then {
            Then::End([old, new]) if old != new => (old, new).hash(&mut hasher),
            _ => {}
        }
        hasher.finish()
    }
}

/// Whether two calls did the same.
fn is_same(shapes: [&Shapes; 2], [old, new]: [ShapeId; 2]) -> bool {
    shapes[0].hash(old) == shapes[1].hash(new)
}

/// The way through the callees of two calls.
fn steps(shapes: [&Shapes; 2], [old, new]: [ShapeId; 2]) -> Vec<Step> {
    let (old, new) = (shapes[0].children(old), shapes[1].children(new));
    let same = align([old.len(), new.len()], |at| shapes[0].hash(old[at]), |at| shapes[1].hash(new[at]));
    let mut steps = Vec::new();
    for (gap, same) in gaps(&same, old.len(), new.len()) {
        pair(shapes, [&old[gap.old], &new[gap.new]], &mut steps);
        add(&mut steps, Step::Same(same));
    }
    steps
}

/// Pairs of calls of the same function, where nothing is alike.
fn pair(shapes: [&Shapes; 2], [old, new]: [&[ShapeId]; 2], steps: &mut Vec<Step>) {
    let call = |side: usize, id: ShapeId| shapes[side].head(id).call();
    let same = align([old.len(), new.len()], |at| call(0, old[at]), |at| call(1, new[at]));
    for (gap, same) in gaps(&same, old.len(), new.len()) {
        add(steps, Step::Gap([gap.old.len(), gap.new.len()]));
        for (&old, &new) in old[gap.old.end..][..same].iter().zip(&new[gap.new.end..]) {
            add(steps, if is_same(shapes, [old, new]) { Step::Same(1) } else { Step::Pair });
        }
    }
}

fn add(steps: &mut Vec<Step>, step: Step) {
    if !matches!(step, Step::Same(0) | Step::Gap([0, 0])) {
        steps.push(step);
    }
}
