//! What two lists have in common, in order.
//!
//! Myers' greedy search for the fewest items that are in one list only, in rounds: a round gives up after so many of
//! them, keeps the way that has come farthest, and the next one goes on from there. So the result is the best there is
//! where the lists differ little, and the time is bounded where they have nothing in common.

use std::hash::Hash;
use std::ops::Range;

use rustc_hash::FxHashSet;

/// So many items that are in one list only are looked past in one round.
const FAR: usize = 512;

/// The same, once that has taken too many steps.
const NEAR: usize = 16;

/// Steps before that.
const STEPS: usize = 20_000_000;

/// Items that are the same in both lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Same {
    /// Where in the old list.
    pub old: usize,
    /// Where in the new list.
    pub new: usize,
    /// How many.
    pub length: usize,
}

/// Items that are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Those of the old list.
    pub old: Range<usize>,
    /// Those of the new list.
    pub new: Range<usize>,
}

/// Stretches that both lists have, in their order, as long as they can be. Lists are given by their lengths and items.
pub fn align<T: Copy + Eq + Hash>(
    [old_end, new_end]: [usize; 2],
    old: impl Fn(usize) -> T,
    new: impl Fn(usize) -> T,
) -> Vec<Same> {
    let shorter = old_end.min(new_end);
    let before = (0..shorter).take_while(|&at| old(at) == new(at)).count();
    let is_same_from_end = |&at: &usize| old(old_end - 1 - at) == new(new_end - 1 - at);
    let after = (0..shorter - before).take_while(is_same_from_end).count();
    let (old_end, new_end) = (old_end - after, new_end - after);
    let mut found = Found::default();
    found.add(Same { old: 0, new: 0, length: before });
    if before < old_end && before < new_end {
        let old: Vec<T> = (before..old_end).map(old).collect();
        let new: Vec<T> = (before..new_end).map(new).collect();
        let ((old_at, old), (new_at, new)) = (shared(&old, &new), shared(&new, &old));
        for same in search(&old, &new) {
            for at in 0..same.length {
                found.add(Same {
                    old: before + old_at[same.old + at],
                    new: before + new_at[same.new + at],
                    length: 1,
                });
            }
        }
    }
    found.add(Same { old: old_end, new: new_end, length: after });
    found.0
}

/// What lies before each of those stretches, and how long it is; at last what lies behind all of them.
pub fn gaps(same: &[Same], old: usize, new: usize) -> impl Iterator<Item = (Gap, usize)> {
    let end = Same { old, new, length: 0 };
    let mut at = (0, 0);
    same.iter().copied().chain([end]).map(move |next| {
        let gap = Gap { old: at.0..next.old, new: at.1..next.new };
        at = (next.old + next.length, next.new + next.length);
        (gap, next.length)
    })
}

/// The items that the other list has, too, with their places. The rest cannot be in common.
fn shared<T: Copy + Eq + Hash>(items: &[T], other: &[T]) -> (Vec<usize>, Vec<T>) {
    let other: FxHashSet<T> = other.iter().copied().collect();
    items.iter().copied().enumerate().filter(|(_, item)| other.contains(item)).unzip()
}

/// Stretches, joined where one continues the other.
#[derive(Default)]
struct Found(Vec<Same>);

impl Found {
    fn add(&mut self, same: Same) {
        match self.0.last_mut() {
            _ if same.length == 0 => {}
            Some(last) if (last.old + last.length, last.new + last.length) == (same.old, same.new) => {
                last.length += same.length;
            }
            _ => self.0.push(same),
        }
    }
}

fn search<T: Eq>(old: &[T], new: &[T]) -> Vec<Same> {
    let mut found = Found::default();
    let (mut at, mut steps) = ((0, 0), 0);
    while at.0 < old.len() && at.1 < new.len() {
        let most = if steps < STEPS { FAR } else { NEAR };
        let round = Round::search(&old[at.0..], &new[at.1..], most);
        steps += round.ways.len() * round.ways.len();
        for same in round.found() {
            found.add(Same { old: at.0 + same.old, new: at.1 + same.new, ..same });
        }
        at = (at.0 + round.end.0, at.1 + round.end.1);
    }
    found.0
}

/// One round. A way is a place in both lists that can be reached by leaving out so many items; of those with the same
/// difference between the places, the farthest.
///
/// ```text
///            new ─▶  a  b  c
///      old  a        ╲           ╲ in both: costs nothing
///       │   x        │           │ in the old list only
///       ▼   b           ╲  ─     ─ in the new list only
/// ```
struct Round<'a, T> {
    old: &'a [T],
    new: &'a [T],
    /// For each number of items left out, the places in the old list by their difference: -n, -n + 2, … n.
    ways: Vec<Vec<usize>>,
    /// Where the best way ends.
    end: (usize, usize),
}

