//! What the standard library would bring: memory, and an end for what must not happen.

#[cfg(panic = "abort")]
mod without_std {
    use core::alloc::{GlobalAlloc, Layout};
    use core::panic::PanicInfo;

    struct Malloc;

    #[global_allocator]
    static MALLOC: Malloc = Malloc;

    // SAFETY: malloc, calloc, realloc and free keep the promises of GlobalAlloc for alignments up to 16, and
    // posix_memalign does for larger ones; free takes what any of them gave.
    unsafe impl GlobalAlloc for Malloc {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= 16 {
                // SAFETY: malloc takes any size.
                return unsafe { libc::malloc(layout.size()) }.cast();
            }
            let mut memory = core::ptr::null_mut();
            // SAFETY: a Layout's alignment is a power of two, and here a multiple of a pointer's size.
            match unsafe { libc::posix_memalign(&mut memory, layout.align(), layout.size()) } {
                0 => memory.cast(),
                _ => core::ptr::null_mut(),
            }
        }

        unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
            // SAFETY: the memory came from alloc.
            unsafe { libc::free(memory.cast()) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if layout.align() <= 16 {
                // SAFETY: the memory came from malloc.
                return unsafe { libc::realloc(memory.cast(), size) }.cast();
            }
            // SAFETY: the caller vouches that `size` does not overflow when rounded up to the alignment.
            let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
            if !moved.is_null() {
                // SAFETY: both places are as large as the smaller of the two sizes.
                unsafe {
                    moved.copy_from_nonoverlapping(memory, size.min(layout.size()));
                    self.dealloc(memory, layout);
                }
            }
            moved
        }
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        // SAFETY: abort takes nothing and does not come back.
        unsafe { libc::abort() }
    }

    // The compiled core library names these two. Hidden, so that no other library in the process can meet them.
    //
    // When an interpreter ends it ends its daemon threads by `pthread_exit`, which unwinds their stacks, and with
    // them the agent's functions that call Python. Rust would have that abort; there is nothing here that needs to be
    // cleaned up, so the answer is to go on (_URC_CONTINUE_UNWIND). Nothing calls the other one.
    core::arch::global_asm!(
        ".globl rust_eh_personality",
        ".hidden rust_eh_personality",
        "rust_eh_personality:",
        "mov eax, 8",
        "ret",
        ".globl _Unwind_Resume",
        ".hidden _Unwind_Resume",
        "_Unwind_Resume:",
        "ud2",
    );
}
