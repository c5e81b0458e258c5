//! A thread and its ring.
//!
//! One thread-local word holds what the hot path needs to know: 0 before the thread's first event, 1 when it is not
//! recorded (any more), else the address of its ring. Rust's `thread_local!` in a shared library is a call of
//! `__tls_get_addr`; this library is there from the program's start, so the word can lie at a fixed distance from
//! the thread pointer, and reading it takes two instructions.

use alloc::boxed::Box;
use core::arch::{asm, global_asm};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pyrec_wire::{RING_RECORDS, Record};

use crate::agent::{self, Agent};
use crate::definitions;
use crate::os::Errno;
use crate::ring::{Over, Ring};

global_asm!(
    ".pushsection .tbss.pyrec_thread, \"awT\", @nobits",
    ".balign 8",
    ".globl pyrec_thread",
    ".hidden pyrec_thread",
    ".type pyrec_thread, @object",
    ".size pyrec_thread, 8",
    "pyrec_thread: .zero 8",
    ".popsection",
);

/// What the thread-local word says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Thread(*mut Ring);

impl Thread {
    const UNSEEN: Thread = Thread(ptr::null_mut());
    const UNRECORDED: Thread = Thread(ptr::without_provenance_mut(1));

    /// This thread.
    #[inline(always)]
    pub fn current() -> Thread {
        let word: *mut Ring;
        // SAFETY: it reads the word above, of this thread.
        unsafe {
            asm!(
                "mov {word}, qword ptr [rip + pyrec_thread@gottpoff]",
                "mov {word}, qword ptr fs:[{word}]",
                word = out(reg) word,
                options(nostack, preserves_flags, readonly),
            );
        }
        Thread(word)
    }

    fn set(self) {
        // SAFETY: it writes the word above, of this thread.
        unsafe {
            asm!(
                "mov {at}, qword ptr [rip + pyrec_thread@gottpoff]",
                "mov qword ptr fs:[{at}], {word}",
                at = out(reg) _,
                word = in(reg) self.0,
                options(nostack, preserves_flags),
            );
        }
    }

    /// Whether it has a ring.
    #[inline(always)]
    pub fn is_recorded(self) -> bool {
        self.0.addr() > 1
    }

    /// Whether it will never have one.
    pub fn is_unrecorded(self) -> bool {
        self == Thread::UNRECORDED
    }

    /// Writes a record.
    ///
    /// # Safety
    /// This is the current thread, and it is recorded.
    #[inline(always)]
    pub unsafe fn push(self, record: Record) {
        // SAFETY: the ring is this thread's, and lives until the word changes.
        if let Err(Over) = unsafe { (*self.0).push(record) } {
            agent::switch_off();
            leave();
        }
    }

    /// Writes a record, or counts an event that has none since something could not be defined. A thread without a
    /// ring keeps neither.
    pub fn push_or_lose(self, ticks: u64, record: Result<Record, Errno>) {
        if self != Thread::current() || !self.is_recorded() {
            return;
        }
        match record {
            // SAFETY: this is the current thread, and it is recorded.
            Ok(record) => unsafe { self.push(record) },
            // SAFETY: the ring is this thread's.
            Err(_) => unsafe { (*self.0).lose(ticks) },
        }
    }
}

/// How many rings this process has.
static RINGS: AtomicU32 = AtomicU32::new(0);

/// So many rings are of full size; a process that has more threads than that gives the later ones less.
const LARGE_RINGS: u32 = 8;

/// The size of the later ones.
const SMALL_RING_RECORDS: u32 = RING_RECORDS / 8;

/// Gives this thread, whose first event is of that time, a ring. A thread that can have none stays unrecorded.
pub fn enter(agent: &Agent, ticks: u64) -> Result<Thread, Errno> {
    let large = RINGS.load(Relaxed) < LARGE_RINGS;
    let capacity = if large { RING_RECORDS } else { SMALL_RING_RECORDS };
    let ring = definitions::with_ring_name(|name| Ring::create(agent, name, capacity, ticks));
    match ring {
        Ok(ring) => {
            RINGS.fetch_add(1, Relaxed);
            call_at_end();
            let thread = Thread(Box::into_raw(Box::new(ring)));
            thread.set();
            Ok(thread)
        }
        Err(error) => {
            Thread::UNRECORDED.set();
            Err(error)
        }
    }
}

/// Takes the ring from this thread for good.
pub fn leave() {
    if let Some(ring) = take(Thread::UNRECORDED) {
        ring.forget();
    }
}

/// In the child of a fork: what was the parent's ring is not ours.
pub fn forked() {
    RINGS.store(0, Relaxed);
    if let Some(ring) = take(Thread::UNSEEN) {
        ring.forget();
    }
}

/// Runs `body` with another ring than the thread's own.
pub fn with_ring<R>(mut ring: Ring, body: impl FnOnce() -> R) -> R {
    let own = Thread::current();
    Thread(&raw mut ring).set();
    let result = body();
    own.set();
    result
}

fn take(then: Thread) -> Option<Ring> {
    let thread = Thread::current();
    if thread.is_recorded() {
        then.set();
        // SAFETY: the address came from Box::into_raw, and nobody has it any more.
        return Some(*unsafe { Box::from_raw(thread.0) });
    }
    None
}

unsafe extern "C" {
    // In glibc since 2.18, with the thread's end as its only job; pthread's keys have moved between libraries.
    fn __cxa_thread_atexit_impl(
        run: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
        library: *mut c_void,
    ) -> i32;
}

fn call_at_end() {
    unsafe extern "C" fn end(_: *mut c_void) {
        if let Some(ring) = take(Thread::UNRECORDED) {
            RINGS.fetch_sub(1, Relaxed);
            ring.end();
        }
    }
    // Any address in this library names it.
    let library = (&raw const RINGS).cast_mut().cast();
    // SAFETY: the function stays. Should the system have no memory for it, the thread just never ends.
    unsafe { __cxa_thread_atexit_impl(end, ptr::null_mut(), library) };
}
