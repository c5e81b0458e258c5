//! A recording in the formats of other tools.
//!
//! ```text
//! CallTree ──▶ Folded │ Graph ──▶ collapsed, pstats, callgrind          sums
//! Moments ──▶ Timeline ──▶ speedscope, Perfetto, Firefox Profiler       every call, in time
//!         └──▶ calls                                                    every call, a row each
//! ```

mod callgrind;
mod collapsed;
mod pstats;

use std::io::Write;

use pyrec_schema::Trace;

use crate::measure::{Folded, Graph, Trust, Weight};
use crate::{CallTree, Filter, Result};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A call path on a line, with its time: what flame graphs are drawn from.
    Collapsed,
    /// Functions and their callers, as Python's own profilers save them.
    Pstats,
    /// Functions and what they called, as Valgrind's tool saves them.
    Callgrind,
}

/// Writes what the filter leaves of a trace. Returns how far to trust it; the formats that have a place for that hold
/// it, too.
pub fn write(trace: &Trace, filter: &Filter, format: Format, out: &mut (impl Write + Send)) -> Result<Trust> {
    let calls = || CallTree::read(trace, filter);
    match format {
        Format::Collapsed => collapsed::write(&Folded::of(&calls()?, Weight::Time), out),
        Format::Pstats => pstats::write(&Graph::of(&calls()?, |code| code.name()), out),
        Format::Callgrind => callgrind::write(&Graph::of(&calls()?, |code| code.qualname), out),
    }
}
