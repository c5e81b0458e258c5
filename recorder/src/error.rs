//! Why a recording could not be made. Each message is one sentence that names the thing and the next step.

use std::io;
use std::path::PathBuf;

use pyrec_wire::InvalidGlob;

/// The result of any step of recording.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a recording could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program could not be started.
    #[error("cannot run {program}: {}; check its name, or give its path", launch_reason(source))]
    Launch {
        /// The program, as the user named it.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// No `python3` or `python` on the path, and the command needs one.
    #[error(
        "cannot run {what}: there is no python3 on the PATH; name the interpreter, as in `pyrec record /usr/bin/python3 …`"
    )]
    NoPython {
        /// What was to be run with it.
        what: String,
    },
    /// No binary to look for markers in.
    #[error(
        "cannot tell which Python {program} would run; name the interpreter, as in `pyrec record --provider usdt /usr/bin/python3.11 …`"
    )]
    NoBinary {
        /// The program, as the user named it.
        program: String,
    },
    /// There is no such process.
    #[error("there is no process {pid}; `pgrep -a python` lists the Pythons that run")]
    NoProcess {
        /// The number given.
        pid: i32,
    },
    /// The agent cannot enter a process that runs already.
    #[error(transparent)]
    Attach(#[from] crate::AttachError),
    /// The agent cannot enter everything that runs.
    #[error(
        "the agent is loaded only into programs that pyrec starts; record the machine with --provider usdt"
    )]
    AgentAll,
    /// The provider has no such markers.
    #[error("the {provider} provider cannot record `{group}`; leave it out of --markers")]
    NoSuchMarkers {
        /// `agent` or `usdt`.
        provider: &'static str,
        /// The marker group.
        group: &'static str,
    },
    /// No place for the rings.
    #[error(
        "cannot make a private directory for the recording in {path}: {source}; set TMPDIR to a directory that you can write to"
    )]
    Session {
        /// Where it was tried.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading the rings or definitions failed.
    #[error("the recording's own file {path} cannot be read: {source}; record again")]
    Ring {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A process wrote something that no agent writes.
    #[error(
        "process {pid} wrote something that is no event into {path}; record again, and report this if it comes back"
    )]
    Malformed {
        /// The process.
        pid: i32,
        /// The file.
        path: PathBuf,
    },
    /// What is to be repaired is still being recorded.
    #[error("it is still being recorded (its recorder holds {directory}); repair it when that has ended")]
    StillRecording {
        /// The recorder's session.
        directory: PathBuf,
    },
    /// Nobody who records a trace can be asked for anything.
    #[error(
        "{path} is not being recorded, or by the static markers; for those, send SIGUSR2 to the recorder"
    )]
    NotRecording {
        /// The trace.
        path: PathBuf,
    },
    /// A session that another version of pyrec left.
    #[error("{directory} was left by another version of pyrec; repair with that one")]
    OtherVersion {
        /// The session.
        directory: PathBuf,
    },
    /// A filter cannot be read.
    #[error("`{}` is not a pattern; write a name or a glob such as `json/*` or `Scheduler.*`", .0.0)]
    Filter(InvalidGlob),
    /// The static markers could not be attached or read.
    #[error(transparent)]
    Usdt(#[from] crate::provider::usdt::Error),
    /// The system refused something that recording needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The trace could not be written.
    #[error(transparent)]
    Trace(#[from] pyrec_schema::Error),
}

impl Error {
    /// For `map_err` on a system call.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { what, source: source.into() }
    }
}

fn launch_reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => "there is no such program".into(),
        io::ErrorKind::PermissionDenied => "it may not be executed".into(),
        _ => source.to_string(),
    }
}
