//! Differences for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::measure::Trust;
use crate::measure::diff::{
    Comparability, CountVerdict, Diff, Function, FunctionDiff, Interval, Kind, Samples, Verdict,
};
use crate::report::json;

/// All of a comparison.
#[derive(Serialize)]
struct Report<'a> {
    comparable: bool,
    #[serde(flatten)]
    comparability: &'a Comparability,
    functions: Vec<FunctionRow<'a>>,
    whole: Numbers<'a>,
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

/// The middle run of each side, what it means, and all runs.
#[derive(Serialize)]
struct Numbers<'a> {
    calls_old: u64,
    calls_new: u64,
    self_ns_old: u64,
    self_ns_new: u64,
    total_ns_old: u64,
    total_ns_new: u64,
    calls_verdict: CountVerdict,
    self_verdict: Verdict,
    self_interval: Option<Interval>,
    total_verdict: Verdict,
    total_interval: Option<Interval>,
    runs: Runs<'a>,
}

#[derive(Serialize)]
struct Runs<'a> {
    calls: &'a Samples,
    self_ns: &'a Samples,
    total_ns: &'a Samples,
}

/// Writes everything as JSON: `{"comparable", "functions": […], …}`. What cannot be compared has no functions, unless
/// that was asked for.
pub fn write_json(diff: &Diff, out: &mut impl Write) -> io::Result<()> {
    let functions = diff.alignment.functions.iter().zip(&diff.functions);
    let functions = functions.filter(|(function, _)| matches!(function.kind, Kind::Python | Kind::C));
    let (old, new) = diff.trust.split_at(diff.old_runs);
    let report = Report {
        comparable: diff.comparability.is_comparable(),
        comparability: &diff.comparability,
        functions: functions.map(|(function, numbers)| row(function, numbers)).collect(),
        whole: numbers(&diff.whole),
        trust: Sides { old, new },
    };
    json::write(&report, out)
}

fn row<'a>(function: &'a Function, of: &'a FunctionDiff) -> FunctionRow<'a> {
    FunctionRow {
        module: function.module.as_deref(),
        qualname: &function.qualname,
        file: function.file.as_deref(),
        first_line: function.first_line,
        ordinal: function.ordinal,
        numbers: numbers(of),
    }
}

fn numbers(of: &FunctionDiff) -> Numbers<'_> {
    let FunctionDiff { calls, self_ns, total_ns } = of;
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
