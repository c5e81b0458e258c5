//! One call.

use pyrec_schema::Event;

use crate::tree::Frame;

/// One call, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number: of two calls of a thread, the one that was entered later has the higher one.
    pub id: u64,
    /// The number of the call that it was made by; none for the outermost, and after a loss.
    pub parent: Option<u64>,
    /// How many calls it lies in.
    pub depth: u32,
    /// What was called. [`Frame::Lost`] stands for the unknown caller of what follows a loss.
    pub frame: Frame,
    /// The row that began it. Its text says how a generator goes on, its value is the generation of a collection.
    pub entry: Event,
    /// Whether it counts as a call: not if it began outside the time that was asked for.
    pub counts: bool,
    /// Time in the call itself, so far.
    pub self_ns: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// How.
    pub ending: Ending,
    /// The last instant at which it is known to have run: its return, or the last row inside it.
    pub time_ns: i64,
    /// When the end became known, which is later where no row says it.
    pub known_ns: i64,
    /// The time from its entry to its return, if both are known and lie in the time that was asked for.
    pub duration_ns: Option<u64>,
    /// The row of its return, if there was one. Its text tells a yield and an exception from a return.
    pub event: Option<&'a Event>,
}

/// How a call ended, as far as the rows tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its return came.
    Returned,
    /// A return came, but events were lost meanwhile, so that it may be that of another call.
    AcrossLoss,
    /// No return came although a caller returned. It counts as no call: CPython 3.15 makes generators this way.
    NeverReturned,
    /// The same, but events were lost meanwhile.
    InLoss,
    /// It had not ended when its thread or the recording did.
    StillOpen,
}
