//! Event counts and function times up to an instant, for `pyrec top`.

mod call_stack;
mod row_tallies;

pub(crate) use call_stack::{OpenCall, elapsed_tallies};
pub(crate) use row_tallies::SharedTallies;

use std::sync::Arc;
use std::time::Duration;

use pyrec_schema::{CodeId, Marker, MarkerGroup, Names, TextId};
use rustc_hash::FxHashMap;

/// The counts from the start up to an instant.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Time since the start.
    pub elapsed: Duration,
    /// The functions that were entered, unordered.
    pub functions: Vec<FunctionCount>,
    /// Events by marker group.
    pub groups: GroupCounts,
    /// Events known not to be counted.
    pub lost: u64,
    /// Calls that are counted without times, because of their depth or the number of threads.
    pub untimed: u64,
}

/// The counts of a function in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCount {
    /// The process.
    pub pid: i32,
    /// `FILE:FIRSTLINE:QUALNAME`; for a C function its name.
    pub code: Arc<str>,
    /// Its calls and times.
    pub tally: Tally,
}

/// Calls and times of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of entries. Each resume of a generator counts.
    pub calls: u64,
    /// Self time in nanoseconds.
    pub self_ns: u64,
    /// Total time in nanoseconds. Recursive calls count once.
    pub total_ns: u64,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Tally) {
        self.calls = self.calls.saturating_add(other.calls);
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
    }
}

/// Number of events for each marker group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts([u64; MarkerGroup::ALL.len()]);

impl GroupCounts {
    /// The number of a group: entries, lines, collections, imports, audit events.
    pub fn of(&self, group: MarkerGroup) -> u64 {
        self.0[group as usize]
    }

    /// Adds to the number of a group.
    pub fn add(&mut self, group: MarkerGroup, count: u64) {
        self.0[group as usize] += count;
    }

    /// Counts an event. Of a pair of markers one counts: the entry of calls, the end of the others.
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

/// The name of a function in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FunctionName {
    /// A Python function.
    Code(CodeId),
    /// A C function.
    Text(TextId),
}

/// Accumulates counts of several sources before they become [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct CountTotals {
    functions: FxHashMap<(i32, FunctionName), Tally>,
    pub groups: GroupCounts,
    pub lost: u64,
    pub untimed: u64,
}

impl CountTotals {
    /// Adds a tally to a function of a process.
    pub fn add(&mut self, pid: i32, name: FunctionName, tally: Tally) {
        self.functions.entry((pid, name)).or_default().add(tally);
    }

    /// Resolves names. `elapsed` is the time since the start.
    pub fn into_counts(self, names: &Names, elapsed: Duration) -> Counts {
        let CountTotals { functions, groups, lost, untimed } = self;
        let function = |((pid, name), tally): ((i32, FunctionName), Tally)| {
            let code = match name {
                FunctionName::Code(code) => names.code_str(code),
                FunctionName::Text(text) => names.text_str(text).unwrap_or_default(),
            };
            // Functions without counts are omitted, such as CPython's pseudo code object after an
            // `__init__`.
            (tally != Tally::default() && !code.is_empty()).then_some(FunctionCount { pid, code, tally })
        };
        let functions = functions.into_iter().filter_map(function).collect();
        Counts { elapsed, functions, groups, lost, untimed }
    }
}
