//! A thread's ring: one producer, the thread; one consumer, the recorder.

use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::{PAGE_BYTES, Record};

/// Records in a ring: 8 MiB, enough for the 10 to 20 ms that a busy machine may keep the recorder waiting.
pub const RING_RECORDS: u32 = 1 << 19;

/// The first page of a ring file. Head and tail count records from the ring's creation and never wrap;
/// record `n` lies in slot `n % capacity`. Producer and consumer write to cache lines of their own.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct RingHeader {
    /// [`crate::VERSION`], written last when the ring is made, with release: 0 in a ring that is not ready.
    pub version: AtomicU32,
    /// Records that the ring holds, a power of two.
    pub capacity: u32,
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// When the thread was first seen.
    pub start_ticks: u64,
    /// The producer's line.
    pub produced: Produced,
    /// The consumer's line.
    pub consumed: Consumed,
}

/// What the traced thread writes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Produced {
    /// Records written, with release.
    pub head: AtomicU64,
    /// When the thread ended, 0 while it lives. Written after the last head, with release.
    pub end_ticks: AtomicU64,
    /// Records dropped since `lost_since_ticks` that no [`crate::RecordKind::Lost`] record tells of yet.
    pub lost: AtomicU64,
    /// When the first of them was dropped.
    pub lost_since_ticks: AtomicU64,
    /// How long the thread waited for room, in nanoseconds, in all.
    pub waited_ns: AtomicU64,
}

/// What the recorder writes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Consumed {
    /// Records read, with release: their slots are free.
    pub tail: AtomicU64,
}

/// Length of a ring's file, in bytes.
pub const fn ring_file_len(capacity: u32) -> usize {
    PAGE_BYTES + capacity as usize * Record::SIZE
}

/// Where record `number` lies in the file, in bytes.
pub const fn slot_offset(number: u64, capacity: u32) -> usize {
    PAGE_BYTES + (number & (capacity as u64 - 1)) as usize * Record::SIZE
}

const _: () = assert!(size_of::<RingHeader>() <= PAGE_BYTES);
const _: () = assert!(RING_RECORDS.is_power_of_two());
