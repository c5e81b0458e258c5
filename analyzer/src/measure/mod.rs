//! Measures: plain values taken from a trace, which reports write.
//!
//! ```text
//! call paths    CallTree ─▶ Totals, GroupedTotals, Folded, CallGraph, Threads, TraceInfo
//! single calls  calls    ─▶ Lines, Imports, GcPauses, Instances, Audit, SlowestCalls
//! several runs  both     ─▶ Diff, Divergences
//! ```
//!
//! A [`CallTree`](crate::CallTree) has one node for each call path, so a measure over it takes one
//! pass over the nodes. What a tree does not store, such as lines and single durations, is
//! collected in a pass over the [calls](crate::calls) of a trace. Every measure carries a
//! [`Trust`].

pub mod alignment;
mod audit;
mod call_graph;
mod comparability;
pub mod diff;
mod divergence;
mod folded;
mod frame_names;
mod gc;
mod groups;
mod imports;
mod info;
mod instances;
mod lines;
mod log2_histogram;
mod module_names;
mod slowest_calls;
mod source_location;
mod sources;
mod threads;
mod totals;
mod trust;

#[cfg(test)]
mod tests;

pub use audit::{Audit, AuditGroup};
pub use call_graph::{CallEdge, CallGraph, CallSums, FunctionName, GraphFunction};
pub use comparability::{Comparability, RunConditions};
pub use divergence::{CallOutcome, CallSummary, Divergence, DivergenceSide, Divergences, UnpairedThread};
pub use folded::{Folded, FoldedFrame, Weight};
pub(crate) use frame_names::{FrameNames, function_label, qualname};
pub use gc::{GcGeneration, GcPauses, InterruptedLocation};
pub use groups::{GroupTotals, GroupedTotals};
pub use imports::{Import, Imports};
pub use info::TraceInfo;
pub use instances::{ClassInstances, CreatingLine, Creations, Finalizer, Instances};
pub use lines::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
pub use log2_histogram::Log2Histogram;
pub use slowest_calls::{CallTreeRow, SlowCall, SlowestCalls};
pub use source_location::{MAX_CALLERS, SourceLocation};
pub use sources::Sources;
pub use threads::{Process, ProcessThread, Threads};
pub use totals::{FunctionTotals, PauseTotals, Totals};
pub use trust::Trust;
