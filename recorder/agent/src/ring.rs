//! A thread's ring, seen from the thread.
//!
//! ```text
//!          tail (the recorder's)          head (ours)      limit
//!           │                              │                │
//!   ────────┴──────────────────────────────┴────────────────┴──▶ records
//!            full slots                     known to be free
//! ```
//!
//! The tail is looked at only when the head meets the limit, so the recorder's cache line stays away from the hot
//! path. In the first round through the ring the limit also stops where no memory has been taken yet: most threads
//! live short lives, and a page costs more than the records in it.

use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pyrec_wire::{OnFull, PAGE_BYTES, Record, RecordKind, RingHeader, VERSION, ring_file_len};

use crate::agent::{self, Agent};
use crate::clock;
use crate::os::{self, Errno, File};

/// How many records may be written before the tail, and whether the session goes on, are looked at again; so many
/// slots at once get their memory.
const GLANCE: u64 = 1 << 14;

/// How long a thread sleeps before it looks for room again.
const NAP_NS: i64 = 50_000;

/// How often a thread that waits for room looks whether the recorder lives.
const PULSE_NS: u64 = 10_000_000;

/// The session is over, or its recorder is gone.
pub struct Over;

/// The writing end of a ring.
pub struct Ring {
    slots: *mut Record,
    mask: u64,
    head: u64,
    limit: u64,
    /// Slots that have memory.
    ready: u64,
    header: *const RingHeader,
    /// Whether the session that it belongs to is over, and its memory gone.
    retired: bool,
}

impl Ring {
    /// Makes the ring's file.
    pub fn create(
        agent: &Agent,
        name: fmt::Arguments<'_>,
        tid: i32,
        capacity: u32,
        start_ticks: u64,
    ) -> Result<Ring, Errno> {
        let len = ring_file_len(capacity);
        let path = os::path(agent.directory(), name).ok_or(Errno(libc::EINVAL))?;
        let file = File::open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        let made = file.set_len(len).and_then(|()| file.map(len)).and_then(|memory| {
            take_first(&file, memory, capacity)
                // SAFETY: nobody else knows of it.
                .inspect_err(|_| unsafe { os::unmap(memory, len) })
                .map(|ready| (memory.cast::<RingHeader>(), ready))
        });
        let (header, ready) = made.inspect_err(|_| os::remove(&path))?;
        // SAFETY: the file is new and full of zeros, and nobody reads its fields before the version is there.
        unsafe {
            (*header).capacity = capacity;
            (*header).pid = os::pid();
            (*header).tid = tid;
            (*header).start_ticks = start_ticks;
            (*header).version.store(VERSION, Release);
        }
        agent.session().generation.fetch_add(1, Release);
        // SAFETY: the slots begin at the second page.
        let slots = unsafe { header.byte_add(PAGE_BYTES) }.cast();
        Ok(Ring { slots, mask: capacity as u64 - 1, head: 0, limit: 0, ready, header, retired: false })
    }

    /// A ring that takes everything and keeps nothing, to measure what a record costs.
    ///
    /// # Safety
    /// The slots, a power of two of them, and the header must live longer than the ring.
    pub unsafe fn scratch(slots: &mut [Record], header: &RingHeader) -> Ring {
        let mask = slots.len() as u64 - 1;
        Ring {
            slots: slots.as_mut_ptr(),
            mask,
            head: 0,
            limit: u64::MAX,
            ready: mask + 1,
            header,
            retired: false,
        }
    }

    fn header(&self) -> &RingHeader {
        // SAFETY: the header stays mapped as long as the ring is there, and from now on only its atomics change.
        unsafe { &*self.header }
    }

    /// Writes a record, or counts it as lost.
    #[inline(always)]
    pub fn push(&mut self, record: Record) -> Result<(), Over> {
        if self.head == self.limit && !self.make_room(record.ticks)? {
            return Ok(());
        }
        self.write(record);
        Ok(())
    }

    #[inline(always)]
    fn write(&mut self, record: Record) {
        // SAFETY: the mask keeps the slot within the ring, and head < limit says that the recorder is done with it.
        unsafe { self.slots.add((self.head & self.mask) as usize).write(record) };
        self.head += 1;
        self.header().produced.head.store(self.head, Release);
    }

    /// Counts an event that cannot be written.
    pub fn lose(&mut self, ticks: u64) {
        if self.retired {
            return;
        }
        let produced = &self.header().produced;
        if produced.lost.load(Relaxed) == 0 {
            produced.lost_since_ticks.store(ticks, Relaxed);
        }
        add(&produced.lost, 1);
        // The next event comes by make_room, which tells of the loss first.
        self.limit = self.head;
    }

    /// Says that the thread has ended, and lets go of the memory.
    ///
    /// With the first thread the process ends, and the system lets go of it. Python's daemon threads may still run then,
    /// and before 3.12 look at an interpreter that is gone: that moment must not become longer.
    pub fn end(self, is_first: bool) {
        if self.retired {
            return;
        }
        self.header().produced.end_ticks.store(clock::ticks(), Release);
        if !is_first {
            self.forget();
        }
    }

