//! Attaching to a running process by the remote debugging interface of CPython 3.14 and later
//! ([PEP 768]): CPython runs a script for another process at its next safe point.
//!
//! ```text
//! RemoteDebug ── path of a script ─▶ thread states ── next safe point ─▶ AttachScript runs:
//!  └ locates the thread states by the                                    it loads the agent
//!    offsets in the section .PyRuntime
//! ```
//!
//! The agent's library is an extension module, so the interpreter alone can load it. At the end of
//! the recording a second script calls the module again, and the agent removes its hooks.
//!
//! [PEP 768]: https://peps.python.org/pep-0768/

mod error;
mod remote_debug;
mod script;

use std::path::Path;

pub use error::Error;
pub(crate) use remote_debug::RemoteDebug;
pub(crate) use script::{AttachScript, FAILURE_FILE};

use crate::os::process_root::ProcessRoot;
use crate::os::procfs::{self, Mapping};
use crate::session::{agent_library, file_names, lock};

/// The path of the agent's library in a process that has loaded it before, even if the file is
/// gone. The path has to be used again: dlopen(3) would load a library with another path a second
/// time.
pub(crate) fn loaded_library(pid: i32) -> Option<String> {
    let mappings = procfs::mappings(pid).ok()?;
    let is_library = |mapping: &&Mapping| mapping.file_name() == Some(agent_library::FILE_NAME);
    mappings.iter().find(is_library)?.path().map(str::to_owned)
}

/// Fails if another recorder records the process with the agent.
pub(crate) fn refuse_recorded(pid: i32, root: &ProcessRoot) -> Result<(), Error> {
    let mappings = procfs::mappings(pid).map_err(|source| Error::of(pid, source))?;
    let pages = mappings.iter().filter(|mapping| mapping.file_name() == Some(file_names::SESSION));
    let mut directories = pages.filter_map(Mapping::path).filter_map(|path| Path::new(path).parent());
    match directories.any(|directory| lock::is_held(&root.to_own_path(directory))) {
        true => Err(Error::AlreadyRecorded { pid }),
        false => Ok(()),
    }
}

/// Fails if the process has another pid in its own pid namespace.
pub(crate) fn refuse_container(pid: i32) -> Result<(), Error> {
    match procfs::pid_namespace_depth(pid) {
        Some(2..) => Err(Error::PidNamespace { pid }),
        _ => Ok(()),
    }
}
