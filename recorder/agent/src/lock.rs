//! A lock that a forked child can break open.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Guards what is not on the hot path; under the GIL it is always free.
pub struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time gets at the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub const fn new(value: T) -> Lock<T> {
        Lock { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `body` with the value. It must not come back here, nor run Python code, nor panic.
    pub fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        while self.held.swap(true, Ordering::Acquire) {
            // SAFETY: it takes nothing.
            unsafe { libc::sched_yield() };
        }
        // SAFETY: the lock is held.
        let result = body(unsafe { &mut *self.value.get() });
        self.held.store(false, Ordering::Release);
        result
    }

    /// Sets the value and frees the lock, whoever held it. The old value, maybe half changed, is not dropped.
    ///
    /// # Safety
    /// No other thread may run.
    pub unsafe fn replace(&self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.value.get().write(value) };
        self.held.store(false, Ordering::Release);
    }
}
