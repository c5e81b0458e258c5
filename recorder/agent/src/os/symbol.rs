//! Symbol lookup by `dlsym`.

use core::ffi::{CStr, c_char, c_void};
use core::ptr;

core::arch::global_asm!(
    // `dlsym` moved from libdl to libc in glibc 2.34; its old version name is resolved in both. The
    // reference is weak: on an older system a program without libdl has no `dlsym`, and no CPython
    // either.
    ".weak pyrec_dlsym",
    ".symver pyrec_dlsym, dlsym@GLIBC_2.2.5",
    ".pushsection .data.rel.ro, \"aw\"",
    ".balign 8",
    ".globl pyrec_dlsym_address",
    ".hidden pyrec_dlsym_address",
    "pyrec_dlsym_address: .quad pyrec_dlsym",
    ".popsection",
);

/// Returns the address of a symbol of the program or of its libraries, or null if none defines it.
pub fn symbol(name: &CStr) -> *mut c_void {
    type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
    unsafe extern "C" {
        static pyrec_dlsym_address: Option<Dlsym>;
    }
    // SAFETY: the dynamic linker has written the address, or left it null.
    match unsafe { pyrec_dlsym_address } {
        // SAFETY: the name ends in a zero byte.
        Some(dlsym) => unsafe { dlsym(libc::RTLD_DEFAULT, name.as_ptr()) },
        None => ptr::null_mut(),
    }
}
