//! Facts of a recording, for `pyrec info`.

use pyrec_schema::{Host, Marker, RecordingEnd};

use crate::CallTree;
use crate::measure::Trust;

/// Facts of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceInfo {
    /// The number of rows of each marker that occurs, in the order of [`Marker::ALL`].
    pub markers: Vec<(Marker, u64)>,
    /// The time from the first event to the last. None if the trace has no events.
    pub duration_ns: Option<u64>,
    /// The number of threads with events.
    pub threads: usize,
    /// The number of processes with events.
    pub processes: usize,
    /// The provider: `agent` or `usdt`.
    pub provider: String,
    /// The Python versions of the recorded processes, without duplicates.
    pub python: Vec<String>,
    /// The recorded marker groups.
    pub groups: Vec<String>,
    /// The patterns that selected functions for the recording. Empty if there were none.
    pub include: Vec<String>,
    /// The patterns that excluded functions from the recording.
    pub exclude: Vec<String>,
    /// The time of the first event, in nanoseconds since the Unix epoch. None if the trace has no
    /// events, or no Unix time was recorded.
    pub start_unix_ns: Option<i64>,
    /// The machine on which the trace was recorded.
    pub host: Host,
    /// The program and version that wrote the trace.
    pub writer: String,
    /// The time that threads of the target process waited for the recorder, in total.
    pub waited_ns: Option<u64>,
    /// The arguments of the command. Empty if the recorder attached to a process.
    pub command: Vec<String>,
    /// The pids of the processes that the recorder attached to. Empty if it launched a command.
    pub attached: Vec<i32>,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// The facts of the trust line.
    pub trust: Trust,
}

impl TraceInfo {
    /// Collects the facts of a trace.
    pub fn of(calls: &CallTree) -> TraceInfo {
        let manifest = &calls.manifest;
        let counts = Marker::ALL.iter().map(|&marker| (marker, calls.counts.of(marker)));
        let mut python: Vec<String> = Vec::new();
        for version in manifest.python.iter().map(|python| &python.version) {
            if !python.contains(version) {
                python.push(version.clone());
            }
        }
        // Threads are sorted by process, so `dedup` keeps each pid once.
        let threads = calls.threads.iter().filter(|thread| thread.has_events());
        let mut pids: Vec<i32> = threads.map(|thread| thread.pid).collect();
        let threads = pids.len();
        pids.dedup();
        let has_events = calls.counts.events() > 0;
        TraceInfo {
            groups: manifest.markers.clone(),
            include: manifest.include.clone(),
            exclude: manifest.exclude.clone(),
            start_unix_ns: manifest.clock.unix_ns(calls.counts.first_ns).filter(|_| has_events),
            host: manifest.host.clone(),
            writer: manifest.writer.clone(),
            waited_ns: manifest.waited_ns,
            markers: counts.filter(|&(_, count)| count > 0).collect(),
            duration_ns: has_events.then(|| calls.counts.duration_ns()),
            threads,
            processes: pids.len(),
            provider: manifest.provider.clone(),
            python,
            command: manifest.command.clone(),
            attached: manifest.attached.clone(),
            ended: manifest.ended.clone(),
            trust: Trust::of(calls),
        }
    }
}
