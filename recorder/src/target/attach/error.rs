//! The reasons why the agent could not attach to a running process.

use std::fs;
use std::io;

use crate::os::procfs::effective_uid;

/// The reason why the agent could not attach to a running process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The version of CPython is older than 3.14 and has no remote debugging.
    #[error(
        "cannot attach to process {pid}: it runs CPython {version}, and only 3.14 and later support it; start the program with `pyrec record`, or attach to static markers with --provider usdt"
    )]
    TooOld {
        /// The process.
        pid: i32,
        /// Such as `3.13`.
        version: String,
    },
    /// The process runs no CPython.
    #[error(
        "cannot attach to process {pid}: it runs no CPython that supports it; `pgrep -a python` lists the running Pythons"
    )]
    NoPython {
        /// The process.
        pid: i32,
    },
    /// The structures of this CPython are not known.
    #[error(
        "cannot attach to process {pid}: this version of pyrec does not know the internals of CPython {version}; start the program with `pyrec record`"
    )]
    UnknownVersion {
        /// The process.
        pid: i32,
        /// Such as `3.16`.
        version: String,
    },
    /// Remote debugging is disabled in the process.
    #[error(
        "cannot attach to process {pid}: remote debugging is disabled (PYTHON_DISABLE_REMOTE_DEBUG, -X disable-remote-debug, or a build option); restart it without, or use `pyrec record -- CMD`"
    )]
    Disabled {
        /// The process.
        pid: i32,
    },
    /// The process belongs to another user.
    #[error(
        "cannot attach to process {pid}: it belongs to another user (number {uid}); run pyrec as that user, or with sudo"
    )]
    OtherUser {
        /// The process.
        pid: i32,
        /// Its effective uid.
        uid: u32,
    },
    /// Yama forbids it.
    #[error(
        "cannot attach to process {pid}: the system restricts access to other processes (kernel.yama.ptrace_scope is {scope}); run pyrec with sudo, or write 0 to /proc/sys/kernel/yama/ptrace_scope"
    )]
    PtraceScope {
        /// The process.
        pid: i32,
        /// The value of the setting, 1 to 3.
        scope: u32,
    },
    /// The system refused access to the process for another reason.
    #[error("cannot attach to process {pid}: {source}; run pyrec with sudo, in a container with SYS_PTRACE")]
    Denied {
        /// The process.
        pid: i32,
        /// The system's error.
        source: io::Error,
    },
    /// Another recorder records the process with the agent.
    #[error("process {pid} is being recorded already; end that recording first")]
    AlreadyRecorded {
        /// The process.
        pid: i32,
    },
    /// Several processes were given.
    #[error(
        "the agent attaches to one process only; give one -p, or attach to static markers with --provider usdt"
    )]
    SeveralProcesses,
    /// The process is in another pid namespace.
    #[error(
        "cannot attach to process {pid}: it is in a container with pids of its own; run pyrec in the container"
    )]
    PidNamespace {
        /// The process.
        pid: i32,
    },
    /// The process ran the script, and the agent could not be loaded.
    #[error("process {pid} could not load the agent: {reason}; start the program with `pyrec record`")]
    LoadFailed {
        /// The process.
        pid: i32,
        /// The exception in the process.
        reason: String,
    },
    /// The recording was cancelled before the process reached a safe point.
    #[error(
        "process {pid} was not attached to: it ran no Python code meanwhile, and the agent is loaded between two instructions; try again while it does"
    )]
    NoSafePoint {
        /// The process.
        pid: i32,
    },
}

impl Error {
    /// Explains an error of an access to another process.
    pub(crate) fn of(pid: i32, source: io::Error) -> Error {
        if source.kind() != io::ErrorKind::PermissionDenied {
            return Error::Denied { pid, source };
        }
        let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let scope = scope.and_then(|scope| scope.trim().parse().ok()).unwrap_or(0);
        Error::denied(pid, source, effective_uid(pid), rustix::process::geteuid().as_raw(), scope)
    }

    fn denied(pid: i32, source: io::Error, uid: Option<u32>, own_uid: u32, scope: u32) -> Error {
        match uid {
            Some(uid) if uid != own_uid && own_uid != 0 => Error::OtherUser { pid, uid },
            _ if scope > 0 => Error::PtraceScope { pid, scope },
            _ => Error::Denied { pid, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_cause_of_a_refusal() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        let table = [
            (Some(0), 1000, 1, "belongs to another user (number 0)"),
            (Some(1000), 1000, 1, "ptrace_scope is 1"),
            (Some(1000), 0, 3, "ptrace_scope is 3"),
            (Some(1000), 1000, 0, "permission denied"),
            (None, 1000, 2, "ptrace_scope is 2"),
        ];
        for (uid, own_uid, scope, expected) in table {
            let error = Error::denied(7, refused(), uid, own_uid, scope).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
