//! The hierarchy of calls and returns, in the order in which they happened.

use std::io::Write;

use pyrec_schema::{Group, Trace};

use crate::{Filter, Result};

/// How the hierarchy is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The layout of a line.
    pub style: Style,
    /// No calls deeper than this many levels.
    pub depth: Option<usize>,
    /// Which markers get lines: if none are named, functions in the classic layouts, and functions, collections and
    /// imports in ours.
    pub markers: Vec<Group>,
}

/// The layout of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Ours: time, thread, duration, call.
    #[default]
    Pyrec,
    /// That of CPython's `call_stack.d`.
    Dtrace,
    /// That of SystemTap's `thread_indent`.
    Stap,
}

/// Writes every call and return that the filter leaves, and the trust line.
pub fn write(trace: &Trace, filter: &Filter, options: &Options, out: &mut impl Write) -> Result<()> {
    todo!("{trace:?} {filter:?} {options:?} {:?}", out.flush())
}
