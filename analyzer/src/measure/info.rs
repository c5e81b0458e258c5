//! What was recorded.

use crate::CallTree;
use crate::measure::Trust;
use pyrec_schema::Marker;

/// What was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Rows per marker, those that occur, in the order of [`Marker::ALL`].
    pub markers: Vec<(Marker, u64)>,
    /// From the first event to the last.
    pub duration_ns: u64,
    /// How many threads had events.
    pub threads: usize,
    /// How many processes had events.
    pub processes: usize,
    /// `agent` or `usdt`.
    pub provider: String,
    /// The versions of Python that were seen, each once.
    pub python: Vec<String>,
    /// What was run, word by word.
    pub command: Vec<String>,
    /// How far to trust it.
    pub trust: Trust,
}

impl Info {
    /// Takes the facts together.
    pub fn of(calls: &CallTree) -> Info {
        todo!("{calls:?}")
    }
}
