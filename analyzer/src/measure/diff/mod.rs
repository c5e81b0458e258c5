//! A comparison of two sides, each of one or more runs of a program.
//!
//! ```text
//! old runs ─┐              ┌─ functions
//!           ├─ alignment ──┼─ call paths ──┬─ counts: compared exactly
//! new runs ─┘              ├─ lines        └─ times: significance tests
//!                          └─ imports, gc
//! ```
//!
//! Counts such as calls and hits are exact, so a verdict on them needs one run a side. Times vary
//! from run to run, so a verdict on them needs several runs a side.

mod call_paths;
mod gate;
mod imports_gc;
mod lines;
mod samples;
mod significance;

use pyrec_schema::Trace;

pub use call_paths::{CallPath, CallsDiff};
pub use gate::{Breach, GateError, Rule, RuleError};
pub use imports_gc::{GcDiff, ImportDiff};
pub use lines::{FileDiff, LineDiff};
pub use samples::{CountVerdict, Samples};
pub use significance::{
    CONFIDENCE_LEVEL, FAMILYWISE_ERROR_RATE, MIN_CHANGE, RatioInterval, TimeChange, TimeVerdict,
};

use super::alignment::{Alignment, Rename, RunNames, Side};
use super::{Comparability, GcPauses, Imports, Lines, RunConditions, Sources, Trust};
use crate::{CallTree, Filter, Result};

/// What a comparison reads. Calls are always compared.
#[derive(Clone, Debug, Default)]
pub struct DiffOptions {
    /// The part of each recording that is compared.
    pub filter: Filter,
    /// Names of the old side that are different on the new side.
    pub renames: Vec<Rename>,
    /// Compare lines.
    pub lines: bool,
    /// Compare imports.
    pub imports: bool,
    /// Compare garbage collections.
    pub gc: bool,
}

/// A comparison of two sides.
#[derive(Debug)]
pub struct Diff {
    /// Whether the runs can be compared.
    pub comparability: Comparability,
    /// The number of old runs.
    pub old_runs: usize,
    /// The trust of each run, the old runs first.
    pub trust: Vec<Trust>,
    /// The functions, files and lines of all runs.
    pub alignment: Alignment,
    /// The calls of every function, indexed by [`FunctionId`](super::alignment::FunctionId).
    pub functions: Vec<CallsDiff>,
    /// The call paths of all runs, callers before their callees.
    pub paths: Vec<CallPath>,
    /// The sum over all calls.
    pub whole: CallsDiff,
    /// The lines of all runs that were executed, entered or left; empty if lines were not read.
    pub lines: Vec<LineDiff>,
    /// The files of these lines, in the same order.
    pub files: Vec<FileDiff>,
    /// Whether lines were read and every run has `line` events.
    pub has_hits: bool,
    /// The imports of all runs; empty if imports were not read.
    pub imports: Vec<ImportDiff>,
    /// The collector generations of all runs; empty if garbage collections were not read.
    pub gc: Vec<GcDiff>,
}

/// A run with its call tree.
struct LoadedRun<'a> {
    side: Side,
    trace: &'a Trace,
    calls: CallTree,
    sources: Sources,
}

impl Diff {
    /// Reads and compares the traces of two sides.
    ///
    /// # Errors
    ///
    /// Fails if a trace cannot be read, or if a rename applies to no name of the old side.
    pub fn read(old: &[Trace], new: &[Trace], options: &DiffOptions) -> Result<Diff> {
        let filter = &options.filter;
        let sides =
            old.iter().map(|trace| (Side::Old, trace)).chain(new.iter().map(|trace| (Side::New, trace)));
        let traces: Vec<&Trace> = old.iter().chain(new).collect();
        let runs = sides
            .map(|(side, trace)| LoadedRun::read(side, trace, filter))
            .collect::<Result<Vec<LoadedRun>>>()?;
        let lines: Vec<Lines> = read_if(options.lines, &traces, |trace| Lines::read(trace, filter))?;
        let imports: Vec<Imports> = read_if(options.imports, &traces, |trace| Imports::read(trace, filter))?;
        let gc: Vec<GcPauses> = read_if(options.gc, &traces, |trace| GcPauses::read(trace, filter))?;
        let names = runs.iter().enumerate().map(|(number, run)| run.names(lines.get(number)));
        let alignment = Alignment::of(&names.collect::<Vec<_>>(), &options.renames)?;
        let mut merged = call_paths::CallPaths::new((old.len(), new.len()), alignment.functions.len());
        for (number, run) in runs.iter().enumerate() {
            merged.add(number, &run.calls, &alignment);
        }
        let call_paths::CallPaths { paths, functions, whole, .. } = merged;
        let trust: Vec<Trust> = runs.iter().map(|run| Trust::of(&run.calls)).collect();
        let conditions = runs.iter().zip(&trust).map(|(run, trust)| run.conditions(trust));
        let comparability = Comparability::of(&conditions.collect::<Vec<_>>());
        let has_hits = !lines.is_empty() && lines.iter().all(|lines| lines.has_hits);
        let files = lines::align_files(&lines, old.len(), &alignment);
        let lines = lines::align_lines(&lines, old.len(), &alignment);
        let imports = imports_gc::align_imports(&imports, old.len());
        let gc = imports_gc::align_gc(&gc, old.len());
        let mut diff = Diff {
            comparability,
            old_runs: old.len(),
            trust,
            alignment,
            functions,
            paths,
            whole,
            lines,
            files,
            has_hits,
            imports,
            gc,
        };
        diff.test_times();
        Ok(diff)
    }

