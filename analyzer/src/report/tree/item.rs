//! What gets a line.

use pyrec_schema::Event;

use crate::tree::Frame;

/// What gets a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The row that says so; for what no row says, the row of the entry at the time when it became known.
    pub event: Event,
    /// How many calls it lies in.
    pub level: usize,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A call.
    Entry(Frame),
    /// Its return.
    Return(Frame, Since),
    /// It never returned, for a caller of it did.
    NeverReturned(Frame),
    /// It had not returned when its thread or the recording ended.
    StillOpen(Frame),
    /// The call before it was repeated, and the same happened in it.
    Repeats {
        /// What was called.
        frame: Frame,
        /// How often.
        count: u64,
        /// How long that took in all.
        total_ns: u64,
    },
    /// Something without a duration.
    Point,
}

/// Since when a call that returned had been running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Since its entry.
    Entry(i64),
    /// Since its entry, but events were lost meanwhile, so that this may have been another call.
    Unsure,
    /// Since before the recording, or since an entry that was lost.
    Unseen,
}
