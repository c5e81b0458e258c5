//! The memory-mapped ring of events that the BPF program writes and the recorder reads.
//!
//! ```text
//! taken ─▶ │ event │ event │ event │   │   │   ◀─ head
//!           complete complete  incomplete
//! ```
//!
//! An event is complete when its stamp has the number of the current round through the array.
//! Reading stops at the first incomplete event: its writer has claimed the slot and not filled it
//! yet.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use super::skeleton::types;

/// The mapped array.
#[derive(Debug)]
pub struct EventArray {
    array: MmapRaw,
    /// The binary logarithm of its capacity in events.
    bits: u32,
    /// The number of events taken, which the BPF program reads.
    taken: NonNull<AtomicU64>,
    next: u64,
}

// SAFETY: mapping and counter are not bound to a thread, and only this value writes to the counter.
unsafe impl Send for EventArray {}

impl EventArray {
    /// Maps the array of `1 << bits` events.
    ///
    /// # Safety
    /// `taken` must stay valid for as long as the value lives, and nothing else may write there.
    pub unsafe fn map(array: impl AsFd, bits: u32, taken: NonNull<u64>) -> io::Result<EventArray> {
        let bytes = size_of::<types::event>() << bits;
        let array = MmapOptions::new().len(bytes).map_raw_read_only(array.as_fd().as_raw_fd())?;
        Ok(EventArray { array, bits, taken: taken.cast(), next: 0 })
    }

    /// Moves at most `most` events into `found`. Returns whether there may be more.
    pub fn take(&mut self, most: usize, found: &mut Vec<types::event>) -> bool {
        let before = found.len();
        while found.len() - before < most
            && let Some(event) = self.whole(self.next)
        {
            found.push(event);
            self.next += 1;
        }
        // SAFETY: valid by the contract of `map`; the BPF program aligns it to 64 bytes.
        unsafe { self.taken.as_ref() }.store(self.next, Ordering::Release);
        found.len() - before == most
    }

    fn whole(&self, place: u64) -> Option<types::event> {
        let index = place & ((1 << self.bits) - 1);
        // SAFETY: `index` is below `1 << bits`, the number of events in the mapping.
        let event = unsafe { self.array.as_ptr().cast::<types::event>().add(index as usize) };
        // SAFETY: as above. The BPF program may write concurrently, hence the volatile read of an
        // integer.
        let stamp = unsafe { (&raw const (*event).stamp).read_volatile() };
        if stamp >> 8 != ((place >> self.bits) + 1) as u32 & 0xff_ffff {
            return None;
        }
        // The BPF program writes the stamp last.
        fence(Ordering::Acquire);
        // SAFETY: as above. The BPF program reuses the slot only after `taken` has passed it.
        Some(unsafe { event.read_volatile() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// Writes event number `place` of an array of four, as the program would.
    fn put(file: &File, place: u64) {
        let bytes =
            [&place.to_le_bytes()[..], &[0; 20], &(((place / 4 + 1) << 8) as u32).to_le_bytes()].concat();
        file.write_all_at(&bytes, place % 4 * 32).expect("room for an event");
    }

    #[test]
    fn takes_what_is_whole_and_says_how_much() {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(4 * 32).expect("room");
        let mut taken = 0_u64;
        // SAFETY: it lives until the end of the test, and nothing else writes there.
        let mut events =
            unsafe { EventArray::map(&file, 2, NonNull::from(&mut taken)) }.expect("it can be mapped");
        let count = events.taken;
        let mut take = |most: usize| {
            let mut found = Vec::new();
            let more = events.take(most, &mut found);
            // SAFETY: it is `taken` above.
            let taken = unsafe { count.as_ref() }.load(Ordering::Acquire);
            (found.iter().map(|event| event.time_ns).collect::<Vec<_>>(), more, taken)
        };
        assert_eq!(take(9), (vec![], false, 0));
        [0, 1, 3].into_iter().for_each(|place| put(&file, place));
        assert_eq!(take(9), (vec![0, 1], false, 2), "number 2 is being written");
        put(&file, 2);
        assert_eq!(take(1), (vec![2], true, 3));
        // Round the array: what the last round left behind is not taken twice.
        [4, 5].into_iter().for_each(|place| put(&file, place));
        assert_eq!(take(9), (vec![3, 4, 5], false, 6));
    }
}
