//! Errors of attaching to static markers and of reading their events. Each message is one sentence
//! that ends with the next step.

use std::io;
use std::path::PathBuf;

use crate::os::capabilities::{Capability, CapabilitySet, denial_reason};

/// An error of attaching to static markers or of reading their events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program or library cannot be read.
    #[error("cannot read {path}: {source}; run pyrec as a user with read access, or with CAP_SYS_PTRACE")]
    Unreadable {
        /// The program or library.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The file is not an ELF program for x86-64.
    #[error("{path} is not a 64-bit x86 program ({reason}); give the path of the Python interpreter")]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// The reason, as a clause.
        reason: String,
    },
    /// Neither the program nor a library that it needs contains CPython.
    #[error(
        "{path} is not Python: neither the file nor a library that it needs contains an interpreter; give the path of a Python interpreter"
    )]
    NotPython {
        /// The program.
        path: PathBuf,
    },
    /// `libpython` is in none of the directories that the loader searches.
    #[error(
        "{path} needs {library}, which is in no directory that the loader searches; add its directory to LD_LIBRARY_PATH"
    )]
    NoLibrary {
        /// The program.
        path: PathBuf,
        /// The library.
        library: String,
    },
    /// CPython was built without static markers.
    #[error("{path} has no markers: it was built without --with-dtrace; use --provider agent")]
    NoMarkers {
        /// The program or library.
        path: PathBuf,
    },
    /// CPython lacks markers of the requested groups.
    #[error("{path} (CPython {version}) has no {missing} markers; {}", missing_remedy(present))]
    MissingMarkers {
        /// The program or library.
        path: PathBuf,
        /// Its version.
        version: String,
        /// The requested groups that have no markers, joined with "and".
        missing: String,
        /// The requested groups that have markers, as `--markers` takes them.
        present: String,
    },
    /// The memory layout of this CPython version is unknown.
    #[error(
        "the usdt provider does not support how CPython {version} ({path}) lays out its frames; use --provider agent, or leave function and line out of --markers"
    )]
    UnknownLayout {
        /// The program or library.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A note or symbol of the file is invalid.
    #[error("{path} cannot be attached to: {reason}; use --provider agent, and report this as a bug")]
    Unsupported {
        /// The program or library.
        path: PathBuf,
        /// The reason, as a clause.
        reason: String,
    },
    /// The recorder lacks the capabilities that an operation needs.
    #[error(
        "reading markers needs root, or the capabilities CAP_BPF and CAP_PERFMON: the kernel refused to {what} ({reason}); run it with sudo, or use --provider agent"
    )]
    NoRights {
        /// The operation, as in "refused to …".
        what: &'static str,
        /// The error of the kernel.
        reason: String,
    },
    /// The kernel refuses an operation although the recorder has the capabilities for it.
    #[error(
        "the kernel refused to {what} ({reason}) though the rights are there: {barrier}; or use --provider agent"
    )]
    Barred {
        /// The operation, as in "refused to …".
        what: &'static str,
        /// The error of the kernel.
        reason: String,
        /// The security mechanism that refuses it, and what to do.
        barrier: &'static str,
    },
    /// The process ended before the probes were attached.
    #[error(
        "process {pid} ended before its markers were attached; start it again, or launch it with pyrec: pyrec record CMD"
    )]
    Gone {
        /// The process.
        pid: i32,
    },
    /// An operation of the kernel failed for another reason than rights.
    #[error("the kernel could not {what} ({reason}); Linux 5.15 or later with BPF and uprobes is required")]
    Kernel {
        /// The operation, as in "could not …".
        what: &'static str,
        /// The error of the kernel.
        reason: String,
    },
    /// The probes exceed the BPF program's table of marker sites.
    #[error("too many different Pythons to record at once; select processes with -p")]
    TooManyPythons,
    /// A record of the BPF program is invalid.
    #[error("the BPF program sent an invalid record; record again, and report this as a bug if it recurs")]
    Malformed,
}

/// The name of the operation of attaching a probe in messages.
pub(super) const PLACE: &str = "place a probe";

fn missing_remedy(present: &str) -> String {
    match present {
        "" => "use --provider agent".into(),
        present => format!("use --provider agent, or record what there is: --markers {present}"),
    }
}

impl Error {
    /// Converts an error of libbpf in the operation `what`. For `map_err`.
    pub(super) fn kernel(what: &'static str) -> impl FnOnce(libbpf_rs::Error) -> Error {
        move |error| Error::refused(what, root_cause(&error))
    }

    /// Converts an error of a system call in the operation `what`.
    pub(super) fn kernel_said(what: &'static str, error: &io::Error) -> Error {
        Error::refused(what, error.to_string())
    }

    fn refused(what: &'static str, reason: String) -> Error {
        let is = |code| reason == io::Error::from_raw_os_error(code).to_string();
        // EACCES is a matter of rights only for attaching: the verifier rejects programs with it,
        // too.
        let is_refusal = is(libc::EPERM) || is(libc::EACCES) && what == PLACE;
        let rights = CapabilitySet::effective();
        if is_refusal && rights.has(Capability::Bpf) && rights.has(Capability::Perfmon) {
            Error::Barred { what, reason, barrier: denial_reason() }
        } else if is_refusal {
            Error::NoRights { what, reason }
        } else {
            Error::Kernel { what, reason }
        }
    }
}

/// The innermost cause, without the context that libbpf adds.
fn root_cause(error: &libbpf_rs::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
