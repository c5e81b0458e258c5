//! What to record and how, as the command's flags resolve to it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use pyrec_schema::MarkerGroup;
use pyrec_wire::FunctionFilter;

use crate::{Error, Result};

/// With a limit on what is kept and no size for a file, each file holds this fraction of the limit.
const FILES_PER_KEPT_LIMIT: u32 = 8;

/// The input of [`crate::record`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The events to record.
    pub capture: Capture,
    /// The trace to create. The path must not exist.
    pub output: PathBuf,
    /// How the trace is split into files.
    pub rotation: Rotation,
    /// Ends the recording when the trace has this length, in bytes.
    pub max_bytes: Option<u64>,
    /// Ends the recording of a running process after this time.
    pub duration: Option<Duration>,
}

/// An amount of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOrDuration {
    /// Bytes of trace files.
    Size(u64),
    /// Time of recording.
    Duration(Duration),
}

/// How a trace is split into files, and which of them are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Amount after which a new file begins. If none, it is derived from `keep`.
    pub rotate: Option<SizeOrDuration>,
    /// Amount of the most recent files that is kept; older ones are removed. If none, all are kept.
    pub keep: Option<SizeOrDuration>,
}

impl Rotation {
    /// Whether the trace is a directory of files rather than one file.
    pub fn is_enabled(&self) -> bool {
        self.rotate.is_some() || self.keep.is_some()
    }

    /// Amount after which a new file begins.
    pub(crate) fn file_limit(&self) -> SizeOrDuration {
        let fraction = |keep| match keep {
            SizeOrDuration::Size(bytes) => SizeOrDuration::Size(bytes / u64::from(FILES_PER_KEPT_LIMIT)),
            SizeOrDuration::Duration(time) => SizeOrDuration::Duration(time / FILES_PER_KEPT_LIMIT),
        };
        self.rotate.or(self.keep.map(fraction)).unwrap_or(SizeOrDuration::Size(u64::MAX))
    }
}

/// Which events are taken, from which processes, and how.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The program to launch, or the processes to attach to.
    pub target: Target,
    /// The source of events.
    pub provider: ProviderChoice,
    /// The marker groups to take.
    pub groups: Vec<MarkerGroup>,
    /// Takes only functions that match one of these globs, by name, qualified name, or the end of
    /// the file's path. If empty, takes all functions.
    pub include: Vec<String>,
    /// Leaves out functions that match one of these globs.
    pub exclude: Vec<String>,
    /// What the program does when a ring is full.
    pub on_full: OnFull,
    /// Whether the agent exposes static markers of its own to other tools.
    pub expose_markers: bool,
}

impl Capture {
    /// Takes all functions, and lets the program wait when a ring is full.
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

    /// The compiled globs.
    pub(crate) fn filter(&self) -> Result<FunctionFilter> {
        FunctionFilter::new(&self.include, &self.exclude).map_err(Error::Filter)
    }
}

/// What is recorded, as the user requested it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A command to launch, as typed: a program with arguments, a `.py` file, or `-m` or `-c` with
    /// what follows. Never empty.
    Command(Vec<OsString>),
    /// Running processes, by pid. Never empty.
    Processes(Vec<i32>),
    /// Every Python process of the machine, including those that start later.
    Machine,
}

/// The provider to use: the value of `--provider`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderChoice {
    /// The agent for a launched command. For a running process the static markers, or else the
    /// agent.
    #[default]
    Auto,
    /// The agent: hooks inside the process.
    Agent,
    /// CPython's static markers (USDT), read through BPF.
    Usdt,
}

/// What the program does when a ring is full: the value of `--on-full`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It waits. No events are lost.
    #[default]
    Wait,
    /// It drops events. They are counted as lost.
    Drop,
}
