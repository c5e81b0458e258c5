//! The producer's side of a ring: a single-producer, single-consumer queue of records in a file
//! that the thread and the recorder map.
//!
//! ```text
//!          tail (the recorder's)          head (the thread's)   limit
//!           │                              │                     │
//!   ────────┴──────────────────────────────┴─────────────────────┴──▶ records
//!            full slots                     known to be free
//! ```
//!
//! The thread reads the tail only when the head reaches the limit, so the hot path does not touch
//! the recorder's cache line. During the first round through the ring the limit also stops at the
//! end of the memory allocated so far: most threads are short-lived, and a page costs more than the
//! records in it.

use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pyrec_wire::{OnFull, PAGE_BYTES, Record, RecordKind, RingHeader, VERSION, ring_file_len};

use crate::context::{self, OpenSession};
use crate::os::{self, Errno, File, clock};

/// Records that are written before the tail and the session's state are read again. Memory is
/// allocated for as many slots at a time.
const BATCH_RECORDS: u64 = 1 << 14;

/// The interval at which a waiting thread checks for free slots.
const POLL_INTERVAL_NS: i64 = 50_000;

/// The interval at which a waiting thread checks whether the recorder is alive.
const LIVENESS_INTERVAL_NS: u64 = 10_000_000;

/// The session is closed, or the recorder has ended.
pub struct SessionEnded;

/// The producer's side of a ring.
pub struct Ring {
    slots: *mut Record,
    mask: u64,
    head: u64,
    limit: u64,
    /// Number of slots that have memory.
    populated: u64,
    header: *const RingHeader,
    /// Whether its session has ended and the file is unmapped.
    retired: bool,
}

impl Ring {
    /// Creates the file `name` in the session directory, for the thread `tid`.
    pub fn create(
        session: &OpenSession,
        name: fmt::Arguments<'_>,
        tid: i32,
        capacity: u32,
        start_ticks: u64,
    ) -> Result<Ring, Errno> {
        let len = ring_file_len(capacity);
        let path = os::path(session.directory(), name).ok_or(Errno(libc::EINVAL))?;
        let file = File::open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        let mapped = file.set_len(len).and_then(|()| file.map(len)).and_then(|memory| {
            populate_first(&file, memory, capacity)
                // SAFETY: no reference to the mapping exists yet.
                .inspect_err(|_| unsafe { os::unmap(memory, len) })
                .map(|populated| (memory.cast::<RingHeader>(), populated))
        });
        let (header, populated) = mapped.inspect_err(|_| os::remove(&path))?;
        // SAFETY: the file is new and zeroed, and the recorder reads no other field before the
        // version is set.
        unsafe {
            (*header).capacity = capacity;
            (*header).pid = os::pid();
            (*header).tid = tid;
            (*header).start_ticks = start_ticks;
            (*header).version.store(VERSION, Release);
        }
        session.header().generation.fetch_add(1, Release);
        // SAFETY: the slots begin at the second page of the mapping.
        let slots = unsafe { header.byte_add(PAGE_BYTES) }.cast();
        Ok(Ring { slots, mask: capacity as u64 - 1, head: 0, limit: 0, populated, header, retired: false })
    }

    /// A ring in private memory that never becomes full, to measure the cost of a record.
    ///
    /// # Safety
    /// The number of slots must be a power of two. Slots and header must outlive the ring.
    pub unsafe fn scratch(slots: &mut [Record], header: &RingHeader) -> Ring {
        let mask = slots.len() as u64 - 1;
        Ring {
            slots: slots.as_mut_ptr(),
            mask,
            head: 0,
            limit: u64::MAX,
            populated: mask + 1,
            header,
            retired: false,
        }
    }

    fn header(&self) -> &RingHeader {
        // SAFETY: the header is mapped until the ring is retired, and only its atomics change.
        unsafe { &*self.header }
    }

    /// Writes a record, or counts it as lost if it cannot be written.
    #[inline(always)]
    pub fn push(&mut self, record: Record) -> Result<(), SessionEnded> {
        if self.head == self.limit && !self.extend_limit(record.ticks)? {
            return Ok(());
        }
        self.write(record);
        Ok(())
    }

    #[inline(always)]
    fn write(&mut self, record: Record) {
        // SAFETY: the mask keeps the index within the ring, and the recorder has released the slot
        // because head < limit.
        unsafe { self.slots.add((self.head & self.mask) as usize).write(record) };
        self.head += 1;
        self.header().produced.head.store(self.head, Release);
    }

    /// Counts a lost event.
    pub fn count_lost(&mut self, ticks: u64) {
        if self.retired {
            return;
        }
        let produced = &self.header().produced;
        if produced.lost.load(Relaxed) == 0 {
            produced.lost_since_ticks.store(ticks, Relaxed);
        }
        add(&produced.lost, 1);
        // The next push calls `extend_limit`, which writes the loss record first.
        self.limit = self.head;
    }

    /// Marks the thread as ended, and unmaps the file.
    ///
    /// The main thread's ring stays mapped until the process ends, to save time: before 3.12,
    /// daemon threads that still run may access the finalized interpreter.
    pub fn end(self, is_main: bool) {
        if self.retired {
            return;
        }
        self.header().produced.end_ticks.store(clock::ticks(), Release);
        if !is_main {
            self.unmap_file();
        }
    }

