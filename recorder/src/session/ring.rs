//! The recorder's end of a thread's ring.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};
use pyrec_wire::{PAGE_BYTES, RING_RECORDS, Record, RingHeader, VERSION, ring_file_len, slot_offset};

use crate::os::sigbus;

/// A ring file. Only its header is mapped: records are read with `pread`, so that rings of many threads do not count
/// as the recorder's memory, and a file that shrinks is an error.
#[derive(Debug)]
pub(crate) struct Ring {
    file: File,
    header: MmapRaw,
    capacity: u32,
    /// Records read. The thread gets their slots back later, when they are safe.
    tail: u64,
    /// Records to read, as of the last [`Ring::look`].
    head: u64,
    end_ticks: u64,
}

impl Ring {
    /// Opens a ring; none while its thread is still making it.
    pub fn open(file: File) -> io::Result<Option<Ring>> {
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            return Ok(None);
        }
        sigbus::install_handler();
        let header = MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?;
        let mut ring = Ring { file, header, capacity: 0, tail: 0, head: 0, end_ticks: 0 };
        if ring.header().version.load(Ordering::Acquire) != VERSION {
            return Ok(None);
        }
        ring.capacity = ring.header().capacity;
        ring.tail = ring.header().consumed.tail.load(Ordering::Acquire);
        let whole = ring.capacity.is_power_of_two()
            && ring.capacity <= RING_RECORDS
            && ring.file.metadata()?.len() >= ring_file_len(ring.capacity) as u64;
        if whole { Ok(Some(ring)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// The page that both sides see.
    pub fn header(&self) -> &RingHeader {
        // SAFETY: the mapping is a page long, which the header fits into, is aligned to a page, and lives as long as
        // `self`. Every bit pattern is a RingHeader; what the other side writes while we look is atomic, the rest is
        // written before `version`.
        unsafe { &*self.header.as_ptr().cast::<RingHeader>() }
    }

    /// Sees how far the thread has come. Records up to there are read by [`Ring::read`].
    pub fn look(&mut self) {
        let produced = &self.header().produced;
        // The end is written after the last record: seen in this order, an ended ring's head is final.
        let end_ticks = produced.end_ticks.load(Ordering::Acquire);
        let head = produced.head.load(Ordering::Acquire);
        self.end_ticks = end_ticks;
        // A head that leapt ahead of what the ring can hold is not the agent's doing; what it overwrote is gone.
        self.head = head.clamp(self.tail, self.tail + u64::from(self.capacity));
    }

    /// When the thread ended, as of the last look.
    pub fn ended(&self) -> Option<u64> {
        (self.end_ticks != 0).then_some(self.end_ticks)
    }

    /// The next records up to where the last look saw, as bytes, and at most so many: empty when there is none left.
    /// Their slots are free again after [`Ring::release`].
    pub fn read<'a>(&mut self, limit: usize, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let to_end_of_file = u64::from(self.capacity) - (self.tail & (u64::from(self.capacity) - 1));
        let count = (self.head - self.tail).min(to_end_of_file).min(limit as u64);
        let length = count as usize * Record::SIZE;
        buffer.resize(buffer.len().max(length), 0);
        let bytes = &mut buffer[..length];
        self.file.read_exact_at(bytes, slot_offset(self.tail, self.capacity) as u64)?;
        self.tail += count;
        Ok(bytes)
    }

    /// How many records were read, since the ring was made.
    pub fn position(&self) -> u64 {
        self.tail
    }

    /// Reads on from there: what came before has been read by somebody else.
    pub fn skip_to(&mut self, position: u64) {
        self.tail = self.tail.max(position);
    }

    /// Gives the slots of the records before that one back to the thread.
    pub fn release(&self, position: u64) {
        self.header().consumed.tail.store(position, Ordering::Release);
    }

    /// Whether that many records take more than half of the ring.
    pub fn is_crowded_by(&self, records: u64) -> bool {
        records > u64::from(self.capacity) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyrec_wire::RecordKind;
    use std::io::Write;

    /// A ring of eight slots in which `written` records were written, number n at n ticks.
    fn ring_file(written: u64) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        let mut bytes = vec![0u8; ring_file_len(8)];
        for number in 0..written {
            let record = Record::new(number, RecordKind::Call, 0, number as u32);
            let at = slot_offset(number, 8);
            bytes[at..at + 8].copy_from_slice(&record.ticks.to_ne_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&record.word.to_ne_bytes());
        }
        file.write_all(&bytes).expect("room for a ring");
        let map = MmapOptions::new().len(PAGE_BYTES).map_raw(&file).expect("the header is mapped");
        let header = map.as_mut_ptr().cast::<RingHeader>();
        // SAFETY: a page of a file that is longer; nobody else maps it yet.
        unsafe {
            (*header).capacity = 8;
            (*header).produced.head.store(written, Ordering::Release);
            (*header).version.store(VERSION, Ordering::Release);
        }
        file
    }

    fn drain(ring: &mut Ring) -> Vec<u64> {
        let mut buffer = Vec::new();
        let mut ticks = Vec::new();
        ring.look();
        loop {
            let bytes = ring.read(3, &mut buffer).expect("the file is whole");
            if bytes.is_empty() {
                return ticks;
            }
            let records = bytes.as_chunks().0.iter().map(Record::from_bytes);
            ticks.extend(records.map(|record| record.ticks));
            ring.release(ring.position());
        }
    }

    #[test]
    fn reads_across_the_end_of_the_file_and_frees_what_it_read() {
        let file = ring_file(5);
        let mut ring = Ring::open(file).expect("it opens").expect("it is ready");
        assert_eq!(drain(&mut ring), [0, 1, 2, 3, 4]);
        assert_eq!(ring.header().consumed.tail.load(Ordering::Acquire), 5);
        // The thread goes round: records 8 to 11 lie in the slots of 0 to 3, which still hold 0 to 3 here.
        ring.header().produced.head.store(12, Ordering::Release);
        assert_eq!(drain(&mut ring), [0, 0, 0, 0, 1, 2, 3]);
        assert!(drain(&mut ring).is_empty());
    }

    #[test]
    fn a_ring_that_shrinks_or_claims_too_much_is_no_reason_to_die() {
        let file = ring_file(5);
        let mut ring = Ring::open(file.try_clone().expect("one more descriptor"))
            .expect("it opens")
            .expect("it is ready");
        file.set_len(0).expect("it shrinks");
        ring.look();
        assert!(ring.ended().is_none() && ring.read(8, &mut Vec::new()).expect("nothing to read").is_empty());
        ring.release(ring.position());

        let file = ring_file(5);
        let mut ring = Ring::open(file.try_clone().expect("one more descriptor"))
            .expect("it opens")
            .expect("it is ready");
        ring.look();
        file.set_len(PAGE_BYTES as u64).expect("it shrinks");
        assert!(ring.read(8, &mut Vec::new()).is_err());

        let file = ring_file(5);
        let capacity = (RING_RECORDS * 2).to_ne_bytes();
        file.write_at(&capacity, std::mem::offset_of!(RingHeader, capacity) as u64).expect("it is written");
        file.set_len(ring_file_len(RING_RECORDS * 2) as u64).expect("a hole");
        assert!(Ring::open(file).is_err());
    }

    #[test]
    fn a_ring_that_is_being_made_is_none_yet() {
        let empty = tempfile::tempfile().expect("a temporary file");
        assert!(Ring::open(empty).expect("no error").is_none());
        let unready = tempfile::tempfile().expect("a temporary file");
        unready.set_len(ring_file_len(8) as u64).expect("room");
        assert!(Ring::open(unready).expect("no error").is_none());
    }
}
