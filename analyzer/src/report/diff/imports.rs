//! Imports by how much they changed.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::cells::{change, count, interval, times, verdict};
use crate::measure::diff::{CountVerdict, Diff, ImportDiff};
use crate::report::escape::Plain;
use crate::report::table;

const HEAD: [&str; 7] =
    ["old count", "new count", "old total", "new total", "change", "95 % interval", "module"];

/// Writes those that changed, and what became of all.
pub fn write(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let mut order: Vec<&ImportDiff> = diff.imports.iter().filter(|import| has_changed(import)).collect();
    order.sort_by_key(|import| {
        let is_changed = import.count.verdict() == CountVerdict::Changed;
        (Reverse(is_changed), Reverse(import.total_ns.samples.distance()))
    });
    let shown: Vec<_> = order.iter().take(rows).map(|import| row(import)).collect();
    if !shown.is_empty() {
        table::write(HEAD, &shown, out)?;
    }
    super::write_more(order.len(), shown.len(), "import", out)?;
    let rows = diff.imports.iter().map(|import| (&import.count, [&import.self_ns, &import.total_ns]));
    super::summary(diff, "imports", "import", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Whether there is evidence of any change.
pub fn has_changed(import: &ImportDiff) -> bool {
    let times = [&import.self_ns, &import.total_ns];
    import.count.verdict() == CountVerdict::Changed || times.iter().any(|times| times.has_changed())
}

fn row(import: &ImportDiff) -> [String; 7] {
    let [old, new] = times(&import.total_ns.samples);
    let verdict = verdict("count", &import.count, &[&import.self_ns, &import.total_ns]);
    [
        count(&import.count.old),
        count(&import.count.new),
        old,
        new,
        change(&import.total_ns.samples),
        interval(&import.total_ns),
        format!("{}: {verdict}", Plain(&import.modules.join(" > "))),
    ]
}
