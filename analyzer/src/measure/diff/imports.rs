//! Imports of all runs, by the modules that they lie in.

use super::evidence::Times;
use super::samples::{Samples, sums};
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
        self_ns: Times::new(self_ns),
        total_ns: Times::new(total_ns),
    };
    sums(|| Samples::none(old_runs, runs.len() - old_runs), imports).into_iter().map(diff).collect()
}