impl<'a, T: Eq> Round<'a, T> {
    fn search(old: &'a [T], new: &'a [T], most: usize) -> Round<'a, T> {
        let mut round = Round { old, new, ways: Vec::new(), end: (0, 0) };
        let mut farthest = 0;
        for left_out in 0..=most as isize {
            let mut ways = Vec::with_capacity(left_out as usize + 1);
            for difference in (-left_out..=left_out).step_by(2) {
                let old_at = round.slide(round.enter(left_out, difference), difference);
                ways.push(old_at);
                let (old_at, new_at) = (old_at as isize, old_at as isize - difference);
                let is_inside = old_at <= old.len() as isize && (0..=new.len() as isize).contains(&new_at);
                if is_inside && (old_at + new_at > farthest || left_out == 0) {
                    farthest = old_at + new_at;
                    round.end = (old_at as usize, new_at as usize);
                }
            }
            round.ways.push(ways);
            if round.end == (old.len(), new.len()) {
                break;
            }
        }
        round
    }

    /// Where a way begins that leaves out so many: a step from the better of its two neighbours.
    fn enter(&self, left_out: isize, difference: isize) -> usize {
        if left_out == 0 {
            return 0;
        }
        let removed = self.way(left_out - 1, difference - 1).map(|at| at + 1);
        let added = self.way(left_out - 1, difference + 1);
        removed.max(added).unwrap_or(0)
    }

    fn way(&self, left_out: isize, difference: isize) -> Option<usize> {
        let at = usize::try_from(difference + left_out).ok()? / 2;
        self.ways.get(usize::try_from(left_out).ok()?)?.get(at).copied()
    }

    fn slide(&self, old_at: usize, difference: isize) -> usize {
        let Ok(new_at) = usize::try_from(old_at as isize - difference) else { return old_at };
        let (Some(old), Some(new)) = (self.old.get(old_at..), self.new.get(new_at..)) else { return old_at };
        old_at + old.iter().zip(new).take_while(|(old, new)| old == new).count()
    }

    /// The stretches along the best way, in order.
    fn found(&self) -> Vec<Same> {
        let difference = self.end.0 as isize - self.end.1 as isize;
        let ends_here = |left_out: &isize| self.way(*left_out, difference) == Some(self.end.0);
        let first = difference.abs();
        let Some(mut left_out) = (first..self.ways.len() as isize).step_by(2).find(ends_here) else {
            return vec![];
        };
        let (mut difference, mut old_end) = (difference, self.end.0);
        let mut found = Vec::new();
        loop {
            let from = self.enter(left_out, difference);
            let new = (from as isize - difference).max(0) as usize;
            found.push(Same { old: from, new, length: old_end - from });
            if left_out == 0 {
                break;
            }
            let is_removed = self.way(left_out - 1, difference - 1).is_some_and(|at| at + 1 == from);
            left_out -= 1;
            (difference, old_end) =
                if is_removed { (difference - 1, from - 1) } else { (difference + 1, from) };
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    //! Against the table that everybody draws.

    use proptest::prelude::*;

    use super::*;

    fn align_lists(old: &[u32], new: &[u32]) -> Vec<Same> {
        align([old.len(), new.len()], |at| old[at], |at| new[at])
    }

    /// The length of the longest common subsequence.
    fn longest(old: &[u32], new: &[u32]) -> usize {
        let mut table = vec![vec![0; new.len() + 1]; old.len() + 1];
        for (row, old) in old.iter().enumerate() {
            for (column, new) in new.iter().enumerate() {
                table[row + 1][column + 1] = match old == new {
                    true => table[row][column] + 1,
                    false => table[row][column + 1].max(table[row + 1][column]),
                };
            }
        }
        table[old.len()][new.len()]
    }

    fn is_valid(same: &[Same], old: &[u32], new: &[u32]) -> bool {
        let is_equal = |same: &Same| old[same.old..][..same.length] == new[same.new..][..same.length];
        let is_after = |two: &[Same]| {
            two[0].old + two[0].length <= two[1].old && two[0].new + two[0].length <= two[1].new
        };
        same.iter().all(is_equal) && same.windows(2).all(is_after)
    }

    #[test]
    fn what_was_added_and_removed_lies_in_the_gaps() {
        let (old, new) = ([1, 2, 3, 4, 5], [1, 9, 2, 4, 5, 5]);
        let same = align_lists(&old, &new);
        let gap = |old, new| Gap { old, new };
        assert_eq!(
            gaps(&same, old.len(), new.len()).collect::<Vec<_>>(),
            [
                (gap(0..0, 0..0), 1),
                (gap(1..1, 1..2), 1),
                (gap(2..3, 3..3), 1),
                (gap(4..4, 4..5), 1),
                (gap(5..5, 6..6), 0)
            ]
        );
        assert_eq!((align_lists(&[], &[]), align_lists(&[1], &[])), (vec![], vec![]));
    }

    #[test]
    fn lists_with_little_in_common_take_rounds() {
        let old: Vec<u32> = (0..20_000).map(|at| at * 7919 % 1_000).collect();
        let new: Vec<u32> = (0..20_000).map(|at| at * 104_729 % 997).collect();
        let same = align_lists(&old, &new);
        assert!(is_valid(&same, &old, &new));
        assert!(same.iter().map(|same| same.length).sum::<usize>() > 200);
    }

    proptest! {
        #![proptest_config(crate::tree::tests::cases(2_000))]

        #[test]
        fn nothing_more_is_in_common(
            old in prop::collection::vec(0..6u32, 0..40), new in prop::collection::vec(0..6u32, 0..40),
        ) {
            let same = align_lists(&old, &new);
            prop_assert!(is_valid(&same, &old, &new));
            prop_assert_eq!(same.iter().map(|same| same.length).sum::<usize>(), longest(&old, &new));
        }
    }
}
