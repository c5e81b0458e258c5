//! Common subsequences of two sequences by Myers' greedy difference algorithm, with bounded time.
//!
//! The algorithm (E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1,
//! 1986) takes O(ND) time for N items and D differences. Here a round ends after a limit of
//! differences, keeps the path that has advanced farthest, and the next round starts at its end. So
//! the result is a longest common subsequence if the sequences have at most [`MAX_DIFFERENCES`]
//! differences, and time is bounded if they have nothing in common.

use std::hash::Hash;
use std::ops::Range;

use rustc_hash::FxHashSet;

/// The limit of differences (insertions and deletions) in one round.
const MAX_DIFFERENCES: usize = 512;

/// The limit in one round after [`MAX_STEPS`].
const MAX_DIFFERENCES_LATE: usize = 16;

/// The number of steps, over all rounds, after which the lower limit applies.
const MAX_STEPS: usize = 20_000_000;

/// A run of equal items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EqualRun {
    /// Where it begins in the old sequence.
    pub old: usize,
    /// Where it begins in the new sequence.
    pub new: usize,
    /// The number of items.
    pub length: usize,
}

/// Items between two equal runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The items of the old sequence.
    pub old: Range<usize>,
    /// The items of the new sequence.
    pub new: Range<usize>,
}

/// The equal runs of two sequences, in order and each as long as possible. A sequence is given by
/// its length and a function from index to item.
pub fn common_subsequence<T: Copy + Eq + Hash>(
    [old_end, new_end]: [usize; 2],
    old: impl Fn(usize) -> T,
    new: impl Fn(usize) -> T,
) -> Vec<EqualRun> {
    let shorter = old_end.min(new_end);
    let prefix = (0..shorter).take_while(|&index| old(index) == new(index)).count();
    let is_equal_from_end = |&index: &usize| old(old_end - 1 - index) == new(new_end - 1 - index);
    let suffix = (0..shorter - prefix).take_while(is_equal_from_end).count();
    let (old_end, new_end) = (old_end - suffix, new_end - suffix);
    let mut runs = EqualRuns::default();
    runs.push(EqualRun { old: 0, new: 0, length: prefix });
    if prefix < old_end && prefix < new_end {
        let old: Vec<T> = (prefix..old_end).map(old).collect();
        let new: Vec<T> = (prefix..new_end).map(new).collect();
        let ((old_indices, old), (new_indices, new)) = (shared(&old, &new), shared(&new, &old));
        for run in search(&old, &new) {
            for index in 0..run.length {
                runs.push(EqualRun {
                    old: prefix + old_indices[run.old + index],
                    new: prefix + new_indices[run.new + index],
                    length: 1,
                });
            }
        }
    }
    runs.push(EqualRun { old: old_end, new: new_end, length: suffix });
    runs.0
}

/// The gap before each equal run, with the length of the run; last the gap after all runs, with
/// length 0.
pub fn gaps(runs: &[EqualRun], old: usize, new: usize) -> impl Iterator<Item = (Gap, usize)> {
    let end = EqualRun { old, new, length: 0 };
    let mut start = (0, 0);
    runs.iter().copied().chain([end]).map(move |run| {
        let gap = Gap { old: start.0..run.old, new: start.1..run.new };
        start = (run.old + run.length, run.new + run.length);
        (gap, run.length)
    })
}

/// The items that also occur in the other sequence, with their indices. Others cannot be part of a
/// common subsequence.
fn shared<T: Copy + Eq + Hash>(items: &[T], other: &[T]) -> (Vec<usize>, Vec<T>) {
    let other: FxHashSet<T> = other.iter().copied().collect();
    items.iter().copied().enumerate().filter(|(_, item)| other.contains(item)).unzip()
}

/// Equal runs in order. Adjacent runs are joined.
#[derive(Default)]
struct EqualRuns(Vec<EqualRun>);

impl EqualRuns {
    fn push(&mut self, run: EqualRun) {
        match self.0.last_mut() {
            _ if run.length == 0 => {}
            Some(last) if (last.old + last.length, last.new + last.length) == (run.old, run.new) => {
                last.length += run.length;
            }
            _ => self.0.push(run),
        }
    }
}

fn search<T: Eq>(old: &[T], new: &[T]) -> Vec<EqualRun> {
    let mut runs = EqualRuns::default();
    let (mut start, mut steps) = ((0, 0), 0);
    while start.0 < old.len() && start.1 < new.len() {
        let max_differences = if steps < MAX_STEPS { MAX_DIFFERENCES } else { MAX_DIFFERENCES_LATE };
        let round = Round::search(&old[start.0..], &new[start.1..], max_differences);
        steps += round.paths.len() * round.paths.len();
        for run in round.equal_runs() {
            runs.push(EqualRun { old: start.0 + run.old, new: start.1 + run.new, ..run });
        }
        start = (start.0 + round.end.0, start.1 + round.end.1);
    }
    runs.0
}

/// One round of the search. A path is a point in the edit graph that is reached with a number of
/// differences. For each number of differences and each diagonal (old index minus new index), the
/// farthest path is kept.
///
/// ```text
///            new ─▶  a  b  c
///      old  a        ╲           ╲ equal items
///       │   x        │           │ deletion of an old item
///       ▼   b           ╲  ─     ─ insertion of a new item
/// ```
struct Round<'a, T> {
    old: &'a [T],
    new: &'a [T],
    /// For each number of differences n, the old indices of the paths on the diagonals -n, -n + 2,
    /// … n.
    paths: Vec<Vec<usize>>,
    /// The end of the best path, as old and new index.
    end: (usize, usize),
}

