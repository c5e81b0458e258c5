//! Which footers stay.
//!
//! A footer that stays serves who has only a part of the file: what lies before it is whole. But it repeats all row groups
//! before it, so one for each would be quadratic: a thousand row groups, and half of the file is footers.
//!
//! ```text
//! ││││││││││ │ │ │  │  │  │   │   │    │     │     │       │    time ─▶
//! each stays   as many as take their share
//! ```

/// Footers may take this much and a hundredth of the file. (Together less than the larger of twice this and a fiftieth of
/// the file.)
const FOOTERS_BYTES: u64 = 128 << 10;
const FOOTERS_SHARE: u64 = 100;

/// What a row group adds to a footer, at most.
const GROUP_FOOTER_BYTES: u64 = 1 << 10;

/// What the footers of a file take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FooterRetention {
    /// Those that stay, together.
    footers_len: u64,
    /// The last one.
    footer_len: u64,
}

impl FooterRetention {
    /// A footer was written.
    pub(crate) fn add(&mut self, footer_len: u64, stays: bool) {
        self.footer_len = footer_len;
        self.footers_len += if stays { footer_len } else { 0 };
    }

    /// Whether one more may stay in a file of that length, with so many new row groups in it.
    pub(crate) fn fits(&self, new_groups: usize, file_len: u64) -> bool {
        let footer_len = self.footer_len + new_groups as u64 * GROUP_FOOTER_BYTES;
        self.footers_len + footer_len <= FOOTERS_BYTES + file_len / FOOTERS_SHARE
    }
}