    /// The number of new runs.
    pub fn new_runs(&self) -> usize {
        self.trust.len() - self.old_runs
    }

    /// Whether each side has at least two runs, which a significance test needs.
    pub fn has_evidence(&self) -> bool {
        self.old_runs > 1 && self.new_runs() > 1
    }

    /// The name of a line for reports: its module or file, and its number on both sides.
    pub fn line_label(&self, line: &LineDiff) -> String {
        let file = self.alignment.file_label(line.file_id);
        match (line.old_number, line.new_number) {
            (Some(old), Some(new)) if old != new => format!("{file}:{old} → {new}"),
            (old, new) => format!("{file}:{}", new.or(old).unwrap_or(line.line.line)),
        }
    }

    /// The sum of several counts, run by run.
    fn sum<'a>(&self, samples: impl Iterator<Item = &'a Samples>) -> Samples {
        let mut sum = Samples::zero(self.old_runs, self.new_runs());
        for samples in samples {
            for run in 0..self.trust.len() {
                sum.add(run, samples.get(run));
            }
        }
        sum
    }

    /// Tests all times. The times of each view are one family of hypotheses.
    fn test_times(&mut self) {
        let all_ns = self.whole.total_ns.samples.clone();
        let functions = self.functions.iter_mut().flat_map(CallsDiff::times);
        significance::test_family(functions.chain(self.whole.times()), &all_ns);
        significance::test_family(self.paths.iter_mut().flat_map(|path| path.calls.times()), &all_ns);
        let lines = self.lines.iter_mut().flat_map(|line| [&mut line.self_ns, &mut line.total_ns]);
        significance::test_family(lines, &all_ns);
        let files = self.files.iter_mut().flat_map(|file| [&mut file.self_ns, &mut file.total_ns]);
        significance::test_family(files, &all_ns);
        let imports = self.imports.iter_mut().flat_map(|import| [&mut import.self_ns, &mut import.total_ns]);
        significance::test_family(imports, &all_ns);
        significance::test_family(self.gc.iter_mut().map(|gc| &mut gc.total_ns), &all_ns);
    }
}

/// Reads one measure of each trace if it is wanted.
fn read_if<T>(is_wanted: bool, traces: &[&Trace], read: impl Fn(&Trace) -> Result<T>) -> Result<Vec<T>> {
    if is_wanted { traces.iter().map(|trace| read(trace)).collect() } else { Ok(Vec::new()) }
}

impl<'a> LoadedRun<'a> {
    fn read(side: Side, trace: &'a Trace, filter: &Filter) -> Result<LoadedRun<'a>> {
        Ok(LoadedRun { side, trace, calls: CallTree::read(trace, filter)?, sources: Sources::read(trace)? })
    }

    fn conditions<'b>(&'b self, trust: &'b Trust) -> RunConditions<'b> {
        RunConditions { side: self.side, manifest: self.trace.manifest(), trust }
    }

    /// The names of the run's calls, and of the files whose lines were executed.
    fn names(&self, lines: Option<&Lines>) -> RunNames<'_> {
        let files = lines.into_iter().flat_map(|lines| &lines.files);
        RunNames {
            side: self.side,
            names: &self.calls.names,
            manifest: self.trace.manifest(),
            sources: &self.sources,
            frames: self.calls.nodes.iter().map(|(_, node)| node.frame).collect(),
            files: files.map(|file| file.file.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
