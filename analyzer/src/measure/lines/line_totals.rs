//! The values of the measure: hits and time of lines, by file.

use pyrec_schema::Profile;
use serde::Serialize;

use crate::measure::Trust;

/// Hits and time per line.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// The files that the filter keeps, sorted by path.
    pub files: Vec<FileLines>,
    /// What lines call, sorted by file and first line.
    pub callees: Vec<Callee>,
    /// Time in calls, summed over all threads.
    pub total_ns: u64,
    /// Whether `line` events were recorded. If not, all time of a call is on the line of its entry.
    pub has_hits: bool,
    /// The trust of the recording.
    pub trust: Trust,
    /// The facts of the recording in a form that can be merged with those of other recordings.
    pub(super) facts: Profile,
}

/// The lines of one source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLines {
    /// `co_filename`.
    pub file: String,
    /// The module; none where it could not be derived from `sys.path`.
    pub module: Option<String>,
    /// Time on its lines.
    pub self_ns: u64,
    /// Time on its lines and in what they called. A call from within the file is counted once.
    pub total_ns: u64,
    /// The functions that were executed, in the order of their first lines.
    pub functions: Vec<FunctionLines>,
    /// The lines that were executed, entered or left, in order.
    pub lines: Vec<LineTotals>,
}

/// A function with its executed lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionLines {
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_qualname`.
    pub qualname: String,
    /// Its executed lines, in order. A line can belong to several functions, such as a function and
    /// a lambda in it.
    pub lines: Vec<u32>,
}

/// Hits and time of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineTotals {
    /// The line number, from 1.
    pub line: u32,
    /// The number of `line` events; none where they were not recorded.
    pub hits: Option<u64>,
    /// The number of function entries and resumes on the line.
    pub entries: u64,
    /// The number of returns from the line.
    pub returns: u64,
    /// Time on the line itself.
    pub self_ns: u64,
    /// Time on the line and in what it called. A recursive stay is counted once.
    pub total_ns: u64,
    /// What it called, by descending time.
    pub calls: Vec<LineCalls>,
}

/// The calls of one function from one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCalls {
    /// The index of the callee in [`Lines::callees`].
    pub callee: usize,
    /// The number of calls.
    pub calls: u64,
    /// Time from entries to returns. In a recursion, the time of inner calls is also in that of
    /// outer ones.
    pub total_ns: u64,
}

/// A function that a line calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Callee {
    /// `co_filename`; none where it is unknown, and for what is not Python code.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// The name for reports.
    pub label: String,
}
