//! What had to be mended in a stream.

/// What had to be mended, counted by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Entries whose return never came although a caller of theirs returned: CPython 3.15 fires one when it makes a
    /// generator.
    pub orphan_entries: u64,
    /// Returns from calls whose entry was not seen: the tracer came in mid-call, or a fork inherited them.
    pub unmatched_returns: u64,
    /// Calls that had not returned when their thread or the recording ended.
    pub still_open: u64,
    /// Calls that were running when events were lost, and whose end was lost with them.
    pub cut_by_loss: u64,
    /// Rows that are earlier than the row before them in their thread.
    pub backwards: u64,
}
