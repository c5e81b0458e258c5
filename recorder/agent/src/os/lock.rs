//! A spin lock that the child of a fork can reset.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A mutual exclusion lock for data off the hot path. Its users hold the GIL, so it is rarely
/// contended, and a thread that finds it held yields the processor.
pub struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `held` gives one thread at a time access to the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub const fn new(value: T) -> Lock<T> {
        Lock { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `body` with the value. `body` must not use this lock again, run Python code, or panic.
    pub fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        while self.held.swap(true, Ordering::Acquire) {
            // SAFETY: the call has no arguments.
            unsafe { libc::sched_yield() };
        }
        // SAFETY: this thread holds the lock.
        let result = body(unsafe { &mut *self.value.get() });
        self.held.store(false, Ordering::Release);
        result
    }

    /// Replaces the value and releases the lock, even if a thread of the parent process held it.
    /// The old value may be half changed, so it is not dropped.
    ///
    /// # Safety
    /// No other thread may run.
    pub unsafe fn replace(&self, value: T) {
        // SAFETY: the caller guarantees that no other thread uses the value.
        unsafe { self.value.get().write(value) };
        self.held.store(false, Ordering::Release);
    }
}
