//! How far to trust a report.

use pyrec_schema::Ended;

use crate::tree::Repairs;

/// How far to trust a report: computed here and nowhere else, always from the whole trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// Events of Python, without the recorder's own rows.
    pub events: u64,
    /// Events that the recorder says it lost.
    pub lost: u64,
    /// What was mended in rebuilding the calls.
    pub repaired: Repairs,
    /// How the recording ended.
    pub ended: Ended,
    /// What recording one event cost the program.
    pub cost_per_event_ns: Option<f64>,
    /// Bytes of a cut file that could not be read.
    pub torn_bytes: u64,
}
