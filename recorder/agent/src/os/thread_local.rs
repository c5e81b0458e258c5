//! One thread-local word, and a callback when a thread ends.
//!
//! `thread_local!` in a shared library compiles to a call of `__tls_get_addr`. This library is
//! loaded before the program starts (or into its static TLS surplus), so the word can use the
//! initial-exec model: it lies at a fixed distance from the thread pointer, and a read takes two
//! instructions.

use core::arch::{asm, global_asm};
use core::ffi::c_void;
use core::ptr;

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

/// Reads the current thread's word; null until it is written.
#[inline(always)]
pub fn get<T>() -> *mut T {
    let word: *mut T;
    // SAFETY: the instructions read the word defined above, of the current thread.
    unsafe {
        asm!(
            "mov {word}, qword ptr [rip + pyrec_thread@gottpoff]",
            "mov {word}, qword ptr fs:[{word}]",
            word = out(reg) word,
            options(nostack, preserves_flags, readonly),
        );
    }
    word
}

/// Writes the current thread's word.
pub fn set<T>(word: *mut T) {
    // SAFETY: the instructions write the word defined above, of the current thread.
    unsafe {
        asm!(
            "mov {at}, qword ptr [rip + pyrec_thread@gottpoff]",
            "mov qword ptr fs:[{at}], {word}",
            at = out(reg) _,
            word = in(reg) word,
            options(nostack, preserves_flags),
        );
    }
}

unsafe extern "C" {
    // In glibc since 2.18. The functions for pthread keys moved between libraries in 2.34.
    fn __cxa_thread_atexit_impl(
        function: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
        library: *mut c_void,
    ) -> i32;
}

/// Calls `function` with a null pointer when the current thread ends.
pub fn at_exit(function: unsafe extern "C" fn(*mut c_void)) {
    static LIBRARY: u8 = 0;
    // Any address in this library identifies it.
    let library = (&raw const LIBRARY).cast_mut().cast();
    // SAFETY: the library is never unloaded. If the system has no memory for the entry, `function`
    // is not called.
    unsafe { __cxa_thread_atexit_impl(function, ptr::null_mut(), library) };
}
