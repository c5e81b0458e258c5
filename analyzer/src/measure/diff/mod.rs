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
mod gate;
mod gc;
mod imports;
mod lines;
mod paths;
mod places;
mod rename;
mod samples;
mod texts;

use pyrec_schema::Trace;

pub use align::{Alignment, Function, FunctionId, Kind, RunNames, Side};
pub use comparable::{Circumstances, Comparability};
pub use evidence::{CONFIDENCE, FAMILY_ERROR, Interval, LEAST_CHANGE, Times, Verdict};
pub use gate::{Breach, GateError, Rule, RuleError};
pub use gc::GcDiff;
pub use imports::ImportDiff;
pub use lines::{FileDiff, LineDiff};
pub use paths::Path;
pub use places::PlaceId;
pub use rename::{Rename, RenameError};
pub use samples::{CountVerdict, Samples};
pub use texts::{LineId, Ran, Row};

use super::{Gc, Imports, Lines, Sources, Trust};
use crate::{CallTree, Filter, Result};

/// What is to be compared, beside calls.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The part of each recording.
    pub filter: Filter,
    /// Names that moved.
    pub renames: Vec<Rename>,
    /// Lines, too.
    pub lines: bool,
    /// Imports, too.
    pub imports: bool,
    /// Garbage collections, too.
    pub gc: bool,
}

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
    pub functions: Vec<CallsDiff>,
    /// Every call path of any run, callers before what they call.
    pub paths: Vec<Path>,
    /// All calls.
    pub whole: CallsDiff,
    /// Every line of any run on which something is known to have happened; empty where nobody asked.
    pub lines: Vec<LineDiff>,
    /// The files that they are in, in the same order.
    pub files: Vec<FileDiff>,
    /// Whether lines were recorded in every run, if anybody asked. If not, functions were entered and left on some.
    pub has_hits: bool,
    /// Every import of any run; empty where nobody asked.
    pub imports: Vec<ImportDiff>,
    /// Every generation of any run; empty where nobody asked.
    pub gc: Vec<GcDiff>,
}

/// The calls of one function, on one path, or all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct CallsDiff {
    /// How many.
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
    pub fn read(old: &[Trace], new: &[Trace], options: &Options) -> Result<Diff> {
        let filter = &options.filter;
        let sides =
            old.iter().map(|trace| (Side::Old, trace)).chain(new.iter().map(|trace| (Side::New, trace)));
        let traces: Vec<&Trace> = old.iter().chain(new).collect();
        let runs = sides.map(|(side, trace)| Run::read(side, trace, filter)).collect::<Result<Vec<Run>>>()?;
        let lines: Vec<Lines> = read_if(options.lines, &traces, |trace| Lines::read(trace, filter))?;
        let imports: Vec<Imports> = read_if(options.imports, &traces, |trace| Imports::read(trace, filter))?;
        let gc: Vec<Gc> = read_if(options.gc, &traces, |trace| Gc::read(trace, filter))?;
        let names = runs.iter().enumerate().map(|(at, run)| run.names(lines.get(at)));
        let alignment = Alignment::of(&names.collect::<Vec<_>>(), &options.renames)?;
        let mut paths = paths::Paths::new((old.len(), new.len()), alignment.functions.len());
        for (number, run) in runs.iter().enumerate() {
            paths.add(number, &run.calls, &alignment);
        }
        let paths::Paths { paths, functions, whole, .. } = paths;
        let trust: Vec<Trust> = runs.iter().map(|run| Trust::of(&run.calls)).collect();
        let circumstances = runs.iter().zip(&trust).map(|(run, trust)| run.circumstances(trust));
        let comparability = Comparability::of(&circumstances.collect::<Vec<_>>());
        let has_hits = !lines.is_empty() && lines.iter().all(|lines| lines.has_hits);
        let files = lines::align_files(&lines, old.len(), &alignment);
        let lines = lines::align(&lines, old.len(), &alignment);
        let imports = imports::align(&imports, old.len());
        let gc = gc::align(&gc, old.len());
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
        diff.judge();
        Ok(diff)
    }

    /// How many runs the new side has.
    pub fn new_runs(&self) -> usize {
        self.trust.len() - self.old_runs
    }

    /// Whether each side has runs enough to tell how much they differ by themselves.
    pub fn has_evidence(&self) -> bool {
        self.old_runs > 1 && self.new_runs() > 1
    }

    /// What a line is called: its module or file, and its number on both sides.
    pub fn line_label(&self, line: &LineDiff) -> String {
        let place = self.alignment.place(line.place);
        match (line.old_number, line.new_number) {
            (Some(old), Some(new)) if old != new => format!("{place}:{old} → {new}"),
            (old, new) => format!("{place}:{}", new.or(old).unwrap_or(line.line.line)),
        }
    }

    /// What several counts are together, by run.
    fn sum<'a>(&self, samples: impl Iterator<Item = &'a Samples>) -> Samples {
        let mut sum = Samples::none(self.old_runs, self.new_runs());
        for samples in samples {
            for run in 0..self.trust.len() {
                sum.add(run, samples.get(run));
            }
        }
        sum
    }

    /// Judges the times, each view as one family.
    fn judge(&mut self) {
        let all_ns = self.whole.total_ns.samples.clone();
        let functions = self.functions.iter_mut().flat_map(CallsDiff::times);
        evidence::judge(functions.chain(self.whole.times()), &all_ns);
        evidence::judge(self.paths.iter_mut().flat_map(|path| path.calls.times()), &all_ns);
        let lines = self.lines.iter_mut().flat_map(|line| [&mut line.self_ns, &mut line.total_ns]);
        evidence::judge(lines, &all_ns);
        let files = self.files.iter_mut().flat_map(|file| [&mut file.self_ns, &mut file.total_ns]);
        evidence::judge(files, &all_ns);
        let imports = self.imports.iter_mut().flat_map(|import| [&mut import.self_ns, &mut import.total_ns]);
        evidence::judge(imports, &all_ns);
        evidence::judge(self.gc.iter_mut().map(|gc| &mut gc.total_ns), &all_ns);
    }
}

/// Reads something of each trace, if it is asked for.
fn read_if<T>(is_wanted: bool, traces: &[&Trace], read: impl Fn(&Trace) -> Result<T>) -> Result<Vec<T>> {
    if is_wanted { traces.iter().map(|trace| read(trace)).collect() } else { Ok(Vec::new()) }
}

impl CallsDiff {
    /// Whether the calls, or with evidence their times, are others than they were.
    pub fn has_changed(&self) -> bool {
        self.calls.verdict() == CountVerdict::Changed
            || self.self_ns.has_changed()
            || self.total_ns.has_changed()
    }

    fn times(&mut self) -> [&mut Times; 2] {
        [&mut self.self_ns, &mut self.total_ns]
    }
}

impl<'a> Run<'a> {
    fn read(side: Side, trace: &'a Trace, filter: &Filter) -> Result<Run<'a>> {
        Ok(Run { side, trace, calls: CallTree::read(trace, filter)?, sources: Sources::read(trace)? })
    }

    fn circumstances<'b>(&'b self, trust: &'b Trust) -> Circumstances<'b> {
        Circumstances { side: self.side, manifest: self.trace.manifest(), trust }
    }

    /// Its names: those of its calls, and of the files whose lines ran.
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
