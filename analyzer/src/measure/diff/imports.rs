//! Imports of all runs, by the modules that they lie in.

use std::collections::BTreeMap;

use super::evidence::Times;
use super::samples::Samples;
use crate::measure::Imports;

/// An import of any run.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportDiff {
    /// The module, after those whose imports it lies in.
    pub modules: Vec<String>,
    /// How often.
    pub count: Samples,
    /// Time without the imports in it.
    pub self_ns: Times,
    /// Time with them.
    pub total_ns: Times,
}

/// Adds up the imports of all runs, the old ones first.
pub fn align(runs: &[Imports], old_runs: usize) -> Vec<ImportDiff> {
    let mut sums: BTreeMap<Vec<String>, [Samples; 3]> = BTreeMap::new();
    let none = || Samples::none(old_runs, runs.len() - old_runs);
    for (run, imports) in runs.iter().enumerate() {
        let mut modules: Vec<String> = Vec::new();
        for import in &imports.imports {
            modules.truncate(import.depth);
            modules.push(import.module.clone());
            let sum = sums.entry(modules.clone()).or_insert_with(|| [none(), none(), none()]);
            for (sum, part) in sum.iter_mut().zip([import.count, import.self_ns, import.total_ns]) {
                sum.add(run, part);
            }
        }
    }
    let diff = |(modules, [count, self_ns, total_ns]): (Vec<String>, [Samples; 3])| ImportDiff {
        modules,
        count,
        self_ns: Times::new(self_ns),
        total_ns: Times::new(total_ns),
    };
    sums.into_iter().map(diff).collect()
}
