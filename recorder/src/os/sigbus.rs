//! A SIGBUS handler, so that a truncated file does not kill the recorder.
//!
//! The headers of rings and the session's page are mapped from files that the target process can
//! write to. If it truncates one, the next access to the mapping raises `SIGBUS`. The handler
//! replaces the page by zeros, which the recorder reads as a ring without records.

use std::ffi::{c_int, c_void};
use std::sync::Once;

use pyrec_wire::PAGE_BYTES;

static INSTALL: Once = Once::new();

/// `BUS_ADRERR`: the page lies behind the end of the mapped file.
const BUS_ADRERR: c_int = 2;

/// Installs the handler, once per process.
pub(crate) fn install_handler() {
    INSTALL.call_once(|| {
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = map_zeros;
        // SAFETY: all zeros is a valid sigaction, and the fields that matter are set before use.
        // The handler only makes async-signal-safe system calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    });
}

extern "C" fn map_zeros(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO. The page could not be
    // accessed, so replacing it invalidates no value that was read from it. Zeros are a valid value
    // of everything that the recorder maps.
    unsafe {
        if (*info).si_code == BUS_ADRERR {
            let page = (*info).si_addr().map_addr(|address| address & !(PAGE_BYTES - 1));
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            if libc::mmap(page, PAGE_BYTES, protection, flags, -1, 0) != libc::MAP_FAILED {
                return;
            }
        }
        // Any other SIGBUS is raised again on return, and then has its default effect.
        libc::signal(signal, libc::SIG_DFL);
    }
}
