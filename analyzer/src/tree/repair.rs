//! What had to be mended in a stream.

use std::ops::AddAssign;

/// What had to be mended in a stream, counted by kind. `docs/design/tree.md` draws each.
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

impl Repairs {
    /// Every kind by its name in JSON and its number.
    pub fn kinds(&self) -> [(&'static str, u64); 5] {
        [
            ("orphan_entries", self.orphan_entries),
            ("unmatched_returns", self.unmatched_returns),
            ("still_open", self.still_open),
            ("cut_by_loss", self.cut_by_loss),
            ("backwards", self.backwards),
        ]
    }

    /// How many there were of any kind.
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }
}

impl AddAssign for Repairs {
    fn add_assign(&mut self, other: Repairs) {
        self.orphan_entries += other.orphan_entries;
        self.unmatched_returns += other.unmatched_returns;
        self.still_open += other.still_open;
        self.cut_by_loss += other.cut_by_loss;
        self.backwards += other.backwards;
    }
}
