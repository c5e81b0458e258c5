//! Call paths with their weight: what a flame graph draws.

use crate::CallTree;
use crate::measure::Trust;

/// What makes a frame wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Running time, nanoseconds.
    #[default]
    Time,
    /// Calls.
    Calls,
}

/// Call paths with their weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Parents before their children.
    pub frames: Vec<FoldedFrame>,
    /// What the weights are.
    pub weight: Weight,
    /// What was run.
    pub command: Vec<String>,
    /// How far to trust it.
    pub trust: Trust,
}

/// One frame of a call path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedFrame {
    /// Where in [`Folded::frames`] its caller is.
    pub parent: Option<u32>,
    /// A name for people, with its module or file.
    pub label: String,
    /// Its own weight, without that of what it calls.
    pub own: u64,
}

impl Folded {
    /// Weighs every call path.
    pub fn of(calls: &CallTree, weight: Weight) -> Folded {
        todo!("{calls:?} {weight:?}")
    }
}
