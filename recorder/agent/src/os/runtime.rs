//! What the standard library would provide to a `no_std` build: the allocator, the panic handler
//! and the unwinding symbols.

#[cfg(panic = "abort")]
mod without_std {
    use core::alloc::{GlobalAlloc, Layout};
    use core::panic::PanicInfo;

    struct Malloc;

    #[global_allocator]
    static MALLOC: Malloc = Malloc;

    // SAFETY: malloc and realloc align to 16 bytes, and posix_memalign serves larger alignments;
    // free accepts memory from each of them.
    unsafe impl GlobalAlloc for Malloc {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= 16 {
                // SAFETY: malloc accepts any size.
                return unsafe { libc::malloc(layout.size()) }.cast();
            }
            let mut memory = core::ptr::null_mut();
            // SAFETY: the alignment is a power of two, and a multiple of a pointer's size because
            // it is larger than 16.
            match unsafe { libc::posix_memalign(&mut memory, layout.align(), layout.size()) } {
                0 => memory.cast(),
                _ => core::ptr::null_mut(),
            }
        }

        unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
            // SAFETY: `alloc` returned the memory.
            unsafe { libc::free(memory.cast()) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if layout.align() <= 16 {
                // SAFETY: malloc returned the memory.
                return unsafe { libc::realloc(memory.cast(), size) }.cast();
            }
            // SAFETY: the caller guarantees that `size` does not overflow when rounded up to the
            // alignment.
            let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
            if !moved.is_null() {
                // SAFETY: both blocks are at least as large as the smaller of the two sizes.
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
        // SAFETY: the call has no arguments and does not return.
        unsafe { libc::abort() }
    }

    // The compiled core library refers to these two symbols. They are hidden, so that they replace
    // no other library's.
    //
    // A finalizing interpreter ends its daemon threads by `pthread_exit`, which unwinds their
    // stacks and with them the agent's frames that call Python. Rust's own personality routine
    // would abort. The agent's frames need no cleanup, so this one returns _URC_CONTINUE_UNWIND
    // (8). _Unwind_Resume is never called.
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
