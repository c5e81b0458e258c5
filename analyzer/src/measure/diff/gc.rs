//! Garbage collections of all runs, by generation.

use super::evidence::Times;
use super::samples::{Samples, sums};
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
    let pauses = runs.iter().enumerate().flat_map(|(run, gc)| {
        gc.generations.iter().map(move |pauses| {
            (run, pauses.generation, [pauses.pauses, pauses.found, pauses.lengths.total()])
        })
    });
    let diff = |(generation, [pauses, found, total_ns]): (Option<i64>, [Samples; 3])| GcDiff {
        generation,
        pauses,
        found,
        total_ns: Times::new(total_ns),
    };
    sums(|| Samples::none(old_runs, runs.len() - old_runs), pauses).into_iter().map(diff).collect()
}
