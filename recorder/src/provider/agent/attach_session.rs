//! The agent's stay in a process that runs already: it is let in, and later led out again.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::os::procfs;
use crate::session::Session;
use crate::target::attach::{self, FAILED, RemoteDebug, Script};
use crate::{Error, Result};

/// Time between two looks at what became of a request.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// How long a process is given to let the agent out. One that runs no Python code for so long keeps the hooks until it
/// does; they do nothing then but take themselves away.
const PATIENCE: Duration = Duration::from_secs(2);

/// A stay in a process, and in its children by fork.
pub(super) struct AttachSession {
    pid: i32,
    /// The script that leads it out, as the process sees it.
    leave: String,
    /// The processes that are to let it out, and since when they know.
    asked: Vec<RemoteDebug>,
    since: Instant,
}

impl AttachSession {
    /// Lets the agent in, as soon as the process comes to a safe point. `is_given_up` is asked now and then.
    pub fn begin(
        pid: i32,
        session: &Session,
        is_given_up: &mut dyn FnMut() -> bool,
    ) -> Result<AttachSession> {
        let door = RemoteDebug::open(pid, session.root())?;
        let inside = |path: &Path| session.root().to_process_path(path).to_string_lossy().into_owned();
        let script = Script {
            directory: inside(session.path()),
            library: attach::library_in(pid).unwrap_or_else(|| inside(session.library())),
            pid,
            native_id_offset: door.native_id_offset()?,
        };
        let [enter, leave] =
            [("enter.py", script.enter()), ("leave.py", script.leave())].map(|(name, text)| {
                let path = session.path().join(name);
                let _credentials = session.switch_credentials()?;
                fs::write(&path, text)
                    .map_err(|source| Error::CreateSession { path: path.clone(), source })?;
                Ok::<_, Error>(inside(&path))
            });
        let (enter, leave) = (enter?, leave?);
        door.call(&enter)?;
        let entered = wait_for_entry(pid, session, is_given_up);
        // The threads that came later have nothing to do any more. Where the process has ended, that is told below.
        let _ = door.call_off();
        entered.map(|()| AttachSession { pid, leave, asked: Vec::new(), since: Instant::now() })
    }

    /// Asks the process, and these children of its, to let the agent out.
    pub fn ask(&mut self, children: &[i32], session: &Session) {
        let children = children.iter().filter(|&&child| child != self.pid);
        // One that is gone lets nobody out.
        let doors =
            children.chain([&self.pid]).filter_map(|pid| RemoteDebug::open(*pid, session.root()).ok());
        self.asked = doors.filter(|door| door.call(&self.leave).is_ok()).collect();
        self.since = Instant::now();
    }

    /// Whether there is nothing more to wait for. Until then their rings must be read: a thread that waits for room
    /// comes to no safe point.
    pub fn is_over(&self, session: &Session) -> bool {
        self.is_out(session) || self.since.elapsed() >= PATIENCE
    }

    /// Gives up on those that have not let it out. Says whether there was none.
    pub fn end(self, session: &Session) -> bool {
        let all = self.is_out(session);
        self.asked.iter().for_each(|door| drop(door.call_off()));
        all
    }

    fn is_out(&self, session: &Session) -> bool {
        session.left() as usize >= self.asked.len() || !self.asked.iter().any(RemoteDebug::is_there)
    }
}

fn wait_for_entry(pid: i32, session: &Session, is_given_up: &mut dyn FnMut() -> bool) -> Result<()> {
    while !session.is_entered() {
        if let Ok(reason) = session.read(FAILED) {
            return Err(attach::Error::Failed { pid, reason }.into());
        }
        if !procfs::exists(pid) {
            return Err(Error::NoProcess { pid });
        }
        if is_given_up() {
            return Err(attach::Error::NotReached { pid }.into());
        }
        sleep(PAUSE);
    }
    Ok(())
}
