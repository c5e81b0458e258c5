//! The target of a recording: waiting for its exit, signals to it, and its exit status.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use pyrec_schema::RecordingEnd;
use rustix::fd::BorrowedFd;
use rustix::process::{Pid, Signal, kill_process};

use crate::os::process_handle::{ProcessHandle, poll_readable};

/// The target of a recording: a launched program, running processes, or the whole machine.
#[derive(Debug)]
pub(crate) enum TargetProcess {
    /// A launched program.
    Child(LaunchedProgram),
    /// Processes that were running when the recording began. The target ends when the last of them
    /// exits.
    Processes(Vec<ProcessHandle>),
    /// The whole machine. It does not end.
    Machine,
}

/// A program that the recorder has launched.
#[derive(Debug)]
pub(crate) struct LaunchedProgram {
    child: Child,
    handle: ProcessHandle,
    /// The exit status. None until the program has been reaped.
    status: Option<ExitStatus>,
    /// Whether the program has received a signal that requests the end, from the recorder or from
    /// the terminal.
    was_signaled: bool,
}

impl LaunchedProgram {
    pub fn new(child: Child) -> LaunchedProgram {
        let handle = ProcessHandle::open(child.id() as i32);
        LaunchedProgram { child, handle, status: None, was_signaled: false }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

/// The state of the target at the end of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The program exited with this status.
    Status(i32),
    /// The program was killed by this signal.
    Signal(i32),
    /// The processes ended. Their exit status is not available, because the kernel reports it only
    /// to their parents.
    Unknown,
    /// The target is still running.
    StillRunning,
}

impl From<Exit> for RecordingEnd {
    fn from(exit: Exit) -> RecordingEnd {
        match exit {
            Exit::Status(status) => RecordingEnd::Exited { status },
            Exit::Signal(signal) => RecordingEnd::Killed { signal },
            Exit::Unknown => RecordingEnd::Gone,
            Exit::StillRunning => RecordingEnd::Stopped,
        }
    }
}

impl TargetProcess {
    /// Whether the target has ended.
    pub fn has_exited(&mut self) -> bool {
        match self {
            TargetProcess::Child(program) => {
                program.status = program.status.or_else(|| program.child.try_wait().ok().flatten());
                program.status.is_some()
            }
            TargetProcess::Processes(processes) => {
                processes.retain(|process| !process.has_exited());
                processes.is_empty()
            }
            TargetProcess::Machine => false,
        }
    }

    /// Waits until a process of the target exits, `wake_fd` becomes readable, or `time` has passed.
    pub fn wait_for(&self, time: Duration, wake_fd: Option<BorrowedFd<'_>>) {
        let handles = match self {
            TargetProcess::Child(program) => std::slice::from_ref(&program.handle),
            TargetProcess::Processes(processes) => processes,
            TargetProcess::Machine => &[],
        };
        let pidfds = handles.iter().filter_map(ProcessHandle::pidfd);
        poll_readable(&pidfds.chain(wake_fd).collect::<Vec<_>>(), time);
    }

    /// Waits for a launched program to exit. Returns at once for any other target.
    pub fn wait(&mut self) {
        if let TargetProcess::Child(program) = self {
            program.status = program.child.wait().ok();
        }
    }

    /// Forwards the first signal to a launched program, unless the terminal has sent it to the
    /// program already. For later signals and for any other target, does nothing and returns false.
    pub fn forward_signal(&mut self, signal: i32, from_terminal: bool) -> bool {
        let TargetProcess::Child(program) = self else { return false };
        if std::mem::replace(&mut program.was_signaled, true) {
            return false;
        }
        // The kernel delivers a signal from the terminal to the program directly.
        if !from_terminal
            && let (Some(pid), Some(signal)) = (Pid::from_raw(program.pid()), Signal::from_named_raw(signal))
        {
            // Ignored: this fails only if the program has just exited.
            let _ = kill_process(pid, signal);
        }
        true
    }

    /// Returns how the target has ended, or [`Exit::StillRunning`].
    pub fn exit(&mut self) -> Exit {
        let has_exited = self.has_exited();
        match self {
            _ if !has_exited => Exit::StillRunning,
            TargetProcess::Processes(_) | TargetProcess::Machine => Exit::Unknown,
            TargetProcess::Child(program) => {
                match program.status.map(|status| (status.code(), status.signal())) {
                    Some((Some(code), _)) => Exit::Status(code),
                    Some((None, Some(signal))) => Exit::Signal(signal),
                    _ => Exit::Unknown,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use rustix::fd::AsFd as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn launch(script: &str) -> TargetProcess {
        let child = Command::new("sh").args(["-c", script]).spawn().expect("a shell starts");
        TargetProcess::Child(LaunchedProgram::new(child))
    }

    #[test]
    fn the_exit_of_a_program_is_its_status_or_signal() {
        for (script, exit) in [("exit 3", Exit::Status(3)), ("kill -9 $$", Exit::Signal(9))] {
            let mut target = launch(script);
            target.wait_for(Duration::from_secs(20), None);
            assert_eq!(target.exit(), exit, "{script}");
        }
    }

    #[test]
    fn only_the_first_signal_is_forwarded() {
        let mut target = launch("trap 'exit 7' TERM; while :; do sleep 0.01; done");
        assert_eq!(target.exit(), Exit::StillRunning);
        // Gives the shell time to set its trap. SIGTERM would kill it before that.
        target.wait_for(Duration::from_millis(200), None);
        assert!(target.forward_signal(libc::SIGTERM, false));
        assert!(!target.forward_signal(libc::SIGTERM, false));
        target.wait_for(Duration::from_secs(20), None);
        assert_eq!(target.exit(), Exit::Status(7));
    }

    #[test]
    fn no_signal_is_forwarded_to_processes_that_were_not_launched() {
        let mut children = [(); 2].map(|()| Command::new("sleep").arg("100").spawn().expect("sleep starts"));
        let handles = children.iter().map(|child| ProcessHandle::open(child.id() as i32)).collect();
        let mut target = TargetProcess::Processes(handles);
        assert!(!target.forward_signal(libc::SIGTERM, false));
        for child in &mut children {
            assert_eq!(target.exit(), Exit::StillRunning);
            child.kill().and_then(|()| child.wait()).expect("sleep is killed");
        }
        assert_eq!(target.exit(), Exit::Unknown);
    }

    #[test]
    fn the_machine_does_not_end() {
        let mut target = TargetProcess::Machine;
        assert!(!target.forward_signal(libc::SIGTERM, false));
        assert_eq!(target.exit(), Exit::StillRunning);
    }

    #[test]
    fn a_readable_descriptor_ends_the_waiting() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(writer);
        let begun = Instant::now();
        TargetProcess::Machine.wait_for(LONG, Some(reader.as_fd()));
        assert!(begun.elapsed() < LONG);
    }
}
