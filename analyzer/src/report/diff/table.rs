//! Functions by how much they changed.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::cells::{change, count, interval, times, verdict};
use super::{write_notes, write_trust};
use crate::measure::diff::{CountVerdict, Diff, FunctionId, Kind};
use crate::report::escape::Plain;
use crate::report::table;
use crate::report::units::{Count, plural};

/// How the tables are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How many rows at most; all, if there is no number.
    pub rows: Option<usize>,
}

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

/// Writes the functions that changed, what is unchanged, and how far to trust each run.
pub fn write(diff: &Diff, options: &Options, out: &mut impl Write) -> io::Result<()> {
    let order = order(diff);
    let shown = options.rows.unwrap_or(order.len()).min(order.len());
    if shown > 0 {
        let rows: Vec<_> = order[..shown].iter().map(|&function| row(diff, function)).collect();
        table::write(HEAD, &rows, out)?;
    }
    if order.len() > shown {
        writeln!(out, "… and {}", plural((order.len() - shown) as u64, "more function"))?;
    }
    writeln!(out, "{}", counts(diff))?;
    writeln!(out, "{}", evidence(diff))?;
    write_notes(diff, out)?;
    write_trust(diff, out)
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
    let mut order: Vec<FunctionId> = (0..diff.functions.len()).collect();
    order.retain(|&function| is_told(diff, function));
    order.sort_by_key(rank);
    order
}

/// Whether there is anything to say: one run a side leaves open what its times mean, so they are told.
fn is_told(diff: &Diff, function: FunctionId) -> bool {
    let of = &diff.functions[function];
    let is_function = matches!(diff.alignment.functions[function].kind, Kind::Python | Kind::C);
    let is_open = !diff.has_evidence() && of.self_ns.samples.distance() > 0;
    is_function && (of.has_changed() || is_open)
}

fn row(diff: &Diff, function: FunctionId) -> [String; 9] {
    let of = &diff.functions[function];
    let [old_self, new_self] = times(&of.self_ns.samples);
    let [old_total, new_total] = times(&of.total_ns.samples);
    let label = diff.alignment.functions[function].label();
    [
        count(&of.calls.old),
        count(&of.calls.new),
        old_self,
        new_self,
        change(&of.self_ns.samples),
        interval(&of.self_ns),
        old_total,
        new_total,
        format!("{}: {}", Plain(&label), verdict(&of.calls, &of.self_ns)),
    ]
}

/// What became of all counts.
fn counts(diff: &Diff) -> String {
    let functions = diff.functions.len() as u64;
    let of =
        |verdict| diff.functions.iter().filter(|function| function.calls.verdict() == verdict).count() as u64;
    let (changed, varying) = (of(CountVerdict::Changed), of(CountVerdict::Varies));
    let varying = match varying {
        0 => String::new(),
        varying => format!("; {} whose runs differ by themselves", plural(varying, "function")),
    };
    match changed {
        0 => format!("calls: no difference in {}{varying}", plural(functions, "function")),
        _ => format!("calls: {} of {} changed{varying}", Count(changed), plural(functions, "function")),
    }
}

/// What became of all times.
fn evidence(diff: &Diff) -> String {
    let [old, new] = times(&diff.whole.total_ns.samples);
    let whole = format!("{old} in the old, {new} in the new");
    if !diff.has_evidence() {
        return format!("time: {whole}; one run a side is no evidence of any change");
    }
    let changed = diff
        .functions
        .iter()
        .filter(|function| function.self_ns.has_changed() || function.total_ns.has_changed());
    match changed.count() as u64 {
        0 => format!("time: {whole}; no evidence of change"),
        changed => format!("time: {whole}; evidence of change in {}", plural(changed, "function")),
    }
}
