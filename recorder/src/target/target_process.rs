//! What is recorded, as long as it lives.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child as StdChild, ExitStatus};
use std::time::Duration;

use pyrec_schema::RecordingEnd;
use rustix::fd::BorrowedFd;
use rustix::process::{Pid, Signal, kill_process};

use crate::os::process_handle::{ProcessHandle, poll_readable};

/// A program that we launched, or what was there before us.
#[derive(Debug)]
pub(crate) enum TargetProcess {
    /// Launched.
    Child(Child),
    /// Attached to. It ends with the last of them.
    Processes(Vec<ProcessHandle>),
    /// The machine, which does not end.
    Machine,
}

/// A launched program.
#[derive(Debug)]
pub(crate) struct Child {
    child: StdChild,
    process: ProcessHandle,
    status: Option<ExitStatus>,
    told: bool,
}

impl Child {
    /// The program that was just started.
    pub fn new(child: StdChild) -> Child {
        let process = ProcessHandle::open(child.id() as i32);
        Child { child, process, status: None, told: false }
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Only its parent knows how.
    Gone,
    /// It runs on; the recording was stopped.
    RunsOn,
}

impl From<Exit> for RecordingEnd {
    fn from(exit: Exit) -> RecordingEnd {
        match exit {
            Exit::Status(status) => RecordingEnd::Exited { status },
            Exit::Signal(signal) => RecordingEnd::Killed { signal },
            Exit::Gone => RecordingEnd::Gone,
            Exit::RunsOn => RecordingEnd::Stopped,
        }
    }
}

impl TargetProcess {
    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        match self {
            TargetProcess::Child(child) => {
                child.status = child.status.or_else(|| child.child.try_wait().ok().flatten());
                child.status.is_some()
            }
            TargetProcess::Processes(processes) => {
                processes.retain(|process| !process.has_exited());
                processes.is_empty()
            }
            TargetProcess::Machine => false,
        }
    }

    /// Waits this long, or until it ends, or until whoever drains it is called.
    pub fn wait_for(&self, time: Duration, call: Option<BorrowedFd<'_>>) {
        let processes = match self {
            TargetProcess::Child(child) => std::slice::from_ref(&child.process),
            TargetProcess::Processes(processes) => processes,
            TargetProcess::Machine => &[],
        };
        let handles = processes.iter().filter_map(|process| process.pidfd());
        poll_readable(&handles.chain(call).collect::<Vec<_>>(), time);
    }

    /// Waits for a launched program to end; not for one that was there before us.
    pub fn wait(&mut self) {
        if let TargetProcess::Child(child) = self {
            child.status = child.child.wait().ok();
        }
    }

    /// Passes a signal on to a launched program, which may end by it. Says no where it is not the program's: the
    /// program has had one, or was there before us.
    pub fn tell(&mut self, signal: i32, from_terminal: bool) -> bool {
        let TargetProcess::Child(child) = self else { return false };
        if std::mem::replace(&mut child.told, true) {
            return false;
        }
        // What comes from the terminal came to the program, too.
        if !from_terminal
            && let (Some(pid), Some(signal)) = (Pid::from_raw(child.pid()), Signal::from_named_raw(signal))
        {
            // It may have ended just now: then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
        true
    }

    /// How it ended, or that it runs on.
    pub fn exit(&mut self) -> Exit {
        let ended = self.has_ended();
        match self {
            _ if !ended => Exit::RunsOn,
            TargetProcess::Processes(_) | TargetProcess::Machine => Exit::Gone,
            TargetProcess::Child(child) => {
                match child.status.map(|status| (status.code(), status.signal())) {
                    Some((Some(code), _)) => Exit::Status(code),
                    Some((None, Some(signal))) => Exit::Signal(signal),
                    _ => Exit::Gone,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd as _;
    use std::process::Command;

    fn child(script: &str) -> TargetProcess {
        TargetProcess::Child(Child::new(
            Command::new("sh").args(["-c", script]).spawn().expect("a shell starts"),
        ))
    }

    #[test]
    fn tells_how_a_program_ended() {
        for (script, exit) in [("exit 3", Exit::Status(3)), ("kill -9 $$", Exit::Signal(9))] {
            let mut subject = child(script);
            subject.wait_for(Duration::from_secs(20), None);
            assert_eq!(subject.exit(), exit, "{script}");
        }
    }

    #[test]
    fn the_first_signal_is_the_programs_and_the_second_ours() {
        let mut subject = child("trap 'exit 7' TERM; while :; do sleep 0.01; done");
        assert_eq!(subject.exit(), Exit::RunsOn);
        // The shell needs a moment to set its trap; until then the signal kills it.
        subject.wait_for(Duration::from_millis(200), None);
        assert!(subject.tell(libc::SIGTERM, false));
        assert!(!subject.tell(libc::SIGTERM, false));
        subject.wait_for(Duration::from_secs(20), None);
        assert_eq!(subject.exit(), Exit::Status(7));
    }

    #[test]
    fn a_process_that_is_not_ours_is_left_alone() {
        let mut others = [(); 2].map(|()| Command::new("sleep").arg("100").spawn().expect("it starts"));
        let processes = others.iter().map(|other| ProcessHandle::open(other.id() as i32)).collect();
        let mut subject = TargetProcess::Processes(processes);
        assert!(!subject.tell(libc::SIGTERM, false));
        for other in &mut others {
            assert_eq!(subject.exit(), Exit::RunsOn);
            other.kill().and_then(|()| other.wait()).expect("it ends");
        }
        assert_eq!(subject.exit(), Exit::Gone);
    }

    #[test]
    fn the_machine_does_not_end() {
        let mut machine = TargetProcess::Machine;
        assert!(!machine.tell(libc::SIGTERM, false));
        assert_eq!(machine.exit(), Exit::RunsOn);
    }

    #[test]
    fn a_call_ends_the_waiting() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(writer);
        let begun = std::time::Instant::now();
        TargetProcess::Machine.wait_for(Duration::from_secs(600), Some(reader.as_fd()));
        assert!(begun.elapsed() < Duration::from_secs(600));
    }
}
