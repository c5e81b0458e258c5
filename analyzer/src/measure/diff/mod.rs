//! Two sides of a program's runs, compared.
//!
//! ```text
//! old runs ─┐              ┌─ functions
//!           ├─ alignment ──┼─ call paths ──┬─ verdicts: counts exactly, times by evidence
//! new runs ─┘              ├─ lines        │
//!                          └─ imports, gc ─┘
//! ```
//!
//! Every view comes from the same alignment, so a function that is one in the table is one in the picture, too.

mod align;
mod comparable;
mod evidence;
mod paths;
mod places;
mod rename;
mod samples;
mod texts;

use pyrec_schema::{Manifest, Trace};

pub use align::{Alignment, Function, FunctionId, Kind, RunNames, Side};
pub use comparable::{Circumstances, Comparability};
pub use evidence::{CONFIDENCE, FAMILY_ERROR, Interval, LEAST_CHANGE, Times, Verdict};
pub use paths::{Path, Paths, Sums};
pub use places::PlaceId;
pub use rename::{Rename, RenameError};
pub use samples::{CountVerdict, Samples};
pub use texts::LineId;

use super::{Sources, Trust};
use crate::{CallTree, Filter, Result};

/// Both sides' runs, compared.
#[derive(Debug)]
pub struct Diff {
    /// Whether that makes sense.
    pub comparability: Comparability,
    /// How many runs the old side has.
    pub old_runs: usize,
    /// How far to trust each run, the old ones first.
    pub trust: Vec<Trust>,
    /// Who is who.
    pub alignment: Alignment,
    /// Every function of any run, by its number in the alignment.
    pub functions: Vec<FunctionDiff>,
    /// Every call path of any run, callers before what they call.
    pub paths: Vec<Path>,
    /// All of it.
    pub whole: FunctionDiff,
}

/// One function, or all of them together.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionDiff {
    /// Calls.
    pub calls: Samples,
    /// Time in the function itself.
    pub self_ns: Times,
    /// Time in it and what it called, a recursive call counted once.
    pub total_ns: Times,
}

/// A run with what was read of it.
struct Run<'a> {
    side: Side,
    trace: &'a Trace,
    calls: CallTree,
    sources: Sources,
}

impl Diff {
    /// Reads and compares the recordings of two sides.
    pub fn read(old: &[Trace], new: &[Trace], filter: &Filter, renames: &[Rename]) -> Result<Diff> {
        let sides =
            old.iter().map(|trace| (Side::Old, trace)).chain(new.iter().map(|trace| (Side::New, trace)));
        let mut runs = Vec::new();
        for (side, trace) in sides {
            runs.push(Run {
                side,
                trace,
                calls: CallTree::read(trace, filter)?,
                sources: Sources::read(trace)?,
            });
        }
        let trust: Vec<Trust> = runs.iter().map(|run| Trust::of(&run.calls)).collect();
        let alignment = Alignment::of(&runs.iter().map(Run::names).collect::<Vec<_>>(), renames)?;
        let mut paths = Paths::new((old.len(), new.len()), alignment.functions.len());
        for (number, run) in runs.iter().enumerate() {
            paths.add(number, &run.calls, &alignment);
        }
        let circumstances = |(run, trust)| circumstances(run, trust);
        let comparability =
            Comparability::of(&runs.iter().zip(&trust).map(circumstances).collect::<Vec<_>>());
        let mut whole = FunctionDiff::of(paths.whole());
        let Paths { paths, functions, .. } = paths;
        let mut functions: Vec<FunctionDiff> = functions.into_iter().map(FunctionDiff::of).collect();
        judge(&mut functions, &mut whole);
        Ok(Diff { comparability, old_runs: old.len(), trust, alignment, functions, paths, whole })
    }

    /// How many runs the new side has.
    pub fn new_runs(&self) -> usize {
        self.trust.len() - self.old_runs
    }

    /// Whether each side has runs enough to tell how much they differ by themselves.
    pub fn has_evidence(&self) -> bool {
        self.old_runs > 1 && self.new_runs() > 1
    }
}

/// All functions are one family, and the whole is one by itself.
fn judge(functions: &mut [FunctionDiff], whole: &mut FunctionDiff) {
    let all_ns = whole.total_ns.samples.clone();
    let times = functions.iter_mut().flat_map(|function| [&mut function.self_ns, &mut function.total_ns]);
    evidence::judge(&mut times.collect::<Vec<_>>(), &all_ns);
    evidence::judge(&mut [&mut whole.self_ns, &mut whole.total_ns], &all_ns);
}

fn circumstances<'a>(run: &'a Run, trust: &'a Trust) -> Circumstances<'a> {
    Circumstances { side: run.side, manifest: run.manifest(), trust }
}

impl FunctionDiff {
    fn of(sums: Sums) -> FunctionDiff {
        let Sums { calls, self_ns, total_ns } = sums;
        FunctionDiff { calls, self_ns: Times::new(self_ns), total_ns: Times::new(total_ns) }
    }

    /// Whether its calls, or with evidence its times, are others than they were.
    pub fn has_changed(&self) -> bool {
        self.calls.verdict() == CountVerdict::Changed
            || self.self_ns.has_changed()
            || self.total_ns.has_changed()
    }
}

impl Run<'_> {
    fn manifest(&self) -> &Manifest {
        self.trace.manifest()
    }

    fn names(&self) -> RunNames<'_> {
        RunNames {
            side: self.side,
            names: &self.calls.names,
            manifest: self.manifest(),
            sources: &self.sources,
            frames: self.calls.nodes.iter().map(|(_, node)| node.frame).collect(),
        }
    }
}
