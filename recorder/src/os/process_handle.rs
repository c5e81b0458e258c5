//! Handles of processes, which stay theirs when their numbers are used again.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process, held by a descriptor so that another one with its number is not taken for it.
#[derive(Debug)]
pub(crate) struct Process {
    /// None if it was gone already.
    handle: Option<OwnedFd>,
}

impl Process {
    /// The process of that number.
    pub fn new(pid: i32) -> Process {
        Process { handle: Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) }
    }

    /// Readable when it has ended; none if it was gone already.
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_ref().map(OwnedFd::as_fd)
    }

    /// Waits until it ends, at most this long. Says whether it has ended.
    pub fn ends_within(&self, time: Duration) -> bool {
        let Some(handle) = &self.handle else { return true };
        is_ready(&[handle.as_fd()], time)
    }
}

/// Whether one of these has something to say within this time.
pub(crate) fn is_ready(handles: &[BorrowedFd<'_>], time: Duration) -> bool {
    let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    let mut handles: Vec<PollFd<'_>> =
        handles.iter().map(|handle| PollFd::from_borrowed_fd(*handle, PollFlags::IN)).collect();
    poll(&mut handles, Some(&timeout)).is_ok_and(|count| count > 0)
}
