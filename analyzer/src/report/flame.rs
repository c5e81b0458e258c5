//! The flame graph.

use std::io::Write;

use crate::Result;
use crate::measure::Folded;

/// How the flame graph is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Callers above what they call, instead of below.
    pub icicle: bool,
    /// The headline; says what was run if none is given.
    pub title: Option<String>,
}

/// Writes an SVG picture that zooms and searches where scripts run and can be read where they do not.
pub fn write(folded: &Folded, options: &Options, out: &mut impl Write) -> Result<()> {
    todo!("{folded:?} {options:?} {:?}", out.flush())
}
