//! Errors of recording. Each message is one sentence that names the cause and the next step.

use std::io;
use std::path::PathBuf;

use pyrec_wire::InvalidGlob;

/// The result of a step of recording.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a recording could not be made, or a trace not be repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program could not be started.
    #[error("cannot run {program}: {}; check its name, or give its path", launch_failure(source))]
    Launch {
        /// The program, as the user named it.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// The command needs a Python, and there is no `python3` or `python` on the path.
    #[error(
        "cannot run {what}: there is no python3 on the PATH; name the interpreter, as in `pyrec record /usr/bin/python3 …`"
    )]
    NoPython {
        /// The script, `-m` or `-c`.
        what: String,
    },
    /// The binary that holds the static markers of a command could not be determined.
    #[error(
        "cannot determine which Python {program} runs; name the interpreter, as in `pyrec record --provider usdt /usr/bin/python3.11 …`"
    )]
    NoBinary {
        /// The program, as the user named it.
        program: String,
    },
    /// There is no such process.
    #[error("there is no process {pid}; `pgrep -a python` lists the running Pythons")]
    NoProcess {
        /// The pid.
        pid: i32,
    },
    /// The agent could not attach to a running process.
    #[error(transparent)]
    Attach(#[from] crate::AttachError),
    /// The agent provider was requested for the whole machine.
    #[error("the agent cannot record the whole machine; use --provider usdt")]
    MachineByAgent,
    /// The provider cannot record a marker group.
    #[error("the {provider} provider cannot record `{group}`; leave it out of --markers")]
    NoSuchMarkers {
        /// `agent` or `usdt`.
        provider: &'static str,
        /// The marker group.
        group: &'static str,
    },
    /// No session directory could be created.
    #[error(
        "cannot create a private directory for the recording in {path}: {source}; set TMPDIR to a directory that only you can write to"
    )]
    CreateSession {
        /// The directory in which it was tried.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of the session could not be read.
    #[error("cannot read the recording's session file {path}: {source}; record again")]
    SessionFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A process wrote a record or definition that no agent writes.
    #[error(
        "process {pid} wrote an invalid record into {path}; record again, and report this if it happens again"
    )]
    InvalidRecord {
        /// The process.
        pid: i32,
        /// The file.
        path: PathBuf,
    },
    /// The trace to repair is still being recorded.
    #[error(
        "the trace is still being recorded (its recorder holds {directory}); repair it after the recording has ended"
    )]
    StillRecording {
        /// The recorder's session directory.
        directory: PathBuf,
    },
    /// The trace has no running recorder that could be found.
    #[error(
        "cannot request a snapshot of {path}: it is not being recorded, or it is recorded by static markers; for those, send SIGUSR2 to the recorder"
    )]
    NotRecording {
        /// The trace.
        path: PathBuf,
    },
    /// The session was created by another version of pyrec.
    #[error(
        "the session {directory} was created by another version of pyrec; repair the trace with that version"
    )]
    OtherVersion {
        /// The session directory.
        directory: PathBuf,
    },
    /// A filter is not a valid glob.
    #[error("`{}` is not a pattern; write a name or a glob such as `json/*` or `Scheduler.*`", .0.0)]
    Filter(InvalidGlob),
    /// The static markers could not be attached or read.
    #[error(transparent)]
    Usdt(#[from] crate::provider::usdt::Error),
    /// A system call failed that recording needs.
    #[error("cannot {what}: {source}")]
    System {
        /// The action.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The trace could not be written or read.
    #[error(transparent)]
    Trace(#[from] pyrec_schema::Error),
}

impl Error {
    /// Returns a conversion for `map_err` on a system call.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { what, source: source.into() }
    }

    /// The error of [`switch_to`](crate::os::fs_credentials::switch_to).
    pub(crate) fn credentials(source: io::Error) -> Error {
        Error::System { what: "switch to the credentials of the program's user", source }
    }
}

fn launch_failure(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => "there is no such program".into(),
        io::ErrorKind::PermissionDenied => "it is not executable".into(),
        _ => source.to_string(),
    }
}
