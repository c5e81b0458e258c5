//! Why a process could not be entered.

use std::fs;
use std::io;

use crate::os::procfs::effective_uid;

/// Why a process could not be entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no door before CPython 3.14.
    #[error(
        "process {pid} runs CPython {version}, and only 3.14 and later can be entered while they run; start the program with `pyrec record`, or attach to static markers with --provider usdt"
    )]
    TooOld {
        /// The process.
        pid: i32,
        /// As `3.13`.
        version: String,
    },
    /// No CPython is found in it.
    #[error(
        "process {pid} runs no CPython that can be entered; `pgrep -a python` lists the Pythons that run"
    )]
    NoPython {
        /// The process.
        pid: i32,
    },
    /// A CPython of a kind that we have never seen.
    #[error(
        "process {pid} runs CPython {version}, whose inside this pyrec does not know; start the program with `pyrec record`"
    )]
    Unknown {
        /// The process.
        pid: i32,
        /// As `3.16`.
        version: String,
    },
    /// The door is shut.
    #[error(
        "process {pid} lets nobody enter: it was started with PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug, or its CPython was built so; start it without, or with `pyrec record`"
    )]
    Shut {
        /// The process.
        pid: i32,
    },
    /// It belongs to somebody else.
    #[error("process {pid} belongs to another user (number {uid}); run pyrec as that user, or with sudo")]
    OtherUser {
        /// The process.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// The system forbids it.
    #[error(
        "the system keeps programs from looking into each other (kernel.yama.ptrace_scope is {scope}); run pyrec with sudo, or write 0 to /proc/sys/kernel/yama/ptrace_scope"
    )]
    Scope {
        /// Yama's level.
        scope: u32,
    },
    /// The process itself, or what confines us, forbids it.
    #[error(
        "process {pid} may not be looked into: {source}; run pyrec with sudo, in a container with SYS_PTRACE"
    )]
    Denied {
        /// The process.
        pid: i32,
        /// What the system said.
        source: io::Error,
    },
    /// Another recorder was first.
    #[error("process {pid} is being recorded already; end that recording first")]
    Recorded {
        /// The process.
        pid: i32,
    },
    /// There is one door at a time.
    #[error(
        "the agent enters one process at a time; give one -p, or read static markers with --provider usdt"
    )]
    Several,
    /// Its numbers are not ours.
    #[error("process {pid} lives in a container with process numbers of its own; run pyrec in there")]
    Container {
        /// The process.
        pid: i32,
    },
    /// The agent came in, and could not stay.
    #[error("process {pid} could not be entered: {reason}; start the program with `pyrec record`")]
    Failed {
        /// The process.
        pid: i32,
        /// What was said inside.
        reason: String,
    },
    /// Nobody waited for it to come to a safe point.
    #[error(
        "process {pid} ran no Python code meanwhile, so it was not entered; try again while it does, for it can be entered between two instructions only"
    )]
    NotReached {
        /// The process.
        pid: i32,
    },
}

impl Error {
    /// What the system's refusal to read another process's memory means.
    pub(crate) fn of(pid: i32, source: io::Error) -> Error {
        if source.kind() != io::ErrorKind::PermissionDenied {
            return Error::Denied { pid, source };
        }
        let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let scope = scope.and_then(|scope| scope.trim().parse().ok()).unwrap_or(0);
        Error::denied(pid, source, effective_uid(pid), rustix::process::geteuid().as_raw(), scope)
    }

    fn denied(pid: i32, source: io::Error, uid: Option<u32>, ours: u32, scope: u32) -> Error {
        match uid {
            Some(uid) if uid != ours && ours != 0 => Error::OtherUser { pid, uid },
            _ if scope > 0 => Error::Scope { scope },
            _ => Error::Denied { pid, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_stands_in_the_way() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        let table = [
            (Some(0), 1000, 1, "belongs to another user (number 0)"),
            (Some(1000), 1000, 1, "ptrace_scope is 1"),
            (Some(1000), 0, 3, "ptrace_scope is 3"),
            (Some(1000), 1000, 0, "may not be looked into"),
            (None, 1000, 2, "ptrace_scope is 2"),
        ];
        for (uid, ours, scope, expected) in table {
            let error = Error::denied(7, refused(), uid, ours, scope).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
