//! Imports of all runs by module path, and garbage collections of all runs by generation.

use std::collections::BTreeMap;

use super::samples::Samples;
use super::significance::TimeChange;
use crate::measure::{GcPauses, Imports};

/// An import that one or more runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportDiff {
    /// The imports that it is nested in, the outermost first, and the module itself.
    pub modules: Vec<String>,
    /// The number of imports.
    pub count: Samples,
    /// Time in the import without nested imports.
    pub self_ns: TimeChange,
    /// Time in the import with nested imports.
    pub total_ns: TimeChange,
}

/// The pauses of one generation in all runs.
#[derive(Clone, Debug, PartialEq)]
pub struct GcDiff {
    /// The generation; none where it was not recorded.
    pub generation: Option<i64>,
    /// The number of pauses.
    pub pauses: Samples,
    /// Objects that were collected or found to be uncollectable.
    pub found: Samples,
    /// Time in pauses.
    pub total_ns: TimeChange,
}

/// Sums the imports of all runs, the old runs first.
pub fn align_imports(runs: &[Imports], old_runs: usize) -> Vec<ImportDiff> {
    let imports = runs.iter().enumerate().flat_map(|(run, imports)| {
        let mut modules: Vec<String> = Vec::new();
        imports.imports.iter().map(move |import| {
            modules.truncate(import.depth);
            modules.push(import.module.clone());
            (run, modules.clone(), [import.count, import.self_ns, import.total_ns])
        })
    });
    let diff = |(modules, [count, self_ns, total_ns]): (Vec<String>, [Samples; 3])| ImportDiff {
        modules,
        count,
        self_ns: TimeChange::new(self_ns),
        total_ns: TimeChange::new(total_ns),
    };
    sum_by_key((old_runs, runs.len().saturating_sub(old_runs)), imports).into_iter().map(diff).collect()
}

/// Sums the pauses of all runs, the old runs first.
pub fn align_gc(runs: &[GcPauses], old_runs: usize) -> Vec<GcDiff> {
    let pauses = runs.iter().enumerate().flat_map(|(run, gc)| {
        gc.generations.iter().map(move |pauses| {
            (run, pauses.generation, [pauses.pauses, pauses.found, pauses.lengths.total()])
        })
    });
    let diff = |(generation, [pauses, found, total_ns]): (Option<i64>, [Samples; 3])| GcDiff {
        generation,
        pauses,
        found,
        total_ns: TimeChange::new(total_ns),
    };
    sum_by_key((old_runs, runs.len().saturating_sub(old_runs)), pauses).into_iter().map(diff).collect()
}

/// Sums three numbers of each run by key. Runs are numbered over both sides. Imports and
/// pauses are read only on request, so there may be no runs.
fn sum_by_key<K: Ord>(
    (old_runs, new_runs): (usize, usize),
    rows: impl Iterator<Item = (usize, K, [u64; 3])>,
) -> BTreeMap<K, [Samples; 3]> {
    let mut sums: BTreeMap<K, [Samples; 3]> = BTreeMap::new();
    for (run, key, numbers) in rows {
        let zeros = || std::array::from_fn(|_| Samples::zero(old_runs, new_runs));
        let sum = sums.entry(key).or_insert_with(zeros);
        sum.iter_mut().zip(numbers).for_each(|(sum, number)| sum.add(run, number));
    }
    sums
}
