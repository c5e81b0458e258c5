//! A process that runs already, entered by the door that CPython 3.14 and later leave open (PEP 768).
//!
//! ```text
//! RemoteDebug ── a script's path ──▶ every thread state ── next safe point ──▶ the script: loads the agent's library
//!  └ where CPython keeps its thread states, told by CPython itself in its section .PyRuntime
//! ```
//!
//! The library is an extension module, so nothing but the interpreter is needed to load it. To end the recording
//! another script calls it once more, and it takes its hooks away.

mod error;
mod remote_debug;
mod script;

use std::fs;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

pub use error::Error;
pub(crate) use remote_debug::RemoteDebug;
pub(crate) use script::{FAILED, Script};

use crate::os::process_root::ProcessRoot;
use crate::os::procfs::{self, Mapping};
use crate::session::agent_library;

/// The library as it lies in a process that has been recorded before: the same file name loads the same library.
pub(crate) fn library_in(pid: i32) -> Option<String> {
    let mappings = procfs::mappings(pid).ok()?;
    let library = mappings.iter().find(|mapping| mapping.file_name() == Some(agent_library::NAME))?;
    library.path().map(str::to_owned)
}

/// Refuses a process that a recorder, alive, has its agent in.
pub(crate) fn refuse_recorded(pid: i32, root: &ProcessRoot) -> Result<(), Error> {
    let mappings = procfs::mappings(pid).map_err(|source| Error::of(pid, source))?;
    let sessions = mappings.iter().filter(|mapping| mapping.file_name() == Some("session"));
    let directories = sessions.filter_map(Mapping::path).filter_map(|path| Path::new(path).parent());
    for directory in directories {
        let lock = fs::File::open(root.to_own_path(&directory.join("lock")));
        if lock.is_ok_and(|lock| flock(lock, FlockOperation::NonBlockingLockShared).is_err()) {
            return Err(Error::Recorded { pid });
        }
    }
    Ok(())
}

/// Refuses a process whose number is another one where it lives.
pub(crate) fn refuse_container(pid: i32) -> Result<(), Error> {
    match procfs::pid_namespace_depth(pid) {
        Some(2..) => Err(Error::Container { pid }),
        _ => Ok(()),
    }
}
