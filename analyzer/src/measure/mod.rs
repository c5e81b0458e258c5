//! What a call tree says: plain values, each taken from a [`crate::CallTree`].

mod folded;
mod info;
mod lines;
mod module;
mod naming;
mod sources;
mod threads;
mod totals;
mod trust;

#[cfg(test)]
pub(crate) mod tests;

pub use folded::{Folded, FoldedFrame, Weight};
pub use info::Info;
pub use lines::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
pub use sources::Sources;
pub use threads::{Process, ThreadOf, Threads};
pub use totals::{FunctionTotals, Pauses, Totals};
pub use trust::Trust;
