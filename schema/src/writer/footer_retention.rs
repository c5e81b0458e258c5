//! Decides which footers are kept in the file.
//!
//! A kept footer makes a truncated copy of the file readable up to there. But each footer lists
//! all row groups before it, so one for each checkpoint would take quadratic space: with a thousand
//! row groups, half of the file would be footers. Therefore footers have a budget.
//!
//! ```text
//! ││││││││││ │ │ │  │  │  │   │   │    │     │     │       │    time ─▶
//! all fit      as many as the budget allows
//! ```

/// The budget of a file of any length. With the additional budget, kept footers take less than 256
/// KiB or a fiftieth of the file, whichever is larger.
const BASE_BUDGET_BYTES: u64 = 128 << 10;

/// The additional budget is the length of the file divided by this.
const BUDGET_DIVISOR: u64 = 100;

/// The maximum length of a row group's entry in a footer.
const ROW_GROUP_BYTES: u64 = 1 << 10;

/// The lengths of a file's footers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FooterRetention {
    /// The length of all kept footers.
    kept_len: u64,
    /// The length of the last footer.
    last_len: u64,
}

impl FooterRetention {
    /// Adds a footer that was written.
    pub(crate) fn add(&mut self, footer_len: u64, is_kept: bool) {
        self.last_len = footer_len;
        self.kept_len += if is_kept { footer_len } else { 0 };
    }

    /// Whether a footer with `new_groups` more row groups than the last one fits into the budget of
    /// a file of `file_len`.
    pub(crate) fn fits(&self, new_groups: usize, file_len: u64) -> bool {
        let footer_len = self.last_len + new_groups as u64 * ROW_GROUP_BYTES;
        self.kept_len + footer_len <= BASE_BUDGET_BYTES + file_len / BUDGET_DIVISOR
    }
}
