//! Counts over all rows of a trace: rows by marker, lost events, and repairs.

use std::ops::AddAssign;

use pyrec_schema::{Batch, Marker};

/// A sum that saturates at [`u64::MAX`], since the times in an untrusted file can have any value.
pub(crate) fn saturating_sum(quantities: impl Iterator<Item = u64>) -> u64 {
    quantities.fold(0, u64::saturating_add)
}

/// Counts over the rows of all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceCounts {
    /// The number of rows of each marker, by its discriminant.
    pub markers: [u64; Marker::ALL.len()],
    /// The number of lost events.
    pub lost: u64,
    /// The time of the earliest event. Later than `last_ns` if there are no events.
    pub first_ns: i64,
    /// The time of the latest event.
    pub last_ns: i64,
}

impl Default for TraceCounts {
    fn default() -> Self {
        TraceCounts { markers: [0; Marker::ALL.len()], lost: 0, first_ns: i64::MAX, last_ns: i64::MIN }
    }
}

impl TraceCounts {
    /// Counts the rows of a batch.
    pub fn add(&mut self, batch: &Batch) {
        let entries = count(&batch.marker, Marker::FunctionEntry);
        let returns = count(&batch.marker, Marker::FunctionReturn);
        self.markers[Marker::FunctionEntry as usize] += entries;
        self.markers[Marker::FunctionReturn as usize] += returns;
        if entries + returns == batch.len() as u64 {
            for &time_ns in &batch.time_ns {
                self.first_ns = self.first_ns.min(time_ns);
                self.last_ns = self.last_ns.max(time_ns);
            }
            return;
        }
        for (marker, &time_ns) in batch.marker.iter().zip(&batch.time_ns) {
            if marker.is_event() {
                self.first_ns = self.first_ns.min(time_ns);
                self.last_ns = self.last_ns.max(time_ns);
            }
            if !matches!(marker, Marker::FunctionEntry | Marker::FunctionReturn) {
                self.markers[*marker as usize] += 1;
            }
        }
        for &(row, value) in &batch.values {
            if batch.marker[row as usize] == Marker::Lost {
                self.lost = self.lost.saturating_add(u64::try_from(value).unwrap_or(0));
            }
        }
    }

    /// Adds the counts of other rows.
    pub fn join(&mut self, other: &TraceCounts) {
        self.markers.iter_mut().zip(other.markers).for_each(|(count, more)| *count += more);
        self.lost = self.lost.saturating_add(other.lost);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    /// The number of events, without the recorder's own rows.
    pub fn events(&self) -> u64 {
        saturating_sum(Marker::ALL.iter().filter(|marker| marker.is_event()).map(|&marker| self.of(marker)))
    }

    /// The number of rows of a marker.
    pub fn of(&self, marker: Marker) -> u64 {
        self.markers[marker as usize]
    }

    /// The time from the first event to the last, in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        u64::try_from(i128::from(self.last_ns) - i128::from(self.first_ns)).unwrap_or(0)
    }
}

/// The number of rows with a marker. Counts 255 rows at a time in a byte, which vectorizes.
fn count(markers: &[Marker], wanted: Marker) -> u64 {
    let count_chunk =
        |markers: &[Marker]| markers.iter().map(|&marker| u8::from(marker == wanted)).sum::<u8>();
    markers.chunks(u8::MAX.into()).map(|markers| u64::from(count_chunk(markers))).sum()
}

/// Repairs of imbalances in a stream, by kind. `docs/design/tree.md` describes each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Entries without a return although a caller returned. CPython 3.15 fires one when it creates
    /// a generator.
    pub orphan_entries: u64,
    /// Returns without an entry: the call was open when the recording began, or was inherited by a
    /// fork.
    pub unmatched_returns: u64,
    /// Calls that were open when their thread or the recording ended.
    pub still_open: u64,
    /// Calls that were open when events were lost, and ended during the loss.
    pub cut_by_loss: u64,
    /// Rows with an earlier time than the row before in the same thread.
    pub backwards: u64,
}

impl Repairs {
    /// Each kind's name in JSON, and its count.
    pub fn kinds(&self) -> [(&'static str, u64); 5] {
        [
            ("orphan_entries", self.orphan_entries),
            ("unmatched_returns", self.unmatched_returns),
            ("still_open", self.still_open),
            ("cut_by_loss", self.cut_by_loss),
            ("backwards", self.backwards),
        ]
    }

    /// The number of repairs of all kinds.
    pub fn total(&self) -> u64 {
        saturating_sum(self.kinds().into_iter().map(|(_, count)| count))
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
