//! Two sides compared: as a table, for programs, for a pull request, and as a picture.

mod cells;
mod json;
mod table;

pub use json::write_json;
pub use table::{Options, write};

use std::io::{self, Write};

use super::escape::Plain;
use super::trust_line;
use crate::measure::diff::Diff;

/// Writes how far to trust each run of both sides.
fn write_trust(diff: &Diff, out: &mut impl Write) -> io::Result<()> {
    for (run, trust) in diff.trust.iter().enumerate() {
        writeln!(out, "{}: {}", run_name(diff, run), trust_line(trust))?;
    }
    Ok(())
}

/// What stands against the comparison, where it was made all the same, and what may explain differences.
fn write_notes(diff: &Diff, out: &mut impl Write) -> io::Result<()> {
    for reason in &diff.comparability.reasons {
        writeln!(out, "not comparable: {}", Plain(reason))?;
    }
    for note in &diff.comparability.notes {
        writeln!(out, "note: {}", Plain(note))?;
    }
    if !diff.has_evidence() {
        writeln!(
            out,
            "note: one run of a side says nothing about how much times differ by themselves; compare several with \
             --old and --new"
        )?;
    }
    Ok(())
}

/// `old`, or `old 2` if there are several.
fn run_name(diff: &Diff, run: usize) -> String {
    let (side, number, runs) = match run.checked_sub(diff.old_runs) {
        None => ("old", run + 1, diff.old_runs),
        Some(run) => ("new", run + 1, diff.new_runs()),
    };
    if runs == 1 { side.into() } else { format!("{side} {number}") }
}
