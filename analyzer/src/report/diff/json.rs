//! A comparison as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::summary;
use super::tables::{import_has_changed, line_has_changed};
use crate::measure::alignment::{AlignedFunction, FunctionKind};
use crate::measure::diff::{
    Breach, CallPath, CallsDiff, CountVerdict, Diff, GcDiff, ImportDiff, LineDiff, RatioInterval, Samples,
    TimeChange, TimeVerdict,
};
use crate::measure::{Comparability, Trust};
use crate::report::json;

/// The whole report.
#[derive(Serialize)]
struct Report<'a> {
    comparable: bool,
    #[serde(flatten)]
    comparability: &'a Comparability,
    functions: Vec<FunctionRow<'a>>,
    whole: Numbers<'a>,
    paths: Vec<PathRow<'a>>,
    lines: Option<Vec<LineRow<'a>>>,
    imports: Vec<ImportRow<'a>>,
    gc: Vec<GcRow<'a>>,
    gate: Vec<BreachRow<'a>>,
    trust: Sides<'a>,
}

#[derive(Serialize)]
struct Sides<'a> {
    old: &'a [Trust],
    new: &'a [Trust],
}

#[derive(Serialize)]
struct FunctionRow<'a> {
    module: Option<&'a str>,
    qualname: &'a str,
    file: Option<&'a str>,
    first_line: Option<u32>,
    ordinal: usize,
    #[serde(flatten)]
    numbers: Numbers<'a>,
}

/// The medians of both sides, and the verdicts.
#[derive(Serialize)]
struct Numbers<'a> {
    calls_old: u64,
    calls_new: u64,
    self_ns_old: u64,
    self_ns_new: u64,
    total_ns_old: u64,
    total_ns_new: u64,
    calls_verdict: CountVerdict,
    self_verdict: TimeVerdict,
    self_interval: Option<RatioInterval>,
    total_verdict: TimeVerdict,
    total_interval: Option<RatioInterval>,
    runs: Runs<'a>,
}

/// The values of all runs.
#[derive(Serialize)]
struct Runs<'a> {
    calls: &'a Samples,
    self_ns: &'a Samples,
    total_ns: &'a Samples,
}

#[derive(Serialize)]
struct PathRow<'a> {
    /// The labels of its functions, outermost first.
    path: Vec<String>,
    #[serde(flatten)]
    numbers: Numbers<'a>,
}

#[derive(Serialize)]
struct LineRow<'a> {
    module: &'a str,
    line_old: Option<u32>,
    line_new: Option<u32>,
    source: Option<&'a str>,
    hits_old: u64,
    hits_new: u64,
    hits_verdict: CountVerdict,
    #[serde(flatten)]
    times: SelfAndTotal,
}

#[derive(Serialize)]
struct ImportRow<'a> {
    /// The module, after the modules that caused its import.
    modules: &'a [String],
    count_old: u64,
    count_new: u64,
    count_verdict: CountVerdict,
    #[serde(flatten)]
    times: SelfAndTotal,
}

#[derive(Serialize)]
struct GcRow<'a> {
    generation: Option<i64>,
    pauses: &'a Samples,
    pauses_verdict: CountVerdict,
    found: &'a Samples,
    total_ns_old: u64,
    total_ns_new: u64,
    total_verdict: TimeVerdict,
    total_interval: Option<RatioInterval>,
}

#[derive(Serialize)]
struct SelfAndTotal {
    self_ns_old: u64,
    self_ns_new: u64,
    self_verdict: TimeVerdict,
    total_ns_old: u64,
    total_ns_new: u64,
    total_verdict: TimeVerdict,
}

#[derive(Serialize)]
struct BreachRow<'a> {
    rule: &'a str,
    what: Option<&'a str>,
    samples: &'a Samples,
    has_evidence: bool,
    message: String,
}

/// Writes a comparison as JSON: all functions, and the paths, lines and imports that changed.
pub fn write_json(diff: &Diff, breaches: &[Breach], out: &mut impl Write) -> io::Result<()> {
    let functions = diff.alignment.functions.iter().zip(&diff.functions);
    let functions =
        functions.filter(|(function, _)| matches!(function.kind, FunctionKind::Python | FunctionKind::C));
    let paths = (0..diff.paths.len()).filter(|&path| diff.paths[path].calls.has_changed());
    let lines = diff.lines.iter().filter(|line| line_has_changed(line));
    let imports = diff.imports.iter().filter(|import| import_has_changed(import));
    let (old, new) = diff.trust.split_at(diff.old_runs);
    let report = Report {
        comparable: diff.comparability.is_comparable(),
        comparability: &diff.comparability,
        functions: functions.map(|(function, calls)| function_row(function, calls)).collect(),
        whole: Numbers::of(&diff.whole),
        paths: paths.map(|path| path_row(diff, path)).collect(),
        lines: diff.has_hits.then(|| lines.map(|line| line_row(diff, line)).collect()),
        imports: imports.map(import_row).collect(),
        gc: diff.gc.iter().map(gc_row).collect(),
        gate: breaches.iter().map(breach_row).collect(),
        trust: Sides { old, new },
    };
    json::write(&report, out)
}

