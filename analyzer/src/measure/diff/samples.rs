//! One number for each run of both sides.

use std::collections::BTreeMap;

use serde::Serialize;

/// What was counted or measured in each run. A run that knows nothing of it has 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Samples {
    /// In the old runs.
    pub old: Vec<u64>,
    /// In the new ones.
    pub new: Vec<u64>,
}

/// What became of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountVerdict {
    /// Every run has the same.
    Same,
    /// Runs of one side differ by themselves, and the other side is within what they have.
    Varies,
    /// Every new run has more or less than every old one.
    Changed,
}

impl Samples {
    /// None yet, for so many runs.
    pub fn none(old_runs: usize, new_runs: usize) -> Samples {
        Samples { old: vec![0; old_runs], new: vec![0; new_runs] }
    }

    /// Adds to what a run has. A sum stops at the largest number.
    pub fn add(&mut self, run: usize, more: u64) {
        let sum = self.of_run(run);
        *sum = sum.saturating_add(more);
    }

    /// That of a run, by its number over both sides.
    pub fn of_run(&mut self, run: usize) -> &mut u64 {
        match run.checked_sub(self.old.len()) {
            None => &mut self.old[run],
            Some(run) => &mut self.new[run],
        }
    }

    /// That of a run.
    pub fn get(&self, run: usize) -> u64 {
        self.old.iter().chain(&self.new).nth(run).copied().unwrap_or(0)
    }

    /// That of the middle old run: what all of them have, where they agree.
    pub fn old_median(&self) -> u64 {
        median(&self.old)
    }

    /// That of the middle new run.
    pub fn new_median(&self) -> u64 {
        median(&self.new)
    }

    /// What became of it, if it is a count.
    pub fn verdict(&self) -> CountVerdict {
        let (old, new) = (Samples::range(&self.old), Samples::range(&self.new));
        match () {
            () if old == new && old.0 == old.1 => CountVerdict::Same,
            () if old.1 < new.0 || new.1 < old.0 => CountVerdict::Changed,
            () => CountVerdict::Varies,
        }
    }

    /// The least and the most of one side.
    pub fn range(side: &[u64]) -> (u64, u64) {
        (side.iter().copied().min().unwrap_or(0), side.iter().copied().max().unwrap_or(0))
    }

    /// Whether one side has nothing of it.
    pub fn is_one_sided(&self) -> bool {
        let is_none = |side: &[u64]| side.iter().all(|&sample| sample == 0);
        is_none(&self.old) || is_none(&self.new)
    }

    /// How far apart the middle runs are.
    pub fn distance(&self) -> u64 {
        self.old_median().abs_diff(self.new_median())
    }
}

/// The lower one of two that are in the middle.
fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

/// Adds up three numbers of each run by what they are of. Runs are numbered over both sides.
pub fn sums<K: Ord>(
    none: impl Fn() -> Samples,
    parts: impl Iterator<Item = (usize, K, [u64; 3])>,
) -> BTreeMap<K, [Samples; 3]> {
    let mut sums = BTreeMap::new();
    for (run, key, parts) in parts {
        let sum: &mut [Samples; 3] = sums.entry(key).or_insert_with(|| [none(), none(), none()]);
        sum.iter_mut().zip(parts).for_each(|(sum, part)| sum.add(run, part));
    }
    sums
}

#[cfg(test)]
mod tests {
    //! Verdicts on counts.

    use super::*;

    fn samples(old: &[u64], new: &[u64]) -> Samples {
        Samples { old: old.to_vec(), new: new.to_vec() }
    }

    #[test]
    fn counts_are_compared_exactly() {
        for (old, new, verdict) in [
            (&[7][..], &[7][..], CountVerdict::Same),
            (&[7], &[8], CountVerdict::Changed),
            (&[0], &[1], CountVerdict::Changed),
            (&[7, 7, 7], &[7, 7], CountVerdict::Same),
            (&[7, 8, 7], &[9, 9], CountVerdict::Changed),
            (&[7, 8, 7], &[7, 7], CountVerdict::Varies),
            (&[7, 8, 7], &[8, 9], CountVerdict::Varies),
            (&[9, 9], &[7, 8], CountVerdict::Changed),
        ] {
            assert_eq!(samples(old, new).verdict(), verdict, "{old:?} {new:?}");
        }
    }

    #[test]
    fn the_middle_run_stands_for_its_side() {
        let samples = samples(&[9, 1, 5], &[4, 2]);
        assert_eq!((samples.old_median(), samples.new_median(), samples.distance()), (5, 2, 3));
        assert_eq!(Samples::none(0, 0).old_median(), 0);
    }

    #[test]
    fn runs_are_numbered_over_both_sides() {
        let mut samples = Samples::none(1, 2);
        *samples.of_run(2) += 5;
        assert_eq!((&samples.old[..], &samples.new[..]), (&[0][..], &[0, 5][..]));
        assert!(samples.is_one_sided());
    }
}
