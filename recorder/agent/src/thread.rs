//! A thread and its ring.
//!
//! One thread-local word holds what the hot path needs to know: 0 before the thread's first event, the number of the
//! session, counted from 1, in which it is not recorded (any more), else the address of its ring. Rust's `thread_local!` in a shared library is a call of
//! `__tls_get_addr`; this library is there from the program's start, so the word can lie at a fixed distance from
//! the thread pointer, and reading it takes two instructions.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::arch::{asm, global_asm};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pyrec_wire::{RING_RECORDS, Record};

use crate::agent::{self, Agent};
use crate::definitions;
use crate::lock::Lock;
use crate::os::{self, Errno};
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

    /// A thread that is not recorded in the present session.
    fn unrecorded() -> Thread {
        Thread(ptr::without_provenance_mut(SESSION.load(Relaxed)))
    }

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
        self.0.addr() > MAX_SESSION
    }

    /// Whether it will have none in this session.
    pub fn is_unrecorded(self) -> bool {
        self == Thread::unrecorded()
    }

    /// Writes a record.
    ///
    /// # Safety
    /// This is the current thread, and it is recorded.
    #[inline(always)]
    pub unsafe fn push(self, record: Record) {
        // SAFETY: the ring is this thread's, and lives until the word changes.
        if let Err(Over) = unsafe { (*self.0).push(record) } {
            // SAFETY: as above.
            unsafe { self.push_into_another(record) };
        }
    }

    /// The ring is no good any more: its session is over.
    #[cold]
    #[inline(never)]
    unsafe fn push_into_another(self, record: Record) {
        // SAFETY: the ring is this thread's.
        let is_retired = unsafe { (*self.0).is_retired() };
        if !is_retired {
            agent::switch_off();
        }
        leave();
        if is_retired
            && !agent::is_off()
            && let Ok((thread, _)) = enter(agent::get(), record.ticks)
        {
            // SAFETY: the ring has just been made, for this thread.
            let _ = unsafe { (*thread.0).push(record) };
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

/// The largest number of a session, below any address. There are no more: later ones have this number, and threads
/// that were not recorded before then stay so.
const MAX_SESSION: usize = 4095;

/// The number of the present session.
static SESSION: AtomicUsize = AtomicUsize::new(1);

/// The rings of this process.
static RINGS: Lock<Rings> = Lock::new(Rings { in_use: Vec::new(), waiting: BTreeMap::new() });

struct Rings {
    /// Those that threads write to.
    in_use: Vec<*mut Ring>,
    /// Those that were made for other threads, by their numbers.
    waiting: BTreeMap<i32, Box<Ring>>,
}

// SAFETY: a ring is no thread's own thing; who writes to it is a question of its word.
unsafe impl Send for Rings {}

/// So many rings are of full size; a process that has more threads than that gives the later ones less.
const LARGE_RINGS: usize = 8;

/// The size of the later ones.
const SMALL_RING_RECORDS: u32 = RING_RECORDS / 8;

/// Gives this thread, whose first event is of that time, a ring, and says whether that was made for it before. A thread
/// that can have none stays unrecorded.
pub fn enter(agent: &Agent, ticks: u64) -> Result<(Thread, bool), Errno> {
    let waiting = RINGS.with(|rings| rings.waiting.remove(&os::tid()));
    let is_known = waiting.is_some();
    let ring = waiting.map_or_else(|| create(agent, os::tid(), ticks), Ok);
    match ring {
        Ok(ring) => {
            call_at_end();
            let thread = Thread(Box::into_raw(ring));
            RINGS.with(|rings| rings.in_use.push(thread.0));
            thread.set();
            Ok((thread, is_known))
        }
        Err(error) => {
            Thread::unrecorded().set();
            Err(error)
        }
    }
}

/// Makes a ring for another thread, which takes it at its first event, and lets `fill` write to it.
pub fn prepare(agent: &Agent, tid: i32, ticks: u64, fill: impl FnOnce(&mut Ring)) -> Result<(), Errno> {
    let mut ring = create(agent, tid, ticks)?;
    fill(&mut ring);
    RINGS.with(|rings| rings.waiting.insert(tid, ring));
    Ok(())
}

/// Lets `fill` write to this thread's ring, if it has one.
pub fn fill(fill: impl FnOnce(&mut Ring)) {
    let thread = Thread::current();
    if thread.is_recorded() {
        // SAFETY: the ring is this thread's.
        fill(unsafe { &mut *thread.0 });
    }
}

fn create(agent: &Agent, tid: i32, ticks: u64) -> Result<Box<Ring>, Errno> {
    let rings = RINGS.with(|rings| rings.in_use.len() + rings.waiting.len());
    let capacity = if rings < LARGE_RINGS { RING_RECORDS } else { SMALL_RING_RECORDS };
    definitions::with_ring_name(|name| Ring::create(agent, name, tid, capacity, ticks)).map(Box::new)
}

/// The session is over: no thread has a ring any more. Those of other threads stay as words without memory, until
/// these threads see it.
///
/// Called with the GIL, so no thread is about to write.
pub fn begin_anew() {
    SESSION.store((SESSION.load(Relaxed) + 1).min(MAX_SESSION), Relaxed);
    RINGS.with(|rings| {
        for ring in &rings.in_use {
            // SAFETY: a ring in use is there, and its thread does not write without the GIL.
            unsafe { (**ring).retire() };
        }
        core::mem::take(&mut rings.waiting).into_values().for_each(|ring| ring.forget());
    });
}

/// This thread, without the ring that it may have from a session before.
pub fn of_this_session() -> Thread {
    let thread = Thread::current();
    // SAFETY: the ring is this thread's.
    if thread.is_recorded() && unsafe { (*thread.0).is_retired() } {
        // Its memory is gone already.
        let _ = take(Thread::UNSEEN);
    }
    Thread::current()
}

/// Takes the ring from this thread for good.
pub fn leave() {
    if let Some(ring) = take(Thread::unrecorded()) {
        ring.forget();
    }
}

/// In the child of a fork: what was the parent's ring is not ours.
pub fn forked() {
    // SAFETY: the child has one thread, this one.
    unsafe { RINGS.replace(Rings { in_use: Vec::new(), waiting: BTreeMap::new() }) };
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
        RINGS.with(|rings| rings.in_use.retain(|ring| *ring != thread.0));
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
        if let Some(ring) = take(Thread::unrecorded()) {
            ring.end(os::tid() == os::pid());
        }
    }
    // Any address in this library names it.
    let library = (&raw const SESSION).cast_mut().cast();
    // SAFETY: the function stays. Should the system have no memory for it, the thread just never ends.
    unsafe { __cxa_thread_atexit_impl(end, ptr::null_mut(), library) };
}
