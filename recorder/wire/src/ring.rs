//! The ring of a thread: a queue with one producer, the thread, and one consumer, the recorder.

use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::{PAGE_BYTES, Record};

/// The capacity of a ring in records, 8 MiB. It absorbs the events of the 10 to 20 ms for which a
/// busy machine may not schedule the recorder.
pub const RING_RECORDS: u32 = 1 << 19;

/// The header of a ring, the first page of its file. Head and tail count records since the ring's
/// creation and never wrap. Record `n` is in slot `n % capacity`. Producer and consumer write to
/// different cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct RingHeader {
    /// [`VERSION`](crate::VERSION), stored last and with release ordering when the ring is created.
    /// 0 until then.
    pub version: AtomicU32,
    /// The number of slots, a power of two.
    pub capacity: u32,
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// When the agent first saw the thread.
    pub start_ticks: u64,
    /// The producer's fields.
    pub produced: Produced,
    /// The consumer's fields.
    pub consumed: Consumed,
}

/// The fields that the thread writes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Produced {
    /// The number of records written. Stored with release ordering.
    pub head: AtomicU64,
    /// When the thread ended, 0 while it runs. Stored after the last head, with release ordering.
    pub end_ticks: AtomicU64,
    /// The number of records dropped since `lost_since_ticks`, for which no
    /// [`RecordKind::Lost`](crate::RecordKind::Lost) record was written yet.
    ///
    /// The thread writes such a record before it resets the counter. If the last record before
    /// `head` is one, the counter is 0 or counts the same events, and must be ignored.
    pub lost: AtomicU64,
    /// When the first of them was dropped.
    pub lost_since_ticks: AtomicU64,
    /// How long the thread waited for a free slot, nanoseconds in total.
    pub waited_ns: AtomicU64,
}

/// The fields that the recorder writes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Consumed {
    /// The number of records read, whose slots are free. Stored with release ordering.
    pub tail: AtomicU64,
}

/// The length of a ring's file, in bytes.
pub const fn ring_file_len(capacity: u32) -> usize {
    PAGE_BYTES + capacity as usize * Record::SIZE
}

/// The offset of record `number` in the file, in bytes.
pub const fn slot_offset(number: u64, capacity: u32) -> usize {
    PAGE_BYTES + (number & (capacity as u64 - 1)) as usize * Record::SIZE
}

const _: () = assert!(size_of::<RingHeader>() <= PAGE_BYTES);
const _: () = assert!(RING_RECORDS.is_power_of_two());
