//! A recording's session directory, opened by the recorded process.

use alloc::boxed::Box;
use alloc::string::String;
use core::ffi::CStr;
use core::sync::atomic::Ordering::Relaxed;

use pyrec_wire::{FunctionFilter, SessionPage, VERSION};

use crate::os::{self, Errno, File, clock};

/// A group of markers; the numbers are the bits of `SessionPage::groups`.
#[derive(Clone, Copy)]
pub enum MarkerGroup {
    Function = 0,
    Line = 1,
    Gc = 2,
    Import = 3,
    Audit = 4,
    Cfunction = 5,
    Instance = 6,
}

/// An open session directory.
pub struct OpenSession {
    directory: String,
    /// The mapped file `session`.
    header: *const SessionPage,
    filter: FunctionFilter,
}

/// Why a process cannot be recorded.
pub enum SessionError {
    /// CPython lacks a function.
    MissingFunction,
    /// A file of the session directory cannot be used.
    Directory,
    /// The recorder's version differs from the agent's.
    VersionMismatch,
    /// The recording has ended.
    Closed,
}

impl SessionError {
    /// The message, to be preceded by the process and a colon.
    pub fn message(&self) -> &'static CStr {
        match self {
            SessionError::MissingFunction => c"its CPython lacks functions that the agent needs",
            SessionError::Directory => c"it cannot use the session directory",
            SessionError::VersionMismatch => c"the agent of another version of pyrec is loaded in it",
            SessionError::Closed => c"the recording has ended",
        }
    }
}

impl From<Errno> for SessionError {
    fn from(_: Errno) -> SessionError {
        SessionError::Directory
    }
}

impl OpenSession {
    /// Opens the session directory. Its files stay mapped until the process ends.
    pub fn open(directory: String) -> Result<&'static OpenSession, SessionError> {
        let path = os::path(&directory, format_args!("session")).ok_or(Errno(libc::EINVAL))?;
        let header: *const SessionPage =
            File::open(&path, libc::O_RDWR)?.map(size_of::<SessionPage>())?.cast_const().cast();
        // SAFETY: the recorder wrote the file before it passed the directory on, and the mapping is
        // never removed.
        let session = unsafe { &*header };
        if session.version != VERSION {
            return Err(SessionError::VersionMismatch);
        }
        if session.closed.load(Relaxed) != 0 {
            return Err(SessionError::Closed);
        }
        clock::set_source(session.clock);
        let filter = read_filter(&directory, session.filter_bytes as usize)?;
        Ok(Box::leak(Box::new(OpenSession { directory, header, filter })))
    }

    /// The path of the session directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The contents of the file `session`, which the recorder and all agents share.
    pub fn header(&self) -> &SessionPage {
        // SAFETY: the mapping is never removed.
        unsafe { &*self.header }
    }

    /// Which functions are recorded.
    pub fn filter(&self) -> &FunctionFilter {
        &self.filter
    }

    /// Whether the group's markers are recorded.
    pub fn has_group(&self, group: MarkerGroup) -> bool {
        self.header().groups & 1 << group as u32 != 0
    }

    /// Whether the agent fires static markers for other tools.
    pub fn exposes_markers(&self) -> bool {
        self.header().expose_markers != 0
    }

    /// Whether the recorder has ended, which releases its lock. If that cannot be determined, the
    /// recorder counts as alive.
    pub fn is_recorder_dead(&self) -> bool {
        let Some(path) = os::path(&self.directory, format_args!("lock")) else { return true };
        match File::open(&path, libc::O_RDONLY) {
            Ok(file) => file.is_unlocked(),
            Err(Errno(error)) => error == libc::ENOENT,
        }
    }
}

/// Reads the file `filter`, if its length is not 0.
fn read_filter(directory: &str, len: usize) -> Result<FunctionFilter, SessionError> {
    if len == 0 {
        return Ok(FunctionFilter::default());
    }
    let path = os::path(directory, format_args!("filter")).ok_or(Errno(libc::EINVAL))?;
    let memory = File::open(&path, libc::O_RDWR)?.map(len)?;
    // SAFETY: the recorder wrote `len` bytes to the file before it passed the directory on, and the
    // decoded filter does not refer to the mapping.
    unsafe {
        let filter = FunctionFilter::decode(core::slice::from_raw_parts(memory.cast(), len));
        os::unmap(memory, len);
        filter.ok_or(SessionError::VersionMismatch)
    }
}
