//! Handles of processes, by pidfd.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A handle of a process. Unlike a pid it never refers to a later process.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    /// None if the process had exited before the handle was opened.
    pidfd: Option<OwnedFd>,
}

impl ProcessHandle {
    /// Opens a handle of the process that has this pid now.
    pub fn open(pid: i32) -> ProcessHandle {
        ProcessHandle { pidfd: Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) }
    }

    /// A descriptor that becomes readable when the process exits; none if it already had.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(OwnedFd::as_fd)
    }

    /// Whether the process has exited.
    pub fn has_exited(&self) -> bool {
        self.pidfd().is_none_or(|pidfd| poll_readable(&[pidfd], Duration::ZERO))
    }
}

/// Waits until one of the descriptors is readable, at most as long as `timeout`. Returns whether
/// one is.
pub(crate) fn poll_readable(descriptors: &[BorrowedFd<'_>], timeout: Duration) -> bool {
    let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    let mut descriptors: Vec<PollFd<'_>> =
        descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
    poll(&mut descriptors, Some(&timeout)).is_ok_and(|count| count > 0)
}
