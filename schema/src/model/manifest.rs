//! What is true of a whole recording: the JSON under the key `pyrec` in a trace's footer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of the trace format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The facts of a recording. A fact that nobody could know is null, never a guess.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] at the time of writing.
    pub format: u32,
    /// The name and version of what wrote the trace.
    pub writer: String,
    /// What was run, word by word; empty for an attached process.
    pub command: Vec<String>,
    /// The pids that were attached to; empty for a launched command.
    pub attached: Vec<i32>,
    /// The directory that the program ran in when the recording began: its project.
    #[serde(default)]
    pub directory: Option<String>,
    /// Every Python that was seen, the first one first.
    pub python: Vec<Python>,
    /// `agent` or `usdt`, or `import` for what another tool captured.
    pub provider: String,
    /// The names of the marker groups that were recorded.
    pub markers: Vec<String>,
    /// The globs that functions had to match to be recorded, one of them; none: all were.
    #[serde(default)]
    pub include: Vec<String>,
    /// The globs that no recorded function matches.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How `time_ns` was measured.
    pub clock: Clock,
    /// Where.
    pub host: Host,
    /// What recording one event cost the program, nanoseconds, as measured in that run.
    pub cost_per_event_ns: Option<f64>,
    /// How long the program waited for the recorder in all, nanoseconds.
    pub waited_ns: Option<u64>,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// What of the recording this is; all of it if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Excerpt>,
    /// Where a killed recorder has left what is not in the file; none once the file is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<JournalLocation>,
    /// Which file of a rotated recording this is; none where there is but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<RotationPart>,
    /// How many of the last row groups the next checkpoint writes once more, and then over: while a file grows, they must be
    /// read at once. None once it is done.
    #[serde(default, rename = "unsettled_row_groups", skip_serializing_if = "is_zero")]
    pub live_row_groups: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The part of a recording that somebody cut out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// From here on, nanoseconds since the first event of the recording; none: from its beginning.
    pub from_ns: Option<u64>,
    /// Up to here; none: to its end.
    pub to_ns: Option<u64>,
    /// How long the recording was, nanoseconds.
    #[serde(rename = "of_ns")]
    pub recording_ns: u64,
    /// Whether only what happened inside calls of one function was kept.
    pub is_inside: bool,
    /// Whether only some threads were kept.
    pub is_some_threads: bool,
    /// Whether it is parts of several recordings: then nobody can say from when to when.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_several: bool,
}

impl Excerpt {
    /// What is left of it from one instant to another, since its own first event.
    pub fn cut(&self, from_ns: Option<u64>, to_ns: Option<u64>) -> Excerpt {
        let since = |time_ns: u64| time_ns.saturating_add(self.from_ns.unwrap_or(0));
        Excerpt {
            from_ns: from_ns.map(since).or(self.from_ns),
            to_ns: to_ns.map(since).or(self.to_ns),
            ..self.clone()
        }
    }
}

/// Where a killed recorder has left what is not in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLocation {
    /// The directory, on the machine that recorded.
    pub directory: PathBuf,
    /// The number of the checkpoint that the footer is.
    pub checkpoint: u64,
}

/// One file of a rotated recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPart {
    /// The same in all files of a recording, and in no others.
    pub recording: String,
    /// Counted from 1. Files that were thrown away leave gaps.
    pub number: u64,
    /// Its first row group says again what was open when it began, for whoever does not have the file before.
    #[serde(rename = "carries")]
    pub has_open_state: bool,
}

impl Manifest {
    /// A recording of which nothing is known but who wrote it, for those to complete who know more.
    pub fn unknown(writer: &str) -> Manifest {
        Manifest {
            format: FORMAT_VERSION,
            writer: writer.into(),
            command: vec![],
            attached: vec![],
            directory: None,
            python: vec![],
            provider: String::new(),
            markers: vec![],
            include: vec![],
            exclude: vec![],
            clock: Clock { source: "monotonic".into(), anchor_monotonic_ns: 0, anchor_unix_ns: None },
            host: Host { system: String::new(), machine: String::new(), processors: 0, name: String::new() },
            cost_per_event_ns: None,
            waited_ns: None,
            ended: RecordingEnd::Recording,
            slice: None,
            session: None,
            part: None,
            live_row_groups: 0,
        }
    }
}

