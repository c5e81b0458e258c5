//! The current thread's ring, and the rings of the process.
//!
//! A thread-local word holds all that the hot path needs: 0 before the thread's first event; the
//! number of a session (from 1 up) in which the thread is not recorded; otherwise the address of
//! its ring.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pyrec_wire::{RING_RECORDS, Record};

use crate::context::{self, OpenSession};
use crate::os::{self, Errno, Lock, thread_local};
use crate::ring::definitions;
use crate::ring::writer::{Ring, SessionEnded};

/// A thread's word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Thread(*mut Ring);

impl Thread {
    /// Before the first event.
    const NEW: Thread = Thread(ptr::null_mut());

    /// Not recorded in the current session.
    fn unrecorded() -> Thread {
        Thread(ptr::without_provenance_mut(SESSION.load(Relaxed)))
    }

    /// The current thread. Its ring may be a retired one.
    #[inline(always)]
    pub fn current() -> Thread {
        Thread(thread_local::get())
    }

    fn set(self) {
        thread_local::set(self.0);
    }

    /// Whether it has a ring.
    #[inline(always)]
    pub fn is_recorded(self) -> bool {
        self.0.addr() > MAX_SESSION
    }

    /// Whether it gets no ring in the current session.
    pub fn is_unrecorded(self) -> bool {
        self == Thread::unrecorded()
    }

    /// Writes a record to the ring.
    ///
    /// # Safety
    /// This must be the current thread, and recorded.
    #[inline(always)]
    pub unsafe fn push(self, record: Record) {
        // SAFETY: the ring belongs to the current thread, and exists until the word changes.
        if let Err(SessionEnded) = unsafe { (*self.0).push(record) } {
            // SAFETY: as above.
            unsafe { self.push_to_new_ring(record) };
        }
    }

    /// Detaches the ring, whose session has ended. Writes the record to a ring of the current
    /// session, if there is one.
    #[cold]
    #[inline(never)]
    unsafe fn push_to_new_ring(self, record: Record) {
        let context = context::get();
        // SAFETY: the caller guarantees that the ring belongs to the current thread.
        let is_retired = unsafe { (*self.0).is_retired() };
        if !is_retired {
            context.switch_off();
        }
        detach_ring();
        if is_retired
            && !context::is_off()
            && let Ok((thread, _)) = attach_ring(context.session(), record.ticks)
        {
            // SAFETY: the ring was created for the current thread.
            let _ = unsafe { (*thread.0).push(record) };
        }
    }

    /// Writes a record, or counts a lost event if its definition failed. Does nothing if the thread
    /// has no ring, or this is not the current thread.
    pub fn push_or_count_lost(self, ticks: u64, record: Result<Record, Errno>) {
        if self != Thread::current() || !self.is_recorded() {
            return;
        }
        match record {
            // SAFETY: this is the current thread, and it is recorded.
            Ok(record) => unsafe { self.push(record) },
            // SAFETY: the ring belongs to the current thread.
            Err(_) => unsafe { (*self.0).count_lost(ticks) },
        }
    }
}

/// The largest session number, below any address. All later sessions share it, so a thread that was
/// unrecorded in one of them remains so.
const MAX_SESSION: usize = 4095;

/// The number of the current session.
static SESSION: AtomicUsize = AtomicUsize::new(1);

/// The rings of this process.
static RINGS: Lock<Rings> = Lock::new(Rings { in_use: Vec::new(), reserved: BTreeMap::new() });

struct Rings {
    /// The rings that threads write to.
    in_use: Vec<*mut Ring>,
    /// By tid: rings of threads that have had no event yet.
    reserved: BTreeMap<i32, Box<Ring>>,
}

// SAFETY: a ring may be moved between threads; only the thread whose word holds its address writes
// to it.
unsafe impl Send for Rings {}

/// The first threads of a process get rings of full size, the others smaller ones.
const LARGE_RINGS: usize = 8;

const SMALL_RING_RECORDS: u32 = RING_RECORDS / 8;

