//! A global allocator that counts the allocated bytes, and fails beyond a limit.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

#[global_allocator]
static HEAP: Counting = Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Calls `run`, which may allocate `bytes` in addition to what is allocated now. An allocation
/// beyond that fails, which ends the process with a message that has the requested size.
pub fn with_limit<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    LIMIT.store(ALLOCATED.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    let result = run();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    result
}

// SAFETY: all methods delegate to the system's allocator, which upholds the contract, or return
// null.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size() > LIMIT.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller upholds the contract of `alloc`, which is that of the system's
        // allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `memory` is from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}
