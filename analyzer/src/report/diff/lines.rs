//! Lines by how much they changed.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::cells::{change, count, interval, times, verdict};
use crate::measure::diff::{CountVerdict, Diff, LineDiff};
use crate::report::escape::Plain;
use crate::report::table;

const HEAD: [&str; 8] =
    ["old hits", "new hits", "old self", "new self", "change", "95 % interval", "line", "verdict, source"];

/// Writes those that changed, and what became of all.
pub fn write(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    if !diff.has_hits {
        return writeln!(out, "lines were not recorded; `pyrec record --lines` does");
    }
    let order = order(diff);
    let shown: Vec<_> = order.iter().take(rows).map(|line| row(diff, line)).collect();
    if !shown.is_empty() {
        table::write(HEAD, &shown, out)?;
    }
    super::write_more(order.len(), shown.len(), "line", out)?;
    let rows = diff.lines.iter().map(|line| (&line.hits, [&line.self_ns, &line.total_ns]));
    super::summary(diff, "hits", "line", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Whether there is evidence of any change.
pub fn has_changed(line: &LineDiff) -> bool {
    line.hits.verdict() == CountVerdict::Changed || line.self_ns.has_changed() || line.total_ns.has_changed()
}

/// Lines with other hits first, then those with evidence of other times.
fn order(diff: &Diff) -> Vec<&LineDiff> {
    let mut order: Vec<&LineDiff> = diff.lines.iter().filter(|line| has_changed(line)).collect();
    order.sort_by_key(|line| {
        let is_changed = line.hits.verdict() == CountVerdict::Changed;
        (Reverse(is_changed), Reverse(line.self_ns.samples.distance()), Reverse(line.hits.distance()))
    });
    order
}

fn row(diff: &Diff, line: &LineDiff) -> [String; 8] {
    let [old, new] = times(&line.self_ns.samples);
    let source = diff.alignment.text(line.place, line.line).unwrap_or_default().trim();
    let verdict = verdict("hits", &line.hits, &[&line.self_ns, &line.total_ns]);
    [
        count(&line.hits.old),
        count(&line.hits.new),
        old,
        new,
        change(&line.self_ns.samples),
        interval(&line.self_ns),
        Plain(&diff.line_label(line)).to_string(),
        if source.is_empty() { verdict } else { format!("{verdict}: {}", Plain(source)) },
    ]
}
