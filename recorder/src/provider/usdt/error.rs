//! Why the markers of a program could not be attached or read. Each message is one sentence with the next step.

use std::io;
use std::path::PathBuf;

use crate::os::capabilities::{Capability, CapabilitySet, denial_reason};

/// Why the markers of a program could not be attached or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read {path}: {source}; run pyrec as a user who can, or with CAP_SYS_PTRACE")]
    Unreadable {
        /// The program or library.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no program that this machine can run.
    #[error("{path} is not a 64-bit x86 program ({reason}); give the Python interpreter itself")]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program without an interpreter in it.
    #[error(
        "{path} is not Python: neither it nor a library that it needs has an interpreter in it; give a Python interpreter"
    )]
    NotPython {
        /// The program.
        path: PathBuf,
    },
    /// The interpreter's library is not where the loader would look.
    #[error(
        "{path} needs {library}, which is not where the loader looks; name its folder in LD_LIBRARY_PATH"
    )]
    NoLibrary {
        /// The program.
        path: PathBuf,
        /// The library.
        library: String,
    },
    /// A Python without markers.
    #[error("{path} has no markers: it was built without --with-dtrace; use --provider agent")]
    NoMarkers {
        /// The program or library.
        path: PathBuf,
    },
    /// A Python with some markers, but without these.
    #[error("{path} (CPython {version}) has no {missing} markers; {}", missing_remedy(present))]
    MissingMarkers {
        /// The program or library.
        path: PathBuf,
        /// Its version.
        version: String,
        /// The groups asked for that it has no markers for.
        missing: String,
        /// The groups asked for that it does have, as `--markers` takes them.
        present: String,
    },
    /// A Python whose frames we cannot read.
    #[error(
        "the usdt provider does not know how CPython {version} ({path}) lays out its frames; use --provider agent, or leave function and line out of --markers"
    )]
    UnknownLayout {
        /// The program or library.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A note or symbol that makes no sense.
    #[error("{path} cannot be attached to: {reason}; use --provider agent, and report this")]
    Unsupported {
        /// The program or library.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The kernel refuses.
    #[error(
        "reading markers needs root, or the capabilities CAP_BPF and CAP_PERFMON: the kernel refused to {what} ({reason}); run it with sudo, or use --provider agent"
    )]
    NoRights {
        /// What was refused.
        what: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// The kernel refuses somebody who has the rights.
    #[error(
        "the kernel refused to {what} ({reason}) though the rights are there: {barrier}; or use --provider agent"
    )]
    Barred {
        /// What was refused.
        what: &'static str,
        /// What the kernel said.
        reason: String,
        /// What is in the way.
        barrier: &'static str,
    },
    /// The process has ended.
    #[error(
        "process {pid} ended before its markers were attached; start it again, or let pyrec start it: pyrec record CMD"
    )]
    Gone {
        /// The process.
        pid: i32,
    },
    /// The kernel fails.
    #[error("the kernel could not {what} ({reason}); it must be Linux 5.15 or later with BPF and uprobes")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// More markers than the BPF program keeps places for.
    #[error("there are too many different Pythons to record at once; name some of them with -p")]
    TooManyPythons,
    /// The BPF program sent something that it never sends.
    #[error(
        "the kernel handed over a record that is none of ours; record again, and report this if it comes back"
    )]
    Malformed,
}

/// The operation of placing a probe, in messages.
pub(super) const PLACE: &str = "place a probe";

fn missing_remedy(present: &str) -> String {
    match present {
        "" => "use --provider agent".into(),
        present => format!("use --provider agent, or record what there is: --markers {present}"),
    }
}

impl Error {
    /// For `map_err` on what libbpf does.
    pub(super) fn kernel(what: &'static str) -> impl FnOnce(libbpf_rs::Error) -> Error {
        move |error| Error::refused(what, root_cause(&error))
    }

    /// The same for what the kernel says without libbpf.
    pub(super) fn kernel_said(what: &'static str, error: &io::Error) -> Error {
        Error::refused(what, error.to_string())
    }

    fn refused(what: &'static str, reason: String) -> Error {
        let is = |code| reason == io::Error::from_raw_os_error(code).to_string();
        // A program that the kernel finds fault with is refused with EACCES, too: that is no matter of rights.
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

/// What the system said, without the chain of what libbpf did meanwhile.
fn root_cause(error: &libbpf_rs::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
