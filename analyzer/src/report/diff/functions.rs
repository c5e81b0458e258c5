//! Functions by how much they changed.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::cells::{change, count, interval, times, verdict};
use crate::measure::diff::{CallsDiff, CountVerdict, Diff, FunctionId, Kind};
use crate::report::escape::Plain;
use crate::report::table;

const HEAD: [&str; 9] = [
    "old calls",
    "new calls",
    "old self",
    "new self",
    "change",
    "95 % interval",
    "old total",
    "new total",
    "function",
];

/// Writes those that changed, and what became of all.
pub fn write(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let order = order(diff);
    let shown: Vec<_> = order.iter().take(rows).map(|&function| row(diff, function)).collect();
    if !shown.is_empty() {
        table::write(HEAD, &shown, out)?;
    }
    super::write_more(order.len(), shown.len(), "function", out)?;
    summary(diff).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// What became of all.
pub fn summary(diff: &Diff) -> [String; 2] {
    let rows = functions(diff).map(|function| {
        let CallsDiff { calls, self_ns, total_ns } = &diff.functions[function];
        (calls, [self_ns, total_ns])
    });
    super::summary(diff, "calls", "function", rows)
}

/// The functions that have something to show: first those with other calls, then those with evidence of other times,
/// then the rest of which nobody can tell; each by how far their own times are apart.
pub fn order(diff: &Diff) -> Vec<FunctionId> {
    let rank = |&function: &FunctionId| {
        let of = &diff.functions[function];
        let is_changed = of.calls.verdict() == CountVerdict::Changed;
        let distance_ns = of.self_ns.samples.distance();
        (Reverse(is_changed), Reverse(of.has_changed()), Reverse(distance_ns), Reverse(of.calls.distance()))
    };
    // One run a side leaves open what its times mean, so they are told.
    let is_open = |of: &CallsDiff| !diff.has_evidence() && of.self_ns.samples.distance() > 0;
    let is_told = |of: &CallsDiff| of.has_changed() || is_open(of);
    let mut order: Vec<FunctionId> = functions(diff).filter(|&at| is_told(&diff.functions[at])).collect();
    order.sort_by_key(rank);
    order
}

/// What the program called: no collections.
fn functions(diff: &Diff) -> impl Iterator<Item = FunctionId> + Clone {
    let is_called =
        |function: FunctionId| matches!(diff.alignment.functions[function].kind, Kind::Python | Kind::C);
    (0..diff.functions.len()).filter(move |&function| is_called(function))
}

fn row(diff: &Diff, function: FunctionId) -> [String; 9] {
    let CallsDiff { calls, self_ns, total_ns } = &diff.functions[function];
    let [old_self, new_self] = times(&self_ns.samples);
    let [old_total, new_total] = times(&total_ns.samples);
    let label = diff.alignment.functions[function].label();
    [
        count(&calls.old),
        count(&calls.new),
        old_self,
        new_self,
        change(&self_ns.samples),
        interval(self_ns),
        old_total,
        new_total,
        format!("{}: {}", Plain(&label), verdict("calls", calls, &[self_ns, total_ns])),
    ]
}
