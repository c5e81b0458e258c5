//! Files of the session directory, and their mappings.

use alloc::ffi::CString;
use core::ffi::{CStr, c_int, c_void};
use core::fmt;
use core::ptr;

/// The `errno` of a failed system call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::ENOSPC => "no space is left",
            libc::EMFILE | libc::ENFILE => "too many files are open",
            libc::EACCES | libc::EPERM => "access is denied",
            libc::ENOENT => "the session directory is missing",
            libc::EFBIG => "the program limits the size of files",
            libc::ENOMEM => "no memory is left",
            number => return write!(f, "system error {number}"),
        })
    }
}

/// The `errno` of the current thread's last failed call.
pub fn errno() -> Errno {
    // SAFETY: the location belongs to the current thread.
    Errno(unsafe { *libc::__errno_location() })
}

/// An open file, closed on drop. The agent keeps none open, because programs count descriptors and
/// close those that they did not open.
pub struct File(c_int);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: this value owns the descriptor.
        unsafe { libc::close(self.0) };
    }
}

impl File {
    /// Opens `path`; fails if it is a symbolic link.
    pub fn open(path: &CStr, flags: c_int) -> Result<File, Errno> {
        loop {
            // SAFETY: the path ends in a zero byte.
            let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC | libc::O_NOFOLLOW, 0o600) };
            match fd {
                0.. => return Ok(File(fd)),
                _ if errno().0 == libc::EINTR => {}
                _ => return Err(errno()),
            }
        }
    }

    /// Appends all of `bytes`, by a single `write` unless the kernel shortens it, or nothing.
    pub fn append(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            // SAFETY: `rest` is readable for its length.
            let count = unsafe { libc::write(self.0, rest.as_ptr().cast(), rest.len()) };
            match count {
                1.. => written += count as usize,
                0 => return self.undo_append(written, Errno(libc::ENOSPC)),
                _ if errno().0 == libc::EINTR => {}
                _ => return self.undo_append(written, errno()),
            }
        }
        Ok(())
    }

    /// Cuts off a partial append, so that the next entry begins at an entry boundary.
    fn undo_append(&self, written: usize, error: Errno) -> Result<(), Errno> {
        if written > 0 {
            // SAFETY: both calls affect only the file.
            unsafe {
                let end = libc::lseek(self.0, 0, libc::SEEK_END);
                libc::ftruncate(self.0, end - written as libc::off_t);
            }
        }
        Err(error)
    }

    /// Allocates the first `len` bytes in the file system, so that a full one is an error here and
    /// not a SIGBUS when the mapping is written.
    pub fn allocate(&self, len: usize) -> Result<(), Errno> {
        loop {
            // SAFETY: the call affects only the file.
            match unsafe { libc::posix_fallocate(self.0, 0, len as libc::off_t) } {
                0 => return Ok(()),
                libc::EINTR => {}
                error => return Err(Errno(error)),
            }
        }
    }

    /// Sets the length in bytes without allocating memory for it.
    pub fn set_len(&self, len: usize) -> Result<(), Errno> {
        // SAFETY: the call affects only the file.
        if unsafe { libc::ftruncate(self.0, len as libc::off_t) } == 0 { Ok(()) } else { Err(errno()) }
    }

    /// Maps the first `len` bytes, shared, for reading and writing.
    pub fn map(&self, len: usize) -> Result<*mut c_void, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED a new mapping replaces no memory that is in use.
        let memory = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, self.0, 0) };
        if memory == libc::MAP_FAILED { Err(errno()) } else { Ok(memory) }
    }

    /// Returns whether no process holds an exclusive lock (`flock`) on the file.
    pub fn is_unlocked(&self) -> bool {
        // SAFETY: the call affects only the file. Closing the descriptor releases the lock.
        unsafe { libc::flock(self.0, libc::LOCK_SH | libc::LOCK_NB) == 0 }
    }
}

/// Removes a file.
pub fn remove(path: &CStr) {
    // SAFETY: the path ends in a zero byte.
    unsafe { libc::unlink(path.as_ptr()) };
}

/// Allocates memory for a range of a mapped file and maps it, in whole pages. Like
/// [`File::allocate`], this turns a full file system into an error.
///
/// # Errors
/// `EINVAL` if the kernel is older than 5.14.
///
/// # Safety
/// The range must lie in the mapping of a file, and within the file's length.
pub unsafe fn populate(memory: *mut c_void, len: usize) -> Result<(), Errno> {
    loop {
        // SAFETY: the caller guarantees that the range is mapped.
        if unsafe { libc::madvise(memory, len, libc::MADV_POPULATE_WRITE) } == 0 {
            return Ok(());
        }
        match errno().0 {
            libc::EINTR | libc::EAGAIN => {}
            // The page has no memory; a write to it would raise SIGBUS.
            libc::EFAULT => return Err(Errno(libc::ENOSPC)),
            error => return Err(Errno(error)),
        }
    }
}

/// Removes a mapping that [`File::map`] returned.
///
/// # Safety
/// The memory must not be used afterwards.
pub unsafe fn unmap(memory: *mut c_void, len: usize) {
    // SAFETY: the caller guarantees that the mapping is no longer used.
    unsafe { libc::munmap(memory, len) };
}

/// Returns `directory/name` as a C string, or `None` if it contains a zero byte.
pub fn path(directory: &str, name: fmt::Arguments<'_>) -> Option<CString> {
    CString::new(alloc::format!("{directory}/{name}")).ok()
}