    /// The session is over: lets go of the memory, whatever thread this is. The next record that is pushed says so.
    pub fn retire(&mut self) {
        if !core::mem::replace(&mut self.retired, true) {
            self.limit = self.head;
            self.unmap();
        }
    }

    /// Whether its session is over.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Lets go of the memory, as in a child that inherited its parent's ring.
    pub fn forget(mut self) {
        self.retire();
    }

    fn unmap(&mut self) {
        let capacity = self.header().capacity;
        // SAFETY: the ring is the mapping's only user, and does not look at it after this.
        unsafe { os::unmap(self.header.cast_mut().cast(), ring_file_len(capacity)) };
    }

    /// The head has met the limit: looks how far the recorder is. Gives whether the event is to be written.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, ticks: u64) -> Result<bool, Over> {
        if self.retired {
            return Err(Over);
        }
        let agent = agent::get();
        if agent.session().closed.load(Relaxed) != 0 {
            return Err(Over);
        }
        // After a loss there must be room for the record that tells of it, too.
        let records = if self.header().produced.lost.load(Relaxed) > 0 { 2 } else { 1 };
        if !self.has_room_for(records) {
            if agent.session().on_full == OnFull::Drop as u32 {
                self.lose(ticks);
                return Ok(false);
            }
            self.wait_for(records, agent)?;
        }
        if self.limit > self.ready && self.ready <= self.mask && self.take_more(records).is_err() {
            // Waiting would not help: the recorder empties slots, but their memory stays.
            self.lose(ticks);
            return Ok(false);
        }
        if records == 2 {
            self.tell_loss();
        }
        Ok(true)
    }

    /// Moves the limit as far as the recorder lets it, and says whether there is room for so many records.
    fn has_room_for(&mut self, records: u64) -> bool {
        let tail = self.header().consumed.tail.load(Acquire);
        let free = (self.mask + 1).saturating_sub(self.head.wrapping_sub(tail));
        self.limit = self.head + free.min(GLANCE);
        free >= records
    }

    /// In the first round: memory for the next slots, for so many records at least.
    fn take_more(&mut self, records: u64) -> Result<(), Errno> {
        if self.head + records > self.ready {
            // A try is a system call, and a dear one where memory is short: not one for each event that is lost.
            if !self.header().produced.lost.load(Relaxed).is_multiple_of(GLANCE) {
                return Err(Errno(libc::ENOSPC));
            }
            let count = GLANCE.min(self.mask + 1 - self.ready);
            // SAFETY: the slots lie within the mapping, which is as long as the file; whole pages hold GLANCE of them.
            unsafe {
                let first = self.slots.add(self.ready as usize);
                os::populate(first.cast(), count as usize * Record::SIZE)?;
            }
            self.ready += count;
        }
        self.limit = self.limit.min(self.ready);
        Ok(())
    }

    fn tell_loss(&mut self) {
        let produced = &self.header().produced;
        let (since, lost) = (produced.lost_since_ticks.load(Relaxed), produced.lost.load(Relaxed));
        self.write(Record::with_payload(since, RecordKind::Lost, lost));
        self.header().produced.lost.store(0, Release);
    }

    /// Waits for room, for as long as the recorder lives.
    fn wait_for(&mut self, records: u64, agent: &Agent) -> Result<(), Over> {
        let mut before_ns = clock::monotonic_ns();
        let mut unwatched_ns = 0;
        loop {
            os::sleep_ns(NAP_NS);
            let now_ns = clock::monotonic_ns();
            let napped_ns = now_ns - before_ns;
            before_ns = now_ns;
            add(&self.header().produced.waited_ns, napped_ns);
            if self.has_room_for(records) {
                return Ok(());
            }
            if agent.session().closed.load(Relaxed) != 0 {
                return Err(Over);
            }
            unwatched_ns += napped_ns;
            if unwatched_ns >= PULSE_NS {
                unwatched_ns = 0;
                if agent.recorder_is_dead() {
                    return Err(Over);
                }
            }
        }
    }
}

/// Memory for the header and the first slots, or for all, where the kernel only knows that. Gives how many slots have
/// some.
fn take_first(file: &File, memory: *mut c_void, capacity: u32) -> Result<u64, Errno> {
    let first = GLANCE.min(u64::from(capacity));
    // SAFETY: the file is mapped whole, and longer than that.
    match unsafe { os::populate(memory, PAGE_BYTES + first as usize * Record::SIZE) } {
        Ok(()) => Ok(first),
        Err(Errno(libc::EINVAL)) => {
            file.reserve(ring_file_len(capacity))?;
            Ok(u64::from(capacity))
        }
        Err(error) => Err(error),
    }
}

/// Adds to a counter that only this thread writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Release);
}
