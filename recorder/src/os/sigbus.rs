//! Files that shrink under our mappings.
//!
//! The headers of rings and the session's page are mapped from files that belong to the traced program. If it cuts one
//! off, who touches the mapping gets a `SIGBUS`. Here that page becomes one of zeros instead: of a ring that says
//! nothing any more.

use std::ffi::{c_int, c_void};
use std::sync::Once;

use pyrec_wire::PAGE_BYTES;

static HANDLER: Once = Once::new();

/// `si_code` of a page that the file behind a mapping does not have.
const BEYOND_THE_FILE: c_int = 2;

/// Makes this process survive that from now on.
pub(crate) fn survive() {
    HANDLER.call_once(|| {
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = put_zeros;
        // SAFETY: zeros are a valid sigaction, whose fields are set before it is used. The handler makes system calls
        // and nothing else.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    });
}

extern "C" fn put_zeros(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a whole siginfo. The page that is replaced could not be
    // touched, so nobody holds anything in it; what maps it sees zeros, of which all that we map is made.
    unsafe {
        if (*info).si_code == BEYOND_THE_FILE {
            let page = (*info).si_addr().map_addr(|address| address & !(PAGE_BYTES - 1));
            let (rights, kind) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            );
            if libc::mmap(page, PAGE_BYTES, rights, kind, -1, 0) != libc::MAP_FAILED {
                return;
            }
        }
        // Whatever it was, it happens again, and ends the process as it would have.
        libc::signal(signal, libc::SIG_DFL);
    }
}