impl<'a, T: Eq> Round<'a, T> {
    fn search(old: &'a [T], new: &'a [T], max_differences: usize) -> Round<'a, T> {
        let mut round = Round { old, new, paths: Vec::new(), end: (0, 0) };
        let mut farthest = 0;
        for differences in 0..=max_differences as isize {
            let mut paths = Vec::with_capacity(differences as usize + 1);
            for diagonal in (-differences..=differences).step_by(2) {
                let old_index = round.follow_equal(round.start(differences, diagonal), diagonal);
                paths.push(old_index);
                let (old_index, new_index) = (old_index as isize, old_index as isize - diagonal);
                let is_inside =
                    old_index <= old.len() as isize && (0..=new.len() as isize).contains(&new_index);
                if is_inside && (old_index + new_index > farthest || differences == 0) {
                    farthest = old_index + new_index;
                    round.end = (old_index as usize, new_index as usize);
                }
            }
            round.paths.push(paths);
            if round.end == (old.len(), new.len()) {
                break;
            }
        }
        round
    }

    /// The old index after the last difference of a path: one step from the better path on a
    /// neighbouring diagonal.
    fn start(&self, differences: isize, diagonal: isize) -> usize {
        if differences == 0 {
            return 0;
        }
        let deletion = self.path(differences - 1, diagonal - 1).map(|old_index| old_index + 1);
        let insertion = self.path(differences - 1, diagonal + 1);
        deletion.max(insertion).unwrap_or(0)
    }

    fn path(&self, differences: isize, diagonal: isize) -> Option<usize> {
        let index = usize::try_from(diagonal + differences).ok()? / 2;
        self.paths.get(usize::try_from(differences).ok()?)?.get(index).copied()
    }

    /// The old index after the equal items that begin at that point.
    fn follow_equal(&self, old_index: usize, diagonal: isize) -> usize {
        let Ok(new_index) = usize::try_from(old_index as isize - diagonal) else { return old_index };
        let (Some(old), Some(new)) = (self.old.get(old_index..), self.new.get(new_index..)) else {
            return old_index;
        };
        old_index + old.iter().zip(new).take_while(|(old, new)| old == new).count()
    }

    /// The equal runs along the best path, in order.
    fn equal_runs(&self) -> Vec<EqualRun> {
        let diagonal = self.end.0 as isize - self.end.1 as isize;
        let ends_here = |differences: &isize| self.path(*differences, diagonal) == Some(self.end.0);
        let first = diagonal.abs();
        let Some(mut differences) = (first..self.paths.len() as isize).step_by(2).find(ends_here) else {
            return vec![];
        };
        let (mut diagonal, mut old_end) = (diagonal, self.end.0);
        let mut runs = Vec::new();
        loop {
            let start = self.start(differences, diagonal);
            let new = (start as isize - diagonal).max(0) as usize;
            runs.push(EqualRun { old: start, new, length: old_end - start });
            if differences == 0 {
                break;
            }
            let is_deletion =
                self.path(differences - 1, diagonal - 1).is_some_and(|old_index| old_index + 1 == start);
            differences -= 1;
            (diagonal, old_end) = if is_deletion { (diagonal - 1, start - 1) } else { (diagonal + 1, start) };
        }
        runs.reverse();
        runs
    }
}

#[cfg(test)]
mod tests {
    //! Compared with the dynamic-programming solution.

    use proptest::prelude::*;

    use super::*;

    fn common(old: &[u32], new: &[u32]) -> Vec<EqualRun> {
        common_subsequence([old.len(), new.len()], |at| old[at], |at| new[at])
    }

    /// The length of the longest common subsequence.
    fn longest_length(old: &[u32], new: &[u32]) -> usize {
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

    fn is_valid(runs: &[EqualRun], old: &[u32], new: &[u32]) -> bool {
        let is_equal = |run: &EqualRun| old[run.old..][..run.length] == new[run.new..][..run.length];
        let is_ordered = |two: &[EqualRun]| {
            two[0].old + two[0].length <= two[1].old && two[0].new + two[0].length <= two[1].new
        };
        runs.iter().all(is_equal) && runs.windows(2).all(is_ordered)
    }

    #[test]
    fn insertions_and_deletions_are_in_the_gaps() {
        let (old, new) = ([1, 2, 3, 4, 5], [1, 9, 2, 4, 5, 5]);
        let runs = common(&old, &new);
        let gap = |old, new| Gap { old, new };
        assert_eq!(
            gaps(&runs, old.len(), new.len()).collect::<Vec<_>>(),
            [
                (gap(0..0, 0..0), 1),
                (gap(1..1, 1..2), 1),
                (gap(2..3, 3..3), 1),
                (gap(4..4, 4..5), 1),
                (gap(5..5, 6..6), 0)
            ]
        );
        assert_eq!((common(&[], &[]), common(&[1], &[])), (vec![], vec![]));
    }

    #[test]
    fn sequences_with_little_in_common_take_several_rounds() {
        let old: Vec<u32> = (0..20_000).map(|at| at * 7919 % 1_000).collect();
        let new: Vec<u32> = (0..20_000).map(|at| at * 104_729 % 997).collect();
        let runs = common(&old, &new);
        assert!(is_valid(&runs, &old, &new));
        assert!(runs.iter().map(|run| run.length).sum::<usize>() > 200);
    }

    proptest! {
        #![proptest_config(crate::tree::tests::cases(2_000))]

        #[test]
        fn the_common_subsequence_is_a_longest_one(
            old in prop::collection::vec(0..6u32, 0..40), new in prop::collection::vec(0..6u32, 0..40),
        ) {
            let runs = common(&old, &new);
            prop_assert!(is_valid(&runs, &old, &new));
            prop_assert_eq!(runs.iter().map(|run| run.length).sum::<usize>(), longest_length(&old, &new));
        }
    }
}