    /// Unmaps the file of a session that has ended, from any thread. The next push returns
    /// [`SessionEnded`].
    pub fn retire(&mut self) {
        if !core::mem::replace(&mut self.retired, true) {
            self.limit = self.head;
            let capacity = self.header().capacity;
            // SAFETY: a retired ring does not access its mapping.
            unsafe { os::unmap(self.header.cast_mut().cast(), ring_file_len(capacity)) };
        }
    }

    /// Whether its session has ended.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Unmaps the file without marking the thread as ended.
    pub fn unmap_file(mut self) {
        self.retire();
    }

    /// Called when the head has reached the limit: reads the tail and moves the limit. Returns
    /// whether the record can be written.
    #[cold]
    #[inline(never)]
    fn extend_limit(&mut self, ticks: u64) -> Result<bool, SessionEnded> {
        if self.retired {
            return Err(SessionEnded);
        }
        let session = context::get().session();
        if session.header().closed.load(Relaxed) != 0 {
            return Err(SessionEnded);
        }
        // After a loss, the loss record needs a slot too.
        let records = if self.header().produced.lost.load(Relaxed) > 0 { 2 } else { 1 };
        if !self.has_room_for(records) {
            if session.header().on_full == OnFull::Drop as u32 {
                self.count_lost(ticks);
                return Ok(false);
            }
            self.wait_for_room(records, session)?;
        }
        if self.limit > self.populated && self.populated <= self.mask && self.populate_more(records).is_err()
        {
            // Waiting would not help: the recorder frees slots, but allocates no memory.
            self.count_lost(ticks);
            return Ok(false);
        }
        if records == 2 {
            self.write_loss_record();
        }
        Ok(true)
    }

    /// Reads the tail and moves the limit. Returns whether this many slots are free.
    fn has_room_for(&mut self, records: u64) -> bool {
        let tail = self.header().consumed.tail.load(Acquire);
        let free = (self.mask + 1).saturating_sub(self.head.wrapping_sub(tail));
        self.limit = self.head + free.min(BATCH_RECORDS);
        free >= records
    }

    /// Allocates memory for the next batch of slots during the first round, and ends the limit at
    /// the slots that have memory.
    ///
    /// # Errors
    /// If there is no memory for this many records.
    fn populate_more(&mut self, records: u64) -> Result<(), Errno> {
        if self.head + records > self.populated {
            // A failing system call for each lost event would be slow; try once per batch.
            if !self.header().produced.lost.load(Relaxed).is_multiple_of(BATCH_RECORDS) {
                return Err(Errno(libc::ENOSPC));
            }
            let count = BATCH_RECORDS.min(self.mask + 1 - self.populated);
            // SAFETY: the slots lie within the mapping, and a batch is a whole number of pages.
            unsafe {
                let first = self.slots.add(self.populated as usize);
                os::populate(first.cast(), count as usize * Record::SIZE)?;
            }
            self.populated += count;
        }
        self.limit = self.limit.min(self.populated);
        Ok(())
    }

    /// Writes the number of lost events into the ring and resets the counter.
    ///
    /// The two stores are not atomic. [`Ring::push`] writes another record right after this, so a
    /// reader that finds a loss record as the last one ignores the counter: it is 0, or still holds
    /// the same loss.
    fn write_loss_record(&mut self) {
        let produced = &self.header().produced;
        let (since, lost) = (produced.lost_since_ticks.load(Relaxed), produced.lost.load(Relaxed));
        self.write(Record::with_payload(since, RecordKind::Lost, lost));
        self.header().produced.lost.store(0, Release);
    }

    /// Waits until this many slots are free.
    ///
    /// # Errors
    /// If the session is closed or the recorder ends meanwhile.
    fn wait_for_room(&mut self, records: u64, session: &OpenSession) -> Result<(), SessionEnded> {
        let mut before_ns = clock::monotonic_ns();
        let mut unchecked_ns = 0;
        loop {
            os::sleep_ns(POLL_INTERVAL_NS);
            let now_ns = clock::monotonic_ns();
            let slept_ns = now_ns - before_ns;
            before_ns = now_ns;
            add(&self.header().produced.waited_ns, slept_ns);
            if self.has_room_for(records) {
                return Ok(());
            }
            if session.header().closed.load(Relaxed) != 0 {
                return Err(SessionEnded);
            }
            unchecked_ns += slept_ns;
            if unchecked_ns >= LIVENESS_INTERVAL_NS {
                unchecked_ns = 0;
                if session.is_recorder_dead() {
                    return Err(SessionEnded);
                }
            }
        }
    }
}

/// Allocates memory for the header and the first batch of slots, or for all slots if the kernel
/// cannot allocate a part. Returns the number of slots that have memory.
fn populate_first(file: &File, memory: *mut c_void, capacity: u32) -> Result<u64, Errno> {
    let first = BATCH_RECORDS.min(u64::from(capacity));
    // SAFETY: the whole file is mapped, and it is longer than this range.
    match unsafe { os::populate(memory, PAGE_BYTES + first as usize * Record::SIZE) } {
        Ok(()) => Ok(first),
        Err(Errno(libc::EINVAL)) => {
            file.allocate(ring_file_len(capacity))?;
            Ok(u64::from(capacity))
        }
        Err(error) => Err(error),
    }
}

/// Adds to a counter that no other thread writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Release);
}
