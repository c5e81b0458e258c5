//! Calls and time per function.

use crate::CallTree;
use crate::measure::Trust;

/// Calls and time per function, in no order that means anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Every function that was asked for and took long enough.
    pub functions: Vec<FunctionTotals>,
    /// The garbage collector's pauses, which are in nobody's own time.
    pub gc: Pauses,
    /// How far to trust it.
    pub trust: Trust,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionTotals {
    /// `co_filename`; none for a function written in C.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_name`.
    pub name: String,
    /// `co_qualname`.
    pub qualname: String,
    /// The module that the file was, as far as the interpreter's path tells.
    pub module: Option<String>,
    /// Entries: a generator counts once per resume.
    pub calls: u64,
    /// Time in the function and what it called, a recursive call counted once.
    pub total_ns: u64,
    /// Time in the function itself.
    pub self_ns: u64,
    /// The shortest call that was measured from entry to return.
    pub min_ns: Option<u64>,
    /// The mean of those.
    pub mean_ns: Option<u64>,
    /// The longest of those.
    pub max_ns: Option<u64>,
}

/// Pauses for garbage collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// How many.
    pub count: u64,
    /// How long in all.
    pub total_ns: u64,
}

impl Totals {
    /// Adds up every call path of each function.
    pub fn of(calls: &CallTree) -> Totals {
        todo!("{calls:?}")
    }
}
