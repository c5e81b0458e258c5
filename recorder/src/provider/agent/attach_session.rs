//! The agent in a running process: loaded when the recording begins, its hooks removed at the end.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::os::procfs;
use crate::session::directory::SessionDirectory;
use crate::target::attach::{self, AttachScript, FAILURE_FILE, RemoteDebug};
use crate::{Error, Result};

/// Interval at which the effect of a script is checked.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How long to wait for a process to remove the hooks. A process that runs no Python code in this
/// time keeps them until it does; the hooks then only remove themselves.
const DETACH_TIMEOUT: Duration = Duration::from_secs(2);

/// The agent in a process that was running already, and in the children that it forks.
pub(super) struct AttachSession {
    pid: i32,
    /// The path of the script that removes the hooks, as the process sees it.
    detach_script: String,
    /// The processes that were requested to remove the hooks.
    detaching: Vec<RemoteDebug>,
    /// When that was.
    requested: Instant,
}

impl AttachSession {
    /// Loads the agent into a process, and waits until it has been loaded. `is_cancelled` is called
    /// at intervals.
    pub fn start(
        pid: i32,
        session: &SessionDirectory,
        is_cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<AttachSession> {
        let process = RemoteDebug::open(pid, session.root())?;
        let process_path = |path: &Path| session.root().to_process_path(path).to_string_lossy().into_owned();
        let script = AttachScript {
            directory: process_path(session.path()),
            library: attach::loaded_library(pid).unwrap_or_else(|| process_path(session.library())),
            pid,
            native_id_offset: process.native_id_offset()?,
        };
        let write = |name: &str, text: String| {
            let path = session.path().join(name);
            let _credentials = session.switch_credentials()?;
            fs::write(&path, text).map_err(|source| Error::CreateSession { path: path.clone(), source })?;
            Ok::<_, Error>(process_path(&path))
        };
        let attach_script = write("enter.py", script.enter())?;
        let detach_script = write("leave.py", script.leave())?;
        process.request_script(&attach_script)?;
        let entered = wait_until_entered(pid, session, is_cancelled);
        // Threads that have not run the script need not run it. If the process has exited, the
        // request cannot be cancelled, and `entered` is the error.
        let _ = process.cancel_script();
        entered.map(|()| AttachSession {
            pid,
            detach_script,
            detaching: Vec::new(),
            requested: Instant::now(),
        })
    }

    /// Requests the process, and these children of it, to remove the hooks.
    pub fn request_detach(&mut self, children: &[i32], session: &SessionDirectory) {
        let children = children.iter().filter(|&&child| child != self.pid);
        // A process that has exited has no hooks.
        let processes =
            children.chain([&self.pid]).filter_map(|pid| RemoteDebug::open(*pid, session.root()).ok());
        self.detaching =
            processes.filter(|process| process.request_script(&self.detach_script).is_ok()).collect();
        self.requested = Instant::now();
    }

    /// Whether every process has removed the hooks, or the time for it is over. Until then the
    /// rings must be drained, because a thread that waits for free slots does not run the script.
    pub fn is_done(&self, session: &SessionDirectory) -> bool {
        self.is_detached(session) || self.requested.elapsed() >= DETACH_TIMEOUT
    }

    /// Cancels the requests that have had no effect. Returns whether there were none.
    pub fn finish(self, session: &SessionDirectory) -> bool {
        let is_detached = self.is_detached(session);
        self.detaching.iter().for_each(|process| drop(process.cancel_script()));
        is_detached
    }

    fn is_detached(&self, session: &SessionDirectory) -> bool {
        session.detached_processes() as usize >= self.detaching.len()
            || !self.detaching.iter().any(RemoteDebug::exists)
    }
}

fn wait_until_entered(
    pid: i32,
    session: &SessionDirectory,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> Result<()> {
    while !session.is_entered() {
        if let Ok(reason) = session.read_text(FAILURE_FILE) {
            return Err(attach::Error::LoadFailed { pid, reason }.into());
        }
        if !procfs::exists(pid) {
            return Err(Error::NoProcess { pid });
        }
        if is_cancelled() {
            return Err(attach::Error::NoSafePoint { pid }.into());
        }
        sleep(POLL_INTERVAL);
    }
    Ok(())
}