/// One Python interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// Its version, as `3.13.0`.
    pub version: String,
    /// `sys.version`, the build included.
    pub build: Option<String>,
    /// The path of its program.
    pub executable: Option<String>,
    /// `sys.path`, from which modules get their names.
    pub path: Vec<String>,
}

/// How `time_ns` was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// `tsc` (the processor's counter, fitted to `CLOCK_MONOTONIC`) or `monotonic` (that clock itself); for what another
    /// tool captured, that tool.
    pub source: String,
    /// An instant on `CLOCK_MONOTONIC`, nanoseconds …
    pub anchor_monotonic_ns: i64,
    /// … and the same instant in Unix time, nanoseconds, if anybody knows it.
    pub anchor_unix_ns: Option<i64>,
}

impl Clock {
    /// An instant of the recording in Unix time, nanoseconds.
    pub fn unix_ns(&self, time_ns: i64) -> Option<i64> {
        Some(time_ns.saturating_sub(self.anchor_monotonic_ns).saturating_add(self.anchor_unix_ns?))
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The kernel's name and release.
    pub system: String,
    /// Its architecture, as `x86_64`.
    pub machine: String,
    /// How many processors it may use.
    pub processors: usize,
    /// Its name in the network.
    pub name: String,
}

/// How a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum RecordingEnd {
    /// It had not: the footer is a checkpoint, and the recorder never wrote another.
    Recording,
    /// The program ended by itself with this status.
    Exited {
        /// Its exit status.
        status: i32,
    },
    /// The program was ended by a signal.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// The process that was attached to ended; only its parent knows how.
    Gone,
    /// Somebody ended the recording while the program ran on.
    Stopped,
    /// Nobody knows: it is another tool's.
    Unknown,
    /// The recorder was killed. What it left was put back into the file.
    Repaired,
    /// The recorder could not go on, for this reason.
    Failed {
        /// The reason, a sentence.
        reason: String,
    },
    /// Several recordings, read as one, ended in several ways. No trace says so of itself.
    Several {
        /// How many ended how.
        endings: BTreeMap<String, u64>,
        /// How many of them are cut short.
        cut: u64,
    },
}

impl RecordingEnd {
    /// Whether the recorder did not live to say what it lost.
    pub fn is_cut(&self) -> bool {
        match self {
            RecordingEnd::Recording | RecordingEnd::Failed { .. } => true,
            RecordingEnd::Several { cut, .. } => *cut > 0,
            RecordingEnd::Exited { .. }
            | RecordingEnd::Killed { .. }
            | RecordingEnd::Gone
            | RecordingEnd::Stopped
            | RecordingEnd::Repaired
            | RecordingEnd::Unknown => false,
        }
    }
}

impl std::fmt::Display for RecordingEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecordingEnd::Recording => f.write_str("not finished: recorded still, or cut short"),
            RecordingEnd::Repaired => {
                f.write_str("cut short: the recorder was killed, and the file repaired")
            }
            RecordingEnd::Exited { status } => write!(f, "exited with {status}"),
            RecordingEnd::Killed { signal } => write!(f, "killed by signal {signal}"),
            RecordingEnd::Gone => f.write_str("ended by itself"),
            RecordingEnd::Stopped => f.write_str("stopped while the program ran on"),
            RecordingEnd::Unknown => f.write_str("ended in a way unknown"),
            RecordingEnd::Failed { reason } => write!(f, "failed: {reason}"),
            RecordingEnd::Several { endings, .. } => {
                let ways: Vec<String> = endings.iter().map(|(how, count)| format!("{count} {how}")).collect();
                f.write_str(&ways.join(" and "))
            }
        }
    }
}
