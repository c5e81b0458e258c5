//! What a call tree says: plain values, each taken from a [`crate::CallTree`].

mod audit;
pub mod diff;
mod divergence;
mod folded;
mod gc;
mod graph;
mod groups;
mod imports;
mod info;
mod instances;
mod lines;
mod log2;
mod module;
mod naming;
mod place;
mod sources;
mod threads;
mod totals;
mod trust;
mod worst;

#[cfg(test)]
pub(crate) mod tests;

pub use audit::{Audit, AuditGroup};
pub use divergence::{Alone, Divergence, Divergences, Finish, Outline, Side};
pub use folded::{Folded, FoldedFrame, Weight};
pub use gc::{Gc, Generation, Interrupted};
pub use graph::{Edge, Graph, GraphFunction, GraphName, Sum};
pub use groups::{GroupTotals, GroupedTotals};
pub use imports::{Import, Imports};
pub use info::Info;
pub use instances::{ClassInstances, CreatingLine, Creations, Finalizer, Instances};
pub use lines::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
pub use log2::Log2;
pub(crate) use naming::{Naming, label, qualname};
pub use place::{MAX_CALLERS, Place};
pub use sources::Sources;
pub use threads::{Process, ThreadOf, Threads};
pub use totals::{FunctionTotals, Pauses, Totals};
pub use trust::Trust;
pub use worst::{Branch, SlowCall, Worst};
