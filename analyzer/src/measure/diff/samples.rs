//! One number for each run of both sides.

use serde::Serialize;

/// A count or a time in each run. It is 0 in runs that do not have what is counted or measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Samples {
    /// The old runs.
    pub old: Vec<u64>,
    /// The new runs.
    pub new: Vec<u64>,
}

/// The result of comparing the counts of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountVerdict {
    /// All runs have the same count.
    Same,
    /// Runs of one side differ, and the ranges of both sides overlap.
    Varies,
    /// The ranges are disjoint: every new run has more, or every new run has less, than every old
    /// run.
    Changed,
}

impl Samples {
    /// Zeros for that many runs.
    pub fn zero(old_runs: usize, new_runs: usize) -> Samples {
        Samples { old: vec![0; old_runs], new: vec![0; new_runs] }
    }

    /// Adds to the number of a run, saturating. Runs are numbered over both sides, the old ones
    /// first.
    pub fn add(&mut self, run: usize, more: u64) {
        let number = match run.checked_sub(self.old.len()) {
            None => &mut self.old[run],
            Some(run) => &mut self.new[run],
        };
        *number = number.saturating_add(more);
    }

    /// The number of a run; 0 if there is no such run. Runs are numbered over both sides, the old
    /// ones first.
    pub fn get(&self, run: usize) -> u64 {
        self.old.iter().chain(&self.new).nth(run).copied().unwrap_or(0)
    }

    /// The median of the old runs; the lower one of two.
    pub fn old_median(&self) -> u64 {
        lower_median(&self.old)
    }

    /// The median of the new runs; the lower one of two.
    pub fn new_median(&self) -> u64 {
        lower_median(&self.new)
    }

    /// Compares the sides as counts.
    pub fn verdict(&self) -> CountVerdict {
        let (old, new) = (Samples::range(&self.old), Samples::range(&self.new));
        match () {
            () if old == new && old.0 == old.1 => CountVerdict::Same,
            () if old.1 < new.0 || new.1 < old.0 => CountVerdict::Changed,
            () => CountVerdict::Varies,
        }
    }

    /// The minimum and the maximum of one side; 0 and 0 if it is empty.
    pub fn range(side: &[u64]) -> (u64, u64) {
        (side.iter().copied().min().unwrap_or(0), side.iter().copied().max().unwrap_or(0))
    }

    /// Whether all numbers of one side are 0.
    pub fn is_one_sided(&self) -> bool {
        let is_zero = |side: &[u64]| side.iter().all(|&sample| sample == 0);
        is_zero(&self.old) || is_zero(&self.new)
    }

    /// The absolute difference between the medians.
    pub fn distance(&self) -> u64 {
        self.old_median().abs_diff(self.new_median())
    }
}

fn lower_median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0)
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
    fn the_median_is_the_lower_one_of_two() {
        let samples = samples(&[9, 1, 5], &[4, 2]);
        assert_eq!((samples.old_median(), samples.new_median(), samples.distance()), (5, 2, 3));
        assert_eq!(Samples::zero(0, 0).old_median(), 0);
    }

    #[test]
    fn runs_are_numbered_over_both_sides() {
        let mut samples = Samples::zero(1, 2);
        samples.add(2, 5);
        assert_eq!((&samples.old[..], &samples.new[..]), (&[0][..], &[0, 5][..]));
        assert!(samples.is_one_sided());
    }
}