/// Gives the current thread a ring at its first event. Returns whether the ring had been reserved
/// for it.
///
/// # Errors
/// If no ring can be created; the thread is then unrecorded.
pub fn attach_ring(session: &OpenSession, ticks: u64) -> Result<(Thread, bool), Errno> {
    let reserved = RINGS.with(|rings| rings.reserved.remove(&os::tid()));
    let was_reserved = reserved.is_some();
    let ring = reserved.map_or_else(|| create(session, os::tid(), ticks), Ok);
    match ring {
        Ok(ring) => {
            thread_local::at_exit(end_ring);
            let thread = Thread(Box::into_raw(ring));
            RINGS.with(|rings| rings.in_use.push(thread.0));
            thread.set();
            Ok((thread, was_reserved))
        }
        Err(error) => {
            Thread::unrecorded().set();
            Err(error)
        }
    }
}

/// Reserves a ring for another thread and lets `fill` write to it. The thread takes it at its first
/// event.
pub fn reserve_ring(
    session: &OpenSession,
    tid: i32,
    ticks: u64,
    fill: impl FnOnce(&mut Ring),
) -> Result<(), Errno> {
    let mut ring = create(session, tid, ticks)?;
    fill(&mut ring);
    RINGS.with(|rings| rings.reserved.insert(tid, ring));
    Ok(())
}

/// Lets `fill` write to the current thread's ring, if it has one.
pub fn with_own_ring(fill: impl FnOnce(&mut Ring)) {
    let thread = Thread::current();
    if thread.is_recorded() {
        // SAFETY: the ring belongs to the current thread.
        fill(unsafe { &mut *thread.0 });
    }
}

fn create(session: &OpenSession, tid: i32, ticks: u64) -> Result<Box<Ring>, Errno> {
    let rings = RINGS.with(|rings| rings.in_use.len() + rings.reserved.len());
    let capacity = if rings < LARGE_RINGS { RING_RECORDS } else { SMALL_RING_RECORDS };
    definitions::with_ring_name(|name| Ring::create(session, name, tid, capacity, ticks)).map(Box::new)
}

/// Ends the session for all threads and unmaps their rings. Each other thread keeps the address of
/// its retired ring until its next event.
///
/// Needs the GIL, so that no thread is writing.
pub fn retire_rings() {
    SESSION.store((SESSION.load(Relaxed) + 1).min(MAX_SESSION), Relaxed);
    RINGS.with(|rings| {
        for ring in &rings.in_use {
            // SAFETY: a ring in use exists, and its thread does not write without the GIL.
            unsafe { (**ring).retire() };
        }
        core::mem::take(&mut rings.reserved).into_values().for_each(|ring| ring.unmap_file());
    });
}

/// The current thread, without a retired ring: detaches it.
pub fn current_in_session() -> Thread {
    let thread = Thread::current();
    // SAFETY: the ring belongs to the current thread.
    if thread.is_recorded() && unsafe { (*thread.0).is_retired() } {
        // The ring is unmapped already.
        let _ = take(Thread::NEW);
    }
    Thread::current()
}

/// Detaches the current thread's ring; the thread is unrecorded from now on.
fn detach_ring() {
    if let Some(ring) = take(Thread::unrecorded()) {
        ring.unmap_file();
    }
}

/// In the child of a fork: unmaps the ring, which is the parent's.
pub fn after_fork() {
    // SAFETY: the child has only this thread.
    unsafe { RINGS.replace(Rings { in_use: Vec::new(), reserved: BTreeMap::new() }) };
    if let Some(ring) = take(Thread::NEW) {
        ring.unmap_file();
    }
}

/// Runs `body` while the current thread writes to this ring instead of its own.
pub fn with_scratch_ring<R>(mut ring: Ring, body: impl FnOnce() -> R) -> R {
    let own = Thread::current();
    Thread(&raw mut ring).set();
    let result = body();
    own.set();
    result
}

/// Detaches the current thread's ring and changes its word to `then`.
fn take(then: Thread) -> Option<Ring> {
    let thread = Thread::current();
    if thread.is_recorded() {
        then.set();
        RINGS.with(|rings| rings.in_use.retain(|ring| *ring != thread.0));
        // SAFETY: the address came from `Box::into_raw`, and no other copy of it remains.
        return Some(*unsafe { Box::from_raw(thread.0) });
    }
    None
}

/// Called when a thread ends.
unsafe extern "C" fn end_ring(_: *mut c_void) {
    if let Some(ring) = take(Thread::unrecorded()) {
        ring.end(os::tid() == os::pid());
    }
}
