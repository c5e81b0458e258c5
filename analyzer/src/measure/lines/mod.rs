//! Hits and time per line.
//!
//! ```text
//! rows     E f    line 2    E g       R g   line 3   R f
//! time      0      1         3         7     8        9
//! f is on   ├─ 1 ──┼─ 2 ─────┼┄┄┄ 2 ┄┄┄┼─ 2 ─┼── 3 ───┤     line 2: self 3, total 7; calls g once, for 4
//! ```
//!
//! A frame is on one line at a time: on that of its entry until its first `line` row. What it calls meanwhile is in that
//! line's total, so a line's total is what would be saved if it were free. A line that is on the stack twice counts its
//! outer stay alone.

mod collect;
mod sum;

use serde::Serialize;

use super::Trust;
use crate::calls::{CallEvent, Callers};
use crate::{Filter, Result, calls};
use collect::Collect;
use pyrec_schema::{Columns, MarkerGroup, Profile, Trace};

/// Hits and time per line.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// Every file that was asked for, in the order of its name.
    pub files: Vec<FileLines>,
    /// What lines call, in the order of files and lines.
    pub callees: Vec<Callee>,
    /// Time in all calls, thread by thread.
    pub total_ns: u64,
    /// Whether `line` events were recorded. If not, all of a function's time is on the line of its entry.
    pub has_hits: bool,
    /// How far to trust it.
    pub trust: Trust,
    /// What of that adds up over recordings.
    facts: Profile,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLines {
    /// `co_filename`.
    pub file: String,
    /// The module that it was, as far as the interpreter's path tells.
    pub module: Option<String>,
    /// Time on its lines.
    pub self_ns: u64,
    /// Time on its lines and in what they called, a call from within the file counted once.
    pub total_ns: u64,
    /// Those of its functions that ran, in the order of their first lines.
    pub functions: Vec<FunctionLines>,
    /// Those of its lines on which something happened, in their order.
    pub lines: Vec<LineTotals>,
}

/// One function, and where in its file it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionLines {
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_qualname`.
    pub qualname: String,
    /// The lines that it came to, in their order. A line can belong to several functions, as to a lambda on it.
    pub lines: Vec<u32>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineTotals {
    /// Its number, from 1.
    pub line: u32,
    /// How often it was begun; none where lines were not recorded.
    pub hits: Option<u64>,
    /// How often a function began or went on here.
    pub entries: u64,
    /// How often a function was left from here.
    pub returns: u64,
    /// Time on the line itself.
    pub self_ns: u64,
    /// Time on it and in what it called, a recursive stay counted once.
    pub total_ns: u64,
    /// What it called, what took longest first.
    pub calls: Vec<LineCalls>,
}

/// The calls of one function from one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCalls {
    /// What was called: its place among [`Lines::callees`].
    pub callee: usize,
    /// How often.
    pub calls: u64,
    /// Time from entries to returns; in a recursion, that of the inner calls is in that of the outer.
    pub total_ns: u64,
}

/// Something that a line calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Callee {
    /// `co_filename`; none where it is unknown, and for what is not written in Python.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// Its name for people.
    pub label: String,
}

impl Lines {
    /// Adds up the lines of a trace. The least time of the filter is one for reports, and is not heeded.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<Lines> {
        let filter = filter.without_min_time();
        let mut collect = Collect::new(trace.names());
        let columns = Columns { line: true, value: false, text: false };
        let mut visit = |moment: CallEvent, callers: Callers| {
            collect.visit(moment, callers);
            Ok(())
        };
        let seen = calls::read(trace, &filter, columns, &mut visit)?;
        let manifest = trace.manifest();
        let has_hits = manifest.markers.iter().any(|group| group == MarkerGroup::Line.name());
        Ok(collect.finish(manifest, has_hits, &seen))
    }
}

#[cfg(test)]
mod tests;
