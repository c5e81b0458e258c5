//! Garbage collections of all runs, by generation.

use std::collections::BTreeMap;

use super::evidence::Times;
use super::samples::Samples;
use crate::measure::Gc;

/// The pauses of one generation in any run.
#[derive(Clone, Debug, PartialEq)]
pub struct GcDiff {
    /// Which; none where it was not recorded.
    pub generation: Option<i64>,
    /// How many pauses there were.
    pub pauses: Samples,
    /// Objects that were collected, or found to be uncollectable.
    pub found: Samples,
    /// Time in pauses.
    pub total_ns: Times,
}

/// Adds up the pauses of all runs, the old ones first.
pub fn align(runs: &[Gc], old_runs: usize) -> Vec<GcDiff> {
    let mut sums: BTreeMap<Option<i64>, [Samples; 3]> = BTreeMap::new();
    let none = || Samples::none(old_runs, runs.len() - old_runs);
    for (run, gc) in runs.iter().enumerate() {
        for generation in &gc.generations {
            let sum = sums.entry(generation.generation).or_insert_with(|| [none(), none(), none()]);
            let parts = [generation.pauses, generation.found, generation.lengths.total()];
            for (sum, part) in sum.iter_mut().zip(parts) {
                sum.add(run, part);
            }
        }
    }
    let diff = |(generation, [pauses, found, total_ns]): (Option<i64>, [Samples; 3])| GcDiff {
        generation,
        pauses,
        found,
        total_ns: Times::new(total_ns),
    };
    sums.into_iter().map(diff).collect()
}
