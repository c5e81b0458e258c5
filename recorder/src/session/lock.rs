//! The lock of a session: whether a recorder holds it tells whether the recorder is alive.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::{Pid, Signal, kill_process};

use super::file_names::LOCK;
use crate::{Error, Result};

/// An exclusive lock on the file `lock` of a session. The kernel releases it when the recorder
/// exits, however it does.
#[derive(Debug)]
pub(crate) struct SessionLock {
    _file: File,
}

impl SessionLock {
    /// Creates and locks the file of a new session, and writes the recorder's pid into it.
    pub fn create(directory: &Path) -> io::Result<SessionLock> {
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(directory.join(LOCK))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(SessionLock { _file: file })
    }

    /// Locks the file of a session that was left behind; none while its recorder is alive.
    pub fn take_over(directory: &Path) -> io::Result<Option<SessionLock>> {
        let mut options = File::options();
        let flags = OFlags::NOFOLLOW.bits() as i32;
        let file = options.read(true).write(true).custom_flags(flags).open(directory.join(LOCK))?;
        let is_free = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        Ok(is_free.then_some(SessionLock { _file: file }))
    }
}

/// Whether a recorder holds the lock of a session.
pub(crate) fn is_held(directory: &Path) -> bool {
    File::open(directory.join(LOCK)).is_ok_and(|file| is_locked(&file))
}

fn is_locked(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared).is_err()
}

/// The pid of the recorder that holds the lock of a session.
fn holder(directory: &Path) -> Option<Pid> {
    let file = File::open(directory.join(LOCK)).ok().filter(is_locked)?;
    let mut pid = String::new();
    file.take(20).read_to_string(&mut pid).ok()?;
    pid.parse().ok().and_then(Pid::from_raw)
}

/// Requests a snapshot of a trace from its recorder, by the signal for that.
///
/// # Errors
///
/// Fails if no recorder of the trace can be found. Recorders of static markers have no session.
pub fn request_snapshot(trace: &Path) -> Result<()> {
    let opened = pyrec_schema::Trace::open(&[trace])?;
    let no_recorder = || Error::NotRecording { path: trace.to_owned() };
    let session = opened.manifest().session.clone().ok_or_else(no_recorder)?;
    let pid = holder(&session.directory).ok_or_else(no_recorder)?;
    kill_process(pid, Signal::USR2).map_err(Error::system("send SIGUSR2 to the recorder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped_and_names_its_holder() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(!is_held(directory.path()));
        let lock = SessionLock::create(directory.path()).expect("the lock is created");
        assert!(is_held(directory.path()));
        let own = Pid::from_raw(std::process::id() as i32);
        assert_eq!(holder(directory.path()), own);
        assert!(SessionLock::take_over(directory.path()).expect("the file exists").is_none());
        drop(lock);
        assert!(!is_held(directory.path()));
        assert_eq!(holder(directory.path()), None);
        assert!(SessionLock::take_over(directory.path()).expect("the file exists").is_some());
    }
}
