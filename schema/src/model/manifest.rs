//! The manifest: the facts of a whole recording, stored as JSON under the key `pyrec` of a trace's
//! footer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of the trace format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The facts of a recording. Unknown facts are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The [`FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// The name and the version of the program that wrote the trace.
    pub writer: String,
    /// The arguments of the command that was run. Empty if the recorder attached to a process.
    pub command: Vec<String>,
    /// The pids of the processes that the recorder attached to. Empty if it launched a command.
    pub attached: Vec<i32>,
    /// The working directory of the program when the recording began. Files below it count as the
    /// program's own code.
    #[serde(default)]
    pub directory: Option<String>,
    /// The Python interpreters of the recording, in the order in which they were first seen.
    pub python: Vec<Python>,
    /// The provider: `agent` or `usdt`, or `import` for a capture by another tool.
    pub provider: String,
    /// The names of the recorded marker groups.
    pub markers: Vec<String>,
    /// Globs, one of which each recorded function matches. Empty if there was no such filter.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs, none of which any recorded function matches.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The clock of `time_ns`.
    pub clock: Clock,
    /// The machine that the program ran on.
    pub host: Host,
    /// The cost of recording one event, nanoseconds, as measured in the program during this
    /// recording.
    pub cost_per_event_ns: Option<f64>,
    /// How long threads of the program waited for the recorder, nanoseconds in total.
    pub waited_ns: Option<u64>,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// The excerpt that this trace is of a recording. `None` for a whole recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Excerpt>,
    /// The journal of this checkpoint. `None` in a finished file, and if there is no journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<JournalLocation>,
    /// Which file of a rotated recording this is. `None` if the recording is a single file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<RotationPart>,
    /// The number of live row groups, which are the last ones of the footer. The next checkpoint
    /// writes them again in another place, so readers must read them soon. 0 in a finished file.
    #[serde(default, rename = "unsettled_row_groups", skip_serializing_if = "is_zero")]
    pub live_row_groups: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// An excerpt of a recording, cut out by time or by other criteria.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The beginning, nanoseconds since the first event of the recording. `None`: the recording's
    /// beginning.
    pub from_ns: Option<u64>,
    /// The end, nanoseconds since the first event of the recording. `None`: the recording's end.
    pub to_ns: Option<u64>,
    /// The length of the whole recording, nanoseconds.
    #[serde(rename = "of_ns")]
    pub recording_ns: u64,
    /// Whether only events inside calls of one function were kept.
    pub is_inside: bool,
    /// Whether only some of the threads were kept.
    pub is_some_threads: bool,
    /// Whether it combines excerpts of several recordings. Then the times are meaningless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_several: bool,
}

impl Excerpt {
    /// The excerpt of this excerpt between two instants, nanoseconds since its own first event.
    pub fn cut(&self, from_ns: Option<u64>, to_ns: Option<u64>) -> Excerpt {
        let since_recording = |time_ns: u64| time_ns.saturating_add(self.from_ns.unwrap_or(0));
        Excerpt {
            from_ns: from_ns.map(since_recording).or(self.from_ns),
            to_ns: to_ns.map(since_recording).or(self.to_ns),
            ..self.clone()
        }
    }
}

/// Identifies the journal of a checkpoint. It holds the rows that were written after the
/// checkpoint, from which [`TraceWriter::recover`](crate::TraceWriter::recover) restores them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLocation {
    /// The session directory, on the machine that recorded.
    pub directory: PathBuf,
    /// The number of the checkpoint.
    pub checkpoint: u64,
}

/// Identifies one file of a rotated recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPart {
    /// The id of the recording, equal in all of its files.
    pub recording: String,
    /// The number of the file, counted from 1. Files that `--keep` removed leave gaps.
    pub number: u64,
    /// Whether the first row group repeats the open state at the beginning of the file: processes,
    /// threads and active calls. Readers of the previous file skip it.
    #[serde(rename = "carries")]
    pub has_open_state: bool,
}

impl Manifest {
    /// A manifest with unknown facts, for callers to complete.
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
    /// The version, such as `3.13.0`.
    pub version: String,
    /// `sys.version`, which includes the build.
    pub build: Option<String>,
    /// The path of the program that contains or loads the interpreter.
    pub executable: Option<String>,
    /// `sys.path`, from which the names of modules are derived.
    pub path: Vec<String>,
}

/// The clock of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The source of time stamps: `tsc` (the processor's time stamp counter, converted to
    /// `CLOCK_MONOTONIC`), `monotonic` (`CLOCK_MONOTONIC` itself), or the tool that captured an
    /// imported trace.
    pub source: String,
    /// One instant on `CLOCK_MONOTONIC`, nanoseconds.
    pub anchor_monotonic_ns: i64,
    /// The same instant in Unix time, nanoseconds, if it is known.
    pub anchor_unix_ns: Option<i64>,
}

impl Clock {
    /// Converts a time of the recording to Unix time, nanoseconds.
    pub fn unix_ns(&self, time_ns: i64) -> Option<i64> {
        Some(time_ns.saturating_sub(self.anchor_monotonic_ns).saturating_add(self.anchor_unix_ns?))
    }
}

/// The machine of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The kernel's name and release.
    pub system: String,
    /// The architecture, such as `x86_64`.
    pub machine: String,
    /// The number of available processors.
    pub processors: usize,
    /// The host name.
    pub name: String,
}

/// How a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum RecordingEnd {
    /// Not ended: the footer is a checkpoint. The recording is in progress, or the recorder was
    /// killed.
    Recording,
    /// The program exited.
    Exited {
        /// Its exit status.
        status: i32,
    },
    /// A signal killed the program.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// The attached process ended. Its exit status is available only to its parent.
    Gone,
    /// The recording was stopped and the program continued.
    Stopped,
    /// Unknown, in an imported trace.
    Unknown,
    /// The recorder was killed, and `pyrec repair` restored the rows of its journal and rings.
    Repaired,
    /// The recorder failed.
    Failed {
        /// The error message.
        reason: String,
    },
    /// Several recordings that are analyzed together, as in a merged profile. No trace has this
    /// end.
    Several {
        /// The number of recordings for each end.
        endings: BTreeMap<String, u64>,
        /// The number of recordings that were cut short.
        cut: u64,
    },
}

impl RecordingEnd {
    /// Whether the recorder did not finish the trace, so that the number of lost events is unknown.
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
