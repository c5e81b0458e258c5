//! Export of a trace in the formats of other tools.
//!
//! ```text
//! CallTree ──▶ Folded │ CallGraph ──▶ collapsed, pstats, callgrind      sums
//! CallEvents ──▶ Timeline ──▶ speedscope, Perfetto, Firefox Profiler    every call, as a span
//!            └──▶ calls                                                 every call, as a row
//! ```

mod callgrind;
mod calls;
mod collapsed;
mod firefox;
mod labels;
mod perfetto;
mod pstats;
mod speedscope;
mod timeline;

use std::io::Write;

use pyrec_schema::Trace;

use crate::measure::{CallGraph, Folded, Trust, Weight};
use crate::{CallTree, Filter, Result};

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Collapsed stacks: a line for each call path with its own time, the input of flame graph
    /// tools.
    Collapsed,
    /// speedscope's evented profile, as JSON.
    Speedscope,
    /// A Perfetto trace of track events, in protocol buffers.
    Perfetto,
    /// Firefox Profiler's processed profile, as JSON.
    Firefox,
    /// Functions and their callers, as `cProfile` saves them.
    Pstats,
    /// Functions and their callees, as Valgrind's callgrind saves them.
    Callgrind,
    /// A Parquet file with a row for every call.
    Calls,
}

/// Writes the part of a trace that the filter selects. Returns the trust, which the output contains
/// too if its format has comments or a title.
pub fn write(trace: &Trace, filter: &Filter, format: Format, out: &mut (impl Write + Send)) -> Result<Trust> {
    // The timeline formats need the tree for their list of threads and for the trust line, which
    // come before the calls.
    let tree = || CallTree::read(trace, filter);
    match format {
        Format::Collapsed => collapsed::write(&Folded::of(&tree()?, Weight::Time), out),
        Format::Speedscope => speedscope::write(trace, &tree()?, filter, out),
        Format::Perfetto => perfetto::write(trace, &tree()?, filter, out),
        Format::Firefox => firefox::write(trace, &tree()?, filter, out),
        Format::Pstats => pstats::write(&CallGraph::of(&tree()?, |code| code.name()), out),
        Format::Callgrind => callgrind::write(&CallGraph::of(&tree()?, |code| code.qualname), out),
        Format::Calls => calls::write(trace, filter, out),
    }
}
