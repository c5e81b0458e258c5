//! Garbage collections of both sides, by generation.

use std::io::{self, Write};

use super::cells::{change, count, interval, times, verdict};
use crate::measure::diff::{Diff, GcDiff};
use crate::report::table;

const HEAD: [&str; 9] = [
    "old pauses",
    "new pauses",
    "old objects",
    "new objects",
    "old time",
    "new time",
    "change",
    "95 % interval",
    "generation",
];

/// Writes all generations, since there are few, and what became of them.
pub fn write(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let shown: Vec<_> = diff.gc.iter().take(rows).map(row).collect();
    if !shown.is_empty() {
        table::write(HEAD, &shown, out)?;
    }
    super::write_more(diff.gc.len(), shown.len(), "generation", out)?;
    let rows = diff.gc.iter().map(|gc| (&gc.pauses, [&gc.total_ns, &gc.total_ns]));
    super::summary(diff, "pauses", "generation", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn row(gc: &GcDiff) -> [String; 9] {
    let [old, new] = times(&gc.total_ns.samples);
    let generation = gc.generation.map_or("unknown".into(), |generation| generation.to_string());
    [
        count(&gc.pauses.old),
        count(&gc.pauses.new),
        count(&gc.found.old),
        count(&gc.found.new),
        old,
        new,
        change(&gc.total_ns.samples),
        interval(&gc.total_ns),
        format!("{generation}: {}", verdict("pauses", &gc.pauses, &[&gc.total_ns])),
    ]
}