/// Writes the reasons why two sides cannot be compared as JSON.
pub fn write_refusal(comparability: &Comparability, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        comparable: bool,
        #[serde(flatten)]
        comparability: &'a Comparability,
        functions: [(); 0],
    }
    json::write(&Refusal { comparable: false, comparability, functions: [] }, out)
}

impl Numbers<'_> {
    fn of(CallsDiff { calls, self_ns, total_ns }: &CallsDiff) -> Numbers<'_> {
        Numbers {
            calls_old: calls.old_median(),
            calls_new: calls.new_median(),
            self_ns_old: self_ns.samples.old_median(),
            self_ns_new: self_ns.samples.new_median(),
            total_ns_old: total_ns.samples.old_median(),
            total_ns_new: total_ns.samples.new_median(),
            calls_verdict: calls.verdict(),
            self_verdict: self_ns.verdict,
            self_interval: self_ns.interval,
            total_verdict: total_ns.verdict,
            total_interval: total_ns.interval,
            runs: Runs { calls, self_ns: &self_ns.samples, total_ns: &total_ns.samples },
        }
    }
}

impl SelfAndTotal {
    fn of(self_ns: &TimeChange, total_ns: &TimeChange) -> SelfAndTotal {
        SelfAndTotal {
            self_ns_old: self_ns.samples.old_median(),
            self_ns_new: self_ns.samples.new_median(),
            self_verdict: self_ns.verdict,
            total_ns_old: total_ns.samples.old_median(),
            total_ns_new: total_ns.samples.new_median(),
            total_verdict: total_ns.verdict,
        }
    }
}

fn function_row<'a>(function: &'a AlignedFunction, calls: &'a CallsDiff) -> FunctionRow<'a> {
    FunctionRow {
        module: function.module.as_deref(),
        qualname: &function.qualname,
        file: function.file.as_deref(),
        first_line: function.first_line,
        ordinal: function.ordinal,
        numbers: Numbers::of(calls),
    }
}

fn path_row(diff: &Diff, path: usize) -> PathRow<'_> {
    let callers = std::iter::successors(Some(path), |&path| diff.paths[path].parent);
    let label = |path: usize| diff.alignment.functions[diff.paths[path].function].label();
    let mut labels: Vec<String> = callers.map(label).collect();
    labels.reverse();
    let CallPath { calls, .. } = &diff.paths[path];
    PathRow { path: labels, numbers: Numbers::of(calls) }
}

fn line_row<'a>(diff: &'a Diff, line: &'a LineDiff) -> LineRow<'a> {
    LineRow {
        module: diff.alignment.file_label(line.file_id),
        line_old: line.old_number,
        line_new: line.new_number,
        source: diff.alignment.line_text(line.file_id, line.line),
        hits_old: line.hits.old_median(),
        hits_new: line.hits.new_median(),
        hits_verdict: line.hits.verdict(),
        times: SelfAndTotal::of(&line.self_ns, &line.total_ns),
    }
}

fn import_row(import: &ImportDiff) -> ImportRow<'_> {
    ImportRow {
        modules: &import.modules,
        count_old: import.count.old_median(),
        count_new: import.count.new_median(),
        count_verdict: import.count.verdict(),
        times: SelfAndTotal::of(&import.self_ns, &import.total_ns),
    }
}

fn gc_row(gc: &GcDiff) -> GcRow<'_> {
    GcRow {
        generation: gc.generation,
        pauses: &gc.pauses,
        pauses_verdict: gc.pauses.verdict(),
        found: &gc.found,
        total_ns_old: gc.total_ns.samples.old_median(),
        total_ns_new: gc.total_ns.samples.new_median(),
        total_verdict: gc.total_ns.verdict,
        total_interval: gc.total_ns.interval,
    }
}

fn breach_row(breach: &Breach) -> BreachRow<'_> {
    BreachRow {
        rule: &breach.rule,
        what: breach.what.as_deref(),
        samples: &breach.samples,
        has_evidence: breach.has_evidence,
        message: summary::breach(breach),
    }
}
