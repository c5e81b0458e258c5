//! The process, its threads, and its environment.

use alloc::ffi::CString;
use alloc::string::String;
use core::ffi::CStr;
use core::ptr;

/// Returns an environment variable, or `None` if it is unset or not UTF-8.
///
/// Call this from the library's constructor only: the program may change its environment later.
pub fn environment_variable(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    // SAFETY: only the constructor calls this, before `main`, so no other thread changes the
    // environment.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: `getenv` returns a string that ends in a zero byte.
    unsafe { CStr::from_ptr(value) }.to_str().ok().map(Into::into)
}

/// The process id.
pub fn pid() -> i32 {
    // SAFETY: the call has no arguments.
    unsafe { libc::getpid() }
}

/// The process id of the parent.
pub fn parent_pid() -> i32 {
    // SAFETY: the call has no arguments.
    unsafe { libc::getppid() }
}

/// The kernel's id of the current thread.
pub fn tid() -> i32 {
    // The wrapper `gettid` needs glibc 2.30.
    // SAFETY: the call has no arguments.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Sleeps for `time_ns` nanoseconds (less than a second), or until a signal.
pub fn sleep_ns(time_ns: i64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: time_ns };
    // SAFETY: `time` lives until the call returns.
    unsafe { libc::nanosleep(&time, ptr::null_mut()) };
}
