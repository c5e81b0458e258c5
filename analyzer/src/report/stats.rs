//! The table of functions.

use std::io::{self, Write};

use crate::measure::Totals;

/// How the table is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What comes first.
    pub sort: Sort,
    /// How many functions at most; all, if there is no number.
    pub rows: Option<usize>,
}

/// What comes first: the most, or the first in the alphabet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub enum Sort {
    #[default]
    SelfTime,
    Total,
    Calls,
    Mean,
    Max,
    Name,
}

/// Writes the table and the trust line.
pub fn write(totals: &Totals, options: &Options, out: &mut impl Write) -> io::Result<()> {
    todo!("{totals:?} {options:?} {:?}", out.flush())
}

/// Writes the same as JSON: `{"functions": […], "trust": {…}}`.
pub fn write_json(totals: &Totals, options: &Options, out: &mut impl Write) -> io::Result<()> {
    todo!("{totals:?} {options:?} {:?}", out.flush())
}
