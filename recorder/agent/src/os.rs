//! The few system calls that the agent makes.

use alloc::ffi::CString;
use alloc::string::String;
use core::ffi::{CStr, c_int, c_void};
use core::fmt;
use core::ptr;

/// A system call's `errno`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::ENOSPC => "no space is left",
            libc::EMFILE | libc::ENFILE => "too many files are open",
            libc::EACCES | libc::EPERM => "access is denied",
            libc::ENOENT => "the session's directory is gone",
            libc::EFBIG => "the program limits the size of files",
            libc::ENOMEM => "no memory is left",
            number => return write!(f, "system error {number}"),
        })
    }
}

/// The last failed call's errno.
pub fn errno() -> Errno {
    // SAFETY: the location is this thread's own.
    Errno(unsafe { *libc::__errno_location() })
}

/// A file that is closed when it is dropped: the agent keeps none open, since programs count and close descriptors.
pub struct File(c_int);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(self.0) };
    }
}

impl File {
    /// Opens `path`, which never is a symbolic link.
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

    /// Appends all of `bytes`, with a single write unless that is cut short, or nothing.
    pub fn append(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            // SAFETY: the bytes are there.
            let count = unsafe { libc::write(self.0, rest.as_ptr().cast(), rest.len()) };
            match count {
                1.. => written += count as usize,
                0 => return self.take_back(written, Errno(libc::ENOSPC)),
                _ if errno().0 == libc::EINTR => {}
                _ => return self.take_back(written, errno()),
            }
        }
        Ok(())
    }

    /// Cuts off what was appended in part, so that the next entry begins where a reader looks for one.
    fn take_back(&self, written: usize, error: Errno) -> Result<(), Errno> {
        if written > 0 {
            // SAFETY: both calls only touch the file.
            unsafe {
                let end = libc::lseek(self.0, 0, libc::SEEK_END);
                libc::ftruncate(self.0, end - written as libc::off_t);
            }
        }
        Err(error)
    }

    /// Makes room for `len` bytes now, so that a full file system is an error here and not a SIGBUS later.
    pub fn reserve(&self, len: usize) -> Result<(), Errno> {
        loop {
            // SAFETY: the call only touches the file.
            match unsafe { libc::posix_fallocate(self.0, 0, len as libc::off_t) } {
                0 => return Ok(()),
                libc::EINTR => {}
                error => return Err(Errno(error)),
            }
        }
    }

    /// Makes the file so long, with nothing in it.
    pub fn set_len(&self, len: usize) -> Result<(), Errno> {
        // SAFETY: the call only touches the file.
        if unsafe { libc::ftruncate(self.0, len as libc::off_t) } == 0 { Ok(()) } else { Err(errno()) }
    }

    /// Maps the first `len` bytes, shared.
    pub fn map(&self, len: usize) -> Result<*mut c_void, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping touches no memory that is in use.
        let memory = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, self.0, 0) };
        if memory == libc::MAP_FAILED { Err(errno()) } else { Ok(memory) }
    }

    /// Whether nobody holds the file's lock.
    pub fn is_unlocked(&self) -> bool {
        // SAFETY: the call only touches the file. The lock goes with the descriptor.
        unsafe { libc::flock(self.0, libc::LOCK_SH | libc::LOCK_NB) == 0 }
    }
}

/// Removes a file.
pub fn remove(path: &CStr) {
    // SAFETY: the path ends in a zero byte.
    unsafe { libc::unlink(path.as_ptr()) };
}

/// Makes room in a mapped file, and maps it: as [`File::reserve`], from whole pages to whole pages. `EINVAL` where the
/// kernel, older than 5.14, cannot.
///
/// # Safety
/// The memory is that of a mapped file, as long as the file.
pub unsafe fn populate(memory: *mut c_void, len: usize) -> Result<(), Errno> {
    loop {
        // SAFETY: the caller's promise.
        if unsafe { libc::madvise(memory, len, libc::MADV_POPULATE_WRITE) } == 0 {
            return Ok(());
        }
        match errno().0 {
            libc::EINTR | libc::EAGAIN => {}
            // Touching the page would be a SIGBUS.
            libc::EFAULT => return Err(Errno(libc::ENOSPC)),
            error => return Err(Errno(error)),
        }
    }
}

/// Unmaps what [`File::map`] mapped.
///
/// # Safety
/// Nothing may use the memory any more.
pub unsafe fn unmap(memory: *mut c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(memory, len) };
}

/// `directory/name` for the system, none if a zero byte is in it.
pub fn path(directory: &str, name: fmt::Arguments<'_>) -> Option<CString> {
    CString::new(alloc::format!("{directory}/{name}")).ok()
}

/// An environment variable.
pub fn variable(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    // SAFETY: called by the constructor only, before the program can change its environment.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: an environment variable ends in a zero byte.
    unsafe { CStr::from_ptr(value) }.to_str().ok().map(Into::into)
}

/// This process.
pub fn pid() -> i32 {
    // SAFETY: it takes nothing.
    unsafe { libc::getpid() }
}

/// Its parent.
pub fn parent() -> i32 {
    // SAFETY: it takes nothing.
    unsafe { libc::getppid() }
}

/// This thread.
pub fn tid() -> i32 {
    // SAFETY: it takes nothing. (The function `gettid` is younger than many a glibc.)
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Sleeps for so long, or until a signal.
pub fn sleep_ns(time_ns: i64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: time_ns };
    // SAFETY: the time is on the stack.
    unsafe { libc::nanosleep(&time, ptr::null_mut()) };
}

core::arch::global_asm!(
    // dlsym moved from libdl to libc in glibc 2.34. Its old name serves both; weak, because a program that has no
    // libdl, on an older system, has no CPython either.
    ".weak pyrec_dlsym",
    ".symver pyrec_dlsym, dlsym@GLIBC_2.2.5",
    ".pushsection .data.rel.ro, \"aw\"",
    ".balign 8",
    ".globl pyrec_dlsym_address",
    ".hidden pyrec_dlsym_address",
    "pyrec_dlsym_address: .quad pyrec_dlsym",
    ".popsection",
);

/// The address of a symbol of the program or of one of its libraries, null if there is none.
pub fn symbol(name: &CStr) -> *mut c_void {
    type Dlsym = unsafe extern "C" fn(*mut c_void, *const core::ffi::c_char) -> *mut c_void;
    unsafe extern "C" {
        static pyrec_dlsym_address: Option<Dlsym>;
    }
    // SAFETY: the linker has filled the address in, or left it null.
    match unsafe { pyrec_dlsym_address } {
        // SAFETY: the name ends in a zero byte.
        Some(dlsym) => unsafe { dlsym(libc::RTLD_DEFAULT, name.as_ptr()) },
        None => ptr::null_mut(),
    }
}
