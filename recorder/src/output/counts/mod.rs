//! What has been counted up to an instant.

mod call_stack;
mod row_tallies;

pub(crate) use call_stack::{OpenCall, elapsed_tallies};
pub(crate) use row_tallies::SharedTallies;

use std::sync::Arc;
use std::time::Duration;

use pyrec_schema::{CodeId, Marker, MarkerGroup, Names, TextId};
use rustc_hash::FxHashMap;

/// What has been counted since the beginning, up to an instant.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// How long that was.
    pub elapsed: Duration,
    /// The functions that were entered, in no order.
    pub functions: Vec<FunctionCount>,
    /// Events by marker group.
    pub groups: GroupCounts,
    /// Events known not to be counted.
    pub lost: u64,
    /// Calls that are counted, but not timed: they were too deep, or there were too many threads.
    pub untimed: u64,
}

/// A function of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCount {
    /// The process.
    pub pid: i32,
    /// `FILE:FIRSTLINE:QUALNAME`; of a function in C its name alone.
    pub code: Arc<str>,
    /// What was counted of it.
    pub tally: Tally,
}

/// What is counted of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it was entered. A generator counts once per resume.
    pub calls: u64,
    /// Time in itself, in nanoseconds.
    pub self_ns: u64,
    /// Time in itself and in what it called, in nanoseconds. Recursion counts once.
    pub total_ns: u64,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Tally) {
        self.calls = self.calls.saturating_add(other.calls);
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
    }
}

/// A number for each marker group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts([u64; MarkerGroup::ALL.len()]);

impl GroupCounts {
    /// The number of a group: entries, lines, collections, searched imports, audit events.
    pub fn of(&self, group: MarkerGroup) -> u64 {
        self.0[group as usize]
    }

    /// Adds to one.
    pub fn add(&mut self, group: MarkerGroup, count: u64) {
        self.0[group as usize] += count;
    }

    /// Counts an event, if it is one that its group is counted by: the one that ends it, but for calls.
    #[inline]
    pub(crate) fn count(&mut self, marker: Marker) {
        let group = match marker {
            Marker::FunctionEntry => MarkerGroup::Function,
            Marker::Line => MarkerGroup::Line,
            Marker::GcDone => MarkerGroup::Gc,
            Marker::ImportDone => MarkerGroup::Import,
            Marker::Audit => MarkerGroup::Audit,
            Marker::CfunctionEntry => MarkerGroup::Cfunction,
            _ => return,
        };
        self.add(group, 1);
    }
}

/// A function as rows name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FunctionName {
    /// Of Python.
    Code(CodeId),
    /// Of C.
    Text(TextId),
}

/// Counts from several hands, on their way to [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct CountTotals {
    functions: FxHashMap<(i32, FunctionName), Tally>,
    pub groups: GroupCounts,
    pub lost: u64,
    pub untimed: u64,
}

impl CountTotals {
    /// Adds to a function of a process.
    pub fn add(&mut self, pid: i32, name: FunctionName, tally: Tally) {
        self.functions.entry((pid, name)).or_default().add(tally);
    }

    /// The result, after so long.
    pub fn into_counts(self, names: &Names, elapsed: Duration) -> Counts {
        let CountTotals { functions, groups, lost, untimed } = self;
        let function = |((pid, name), tally): ((i32, FunctionName), Tally)| {
            let code = match name {
                FunctionName::Code(code) => names.code_str(code),
                FunctionName::Text(text) => names.text_str(text).unwrap_or_default(),
            };
            // What is not entered has nothing to show: CPython's own instructions after an `__init__`.
            (tally != Tally::default() && !code.is_empty()).then_some(FunctionCount { pid, code, tally })
        };
        let functions = functions.into_iter().filter_map(function).collect();
        Counts { elapsed, functions, groups, lost, untimed }
    }
}
