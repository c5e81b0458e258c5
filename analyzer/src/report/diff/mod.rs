//! Two sides compared: tables, JSON, Markdown for a pull request, a flame graph, and a page for a
//! browser.

mod flame;
mod format;
mod json;
mod markdown;
mod page;
mod summary;
mod tables;

use std::io::{self, Write};

use crate::measure::diff::Diff;

pub use flame::write_flame;
pub use json::{write_json, write_refusal};
pub use markdown::write_markdown;
pub use page::{DiffPageOptions, write_page};
pub use summary::{breach, refusal};
pub use tables::{DiffTableOptions, DiffView};

/// Writes the table of a view, notes, and a trust line for each run.
pub fn write(diff: &Diff, options: &DiffTableOptions, out: &mut impl Write) -> io::Result<()> {
    tables::write_table(diff, options, out)?;
    for line in summary::notes(diff).into_iter().chain(summary::trust_lines(diff)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
