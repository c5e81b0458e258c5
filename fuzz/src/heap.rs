//! An allocator that counts, and refuses what is beyond a bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

#[global_allocator]
static HEAP: Counting = Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Runs something that may take so many bytes more than are taken now. More than that it does not get, which ends the
/// process with a message of how many it asked for.
pub fn measure<T>(most: usize, run: impl FnOnce() -> T) -> T {
    MOST.store(BYTES.load(Ordering::Relaxed) + most, Ordering::Relaxed);
    let result = run();
    MOST.store(usize::MAX, Ordering::Relaxed);
    result
}

// SAFETY: memory comes from the system's allocator as it is; beside that a number is counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size() > MOST.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        // SAFETY: what the caller promises is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
