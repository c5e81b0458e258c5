//! The recorder's end of a thread's ring: the consumer of its records.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Acquire, Release};

use memmap2::{MmapOptions, MmapRaw};
use pyrec_wire::{PAGE_BYTES, RING_RECORDS, Record, RingHeader, VERSION, ring_file_len, slot_offset};

use crate::os::sigbus;

/// How often the head and the counter of lost events are read until both belong together.
const READ_ATTEMPTS: u32 = 100;

/// A ring file that is read.
///
/// Only the header is mapped. Records are read with `pread`: so the rings of many threads do not
/// count as memory of the recorder, and a truncated file is an error.
#[derive(Debug)]
pub(crate) struct Ring {
    file: File,
    header: MmapRaw,
    capacity: u32,
    /// Number of records read. Their slots are released to the thread later.
    position: u64,
    /// State of the producer at the last call of [`Ring::observe`].
    observed: Observed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    head: u64,
    end_ticks: u64,
    lost: CountedLoss,
}

/// Lost events that no record reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CountedLoss {
    pub events: u64,
    /// The time of the first of them.
    pub since_ticks: u64,
}

impl Ring {
    /// Opens a ring; none while its thread is still creating it.
    pub fn open(file: File) -> io::Result<Option<Ring>> {
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            return Ok(None);
        }
        sigbus::install_handler();
        let header = MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?;
        let mut ring = Ring { file, header, capacity: 0, position: 0, observed: Observed::default() };
        if ring.header().version.load(Acquire) != VERSION {
            return Ok(None);
        }
        ring.capacity = ring.header().capacity;
        ring.position = ring.header().consumed.tail.load(Acquire);
        ring.observed.head = ring.position;
        let is_valid = ring.capacity.is_power_of_two()
            && ring.capacity <= RING_RECORDS
            && ring.file.metadata()?.len() >= ring_file_len(ring.capacity) as u64;
        if is_valid { Ok(Some(ring)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// The page that both sides map.
    pub fn header(&self) -> &RingHeader {
        // SAFETY: the mapping is a page long, page-aligned, larger than the header, and lives as
        // long as `self`. Every bit pattern is a valid RingHeader. The fields that the thread
        // changes after it has set `version` are atomic.
        unsafe { &*self.header.as_ptr().cast::<RingHeader>() }
    }

    /// Observes how far the thread has written. [`Ring::read`] returns the records up to there.
    pub fn observe(&mut self) {
        let produced = &self.header().produced;
        // The thread stores its end after its last record, so the head of an ended ring is final.
        let end_ticks = produced.end_ticks.load(Acquire);
        let mut observed = Observed { head: 0, end_ticks, lost: CountedLoss::default() };
        // A loss record takes the count over from the counter, in two stores. If the head does not
        // move while the counter is read, no loss is in both and none in neither. The thread may
        // drop events and write on for ever, hence the limit; the next call counts the loss then.
        for _ in 0..READ_ATTEMPTS {
            observed.head = produced.head.load(Acquire);
            let since_ticks = produced.lost_since_ticks.load(Acquire);
            let events = produced.lost.load(Acquire);
            if events == 0 || produced.head.load(Acquire) == observed.head {
                observed.lost = CountedLoss { events, since_ticks };
                break;
            }
        }
        // No agent advances the head beyond the free slots; the target process can write anything.
        observed.head = observed.head.clamp(self.position, self.position + u64::from(self.capacity));
        self.observed = observed;
    }

    /// When the thread ended, if it had at the last observation.
    pub fn end_ticks(&self) -> Option<u64> {
        (self.observed.end_ticks != 0).then_some(self.observed.end_ticks)
    }

    /// The lost events that the thread had counted at the last observation.
    ///
    /// If the last observed record is a loss record, the counter may still hold the same loss, and
    /// is to be ignored. The thread writes the next record together with a loss record, so there is
    /// no other loss then.
    pub fn counted_loss(&self) -> CountedLoss {
        self.observed.lost
    }

    /// Reads the next records up to the last observation, at most `limit`. Empty if there are none.
    /// Their slots stay occupied until [`Ring::release`].
    pub fn read<'a>(&mut self, limit: usize, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let to_end_of_file = u64::from(self.capacity) - (self.position & (u64::from(self.capacity) - 1));
        let count = self.observed.head.saturating_sub(self.position).min(to_end_of_file).min(limit as u64);
        let length = count as usize * Record::SIZE;
        buffer.resize(buffer.len().max(length), 0);
        let bytes = &mut buffer[..length];
        self.file.read_exact_at(bytes, slot_offset(self.position, self.capacity) as u64)?;
        self.position += count;
        Ok(bytes)
    }

    /// The number of records read since the ring was created.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Continues at a position, because the records before it are in the trace.
    pub fn skip_to(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// Releases the slots of the records before a position to the thread.
    pub fn release(&self, position: u64) {
        self.header().consumed.tail.store(position, Release);
    }

    /// Whether this many records occupy more than half of the ring.
    pub fn is_half_filled_by(&self, records: u64) -> bool {
        records > u64::from(self.capacity) / 2
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Ring files for tests.

    use super::*;

    /// Number of slots.
    pub const CAPACITY: u32 = 8;

    /// Makes a file the ring of a thread that has written these records, and has counted lost
    /// events since the time 0 that no record reports.
    pub fn write_ring(file: &File, records: &[Record], lost: u64) {
        file.set_len(ring_file_len(CAPACITY) as u64).expect("the file is extended");
        for (number, record) in (0..).zip(records) {
            let at = slot_offset(number, CAPACITY) as u64;
            let bytes = [record.ticks.to_ne_bytes(), record.word.to_ne_bytes()].concat();
            file.write_all_at(&bytes, at).expect("the record is written");
        }
        let map = MmapOptions::new().len(PAGE_BYTES).map_raw(file).expect("the header is mapped");
        let header = map.as_mut_ptr().cast::<RingHeader>();
        // SAFETY: the mapping is a page of a longer file, and nothing else accesses it.
        unsafe {
            (*header).capacity = CAPACITY;
            (*header).produced.head.store(records.len() as u64, Release);
            (*header).produced.lost.store(lost, Release);
            (*header).version.store(VERSION, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use pyrec_wire::RecordKind;

    use super::testing::{CAPACITY, write_ring};
    use super::*;

    /// A ring in which record number n has the time n.
    fn ring_file(records: u64) -> File {
        let file = tempfile::tempfile().expect("a temporary file");
        let records = (0..records).map(|number| Record::new(number, RecordKind::Call, 0, number as u32));
        write_ring(&file, &records.collect::<Vec<_>>(), 0);
        file
    }

    fn open(file: &File) -> Ring {
        let file = file.try_clone().expect("the descriptor is duplicated");
        Ring::open(file).expect("the ring opens").expect("the ring is complete")
    }

    /// The times of all records, after which their slots are released.
    fn drain(ring: &mut Ring) -> Vec<u64> {
        let mut buffer = Vec::new();
        let mut ticks = Vec::new();
        ring.observe();
        loop {
            let bytes = ring.read(3, &mut buffer).expect("the file is complete");
            if bytes.is_empty() {
                return ticks;
            }
            let records = bytes.as_chunks().0.iter().map(Record::from_bytes);
            ticks.extend(records.map(|record| record.ticks));
            ring.release(ring.position());
        }
    }

    #[test]
    fn reads_across_the_end_of_the_file_and_releases_slots() {
        let mut ring = open(&ring_file(5));
        assert_eq!(drain(&mut ring), [0, 1, 2, 3, 4]);
        assert_eq!(ring.header().consumed.tail.load(Acquire), 5);
        // Records 8 to 11 are in the slots of 0 to 3, which this test does not overwrite.
        ring.header().produced.head.store(12, Release);
        assert_eq!(drain(&mut ring), [0, 0, 0, 0, 1, 2, 3]);
        assert!(drain(&mut ring).is_empty());
    }

    #[test]
    fn a_loss_is_counted_as_of_the_observation() {
        let mut ring = open(&ring_file(1));
        let produced = |ring: &Ring, events: u64| {
            ring.header().produced.lost_since_ticks.store(9, Release);
            ring.header().produced.lost.store(events, Release);
        };
        produced(&ring, 3);
        ring.observe();
        produced(&ring, 7);
        assert_eq!(ring.counted_loss(), CountedLoss { events: 3, since_ticks: 9 });
        ring.observe();
        assert_eq!(ring.counted_loss(), CountedLoss { events: 7, since_ticks: 9 });
    }

    #[test]
    fn a_truncated_or_invalid_ring_is_an_error() {
        let file = ring_file(5);
        let mut ring = open(&file);
        file.set_len(0).expect("the file is truncated");
        ring.observe();
        assert!(ring.end_ticks().is_none());
        assert!(ring.read(8, &mut Vec::new()).expect("there is nothing to read").is_empty());
        ring.release(ring.position());

        let file = ring_file(5);
        let mut ring = open(&file);
        ring.observe();
        file.set_len(PAGE_BYTES as u64).expect("the file is truncated");
        assert!(ring.read(8, &mut Vec::new()).is_err());

        let file = ring_file(5);
        let capacity = (RING_RECORDS * 2).to_ne_bytes();
        let offset = std::mem::offset_of!(RingHeader, capacity) as u64;
        file.write_all_at(&capacity, offset).expect("the header is written");
        file.set_len(ring_file_len(RING_RECORDS * 2) as u64).expect("the file is extended");
        assert!(Ring::open(file).is_err());
    }

    #[test]
    fn a_ring_that_is_being_created_is_none() {
        let empty = tempfile::tempfile().expect("a temporary file");
        assert!(Ring::open(empty).expect("no error").is_none());
        let without_version = tempfile::tempfile().expect("a temporary file");
        without_version.set_len(ring_file_len(CAPACITY) as u64).expect("the file is extended");
        assert!(Ring::open(without_version).expect("no error").is_none());
    }
}
