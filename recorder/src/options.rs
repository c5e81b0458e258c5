//! What to record.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use pyrec_schema::MarkerGroup;
use pyrec_wire::FunctionFilter;

use crate::{Error, Result};

/// Where only what is kept is said, files hold this part of it.
const FILES_KEPT: u32 = 8;

/// Everything that [`crate::record`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to record.
    pub capture: Capture,
    /// The trace to write; there must be no such file.
    pub output: PathBuf,
    /// How the trace is cut into files, if it is.
    pub rotation: Rotation,
    /// When to end the recording: when the trace is that long, in bytes.
    pub max_bytes: Option<u64>,
    /// When to end the recording of a process that runs already, counted from its beginning.
    pub duration: Option<Duration>,
}

/// How much of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bytes of files.
    Bytes(u64),
    /// Time of recording.
    Time(Duration),
}

/// How a recording is cut into files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// A new file begins after so much; none: as `keep` needs it.
    pub rotate: Option<Extent>,
    /// Files that are not among the last so much are removed.
    pub keep: Option<Extent>,
}

impl Rotation {
    /// Whether there is more than one file.
    pub fn is_wanted(&self) -> bool {
        self.rotate.is_some() || self.keep.is_some()
    }

    pub(crate) fn file(&self) -> Extent {
        let part = |keep| match keep {
            Extent::Bytes(bytes) => Extent::Bytes(bytes / u64::from(FILES_KEPT)),
            Extent::Time(time) => Extent::Time(time / FILES_KEPT),
        };
        self.rotate.or(self.keep.map(part)).unwrap_or(Extent::Bytes(u64::MAX))
    }
}

/// Whose events are taken, which of them, and how.
#[derive(Clone, Debug)]
pub struct Capture {
    /// What to run, or what to attach to.
    pub target: Target,
    /// Where events come from.
    pub provider: ProviderChoice,
    /// The markers.
    pub groups: Vec<MarkerGroup>,
    /// Take only functions that match one of these globs: by their name, their qualified name, or the end of their
    /// file's path. All, if there are none.
    pub include: Vec<String>,
    /// Take no functions that match one of these.
    pub exclude: Vec<String>,
    /// What the program does when events come faster than they can be taken.
    pub on_full: OnFull,
    /// Whether other tools are to find static markers in what the agent takes.
    pub expose_markers: bool,
}

impl Capture {
    /// All functions of a target; it waits when events come too fast.
    pub fn of(target: Target, provider: ProviderChoice, groups: Vec<MarkerGroup>) -> Capture {
        Capture {
            target,
            provider,
            groups,
            include: Vec::new(),
            exclude: Vec::new(),
            on_full: OnFull::default(),
            expose_markers: false,
        }
    }

    /// Which functions to take.
    pub(crate) fn filter(&self) -> Result<FunctionFilter> {
        FunctionFilter::new(&self.include, &self.exclude).map_err(Error::Filter)
    }
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A command to launch, as the user typed it: a program with its arguments, a `.py` file, or `-m` or `-c` with
    /// what follows. Never empty.
    Command(Vec<OsString>),
    /// Processes that run already. Never empty.
    Processes(Vec<i32>),
    /// Every Python on the machine, those that start later included.
    All,
}

/// What `--provider` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderChoice {
    /// The agent for a launched command, the static markers for a process that runs already.
    #[default]
    Auto,
    /// Hooks inside the process.
    Agent,
    /// CPython's static markers, read through BPF.
    Usdt,
}

/// What `--on-full` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// The program waits, and nothing is lost.
    #[default]
    Wait,
    /// Events are dropped, counted and told of.
    Drop,
}
