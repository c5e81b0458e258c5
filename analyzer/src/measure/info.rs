//! Facts of a recording, for `pyrec info`.

use pyrec_schema::{Host, Marker, RecordingEnd};

use crate::CallTree;
use crate::measure::Trust;

/// Facts of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceInfo {
    /// The number of rows of each marker that occurs, in the order of [`Marker::ALL`].
    pub markers: Vec<(Marker, u64)>,
    /// The time from the first event to the last; none where there are no events.
    pub duration_ns: Option<u64>,
    /// The number of threads with events.
    pub threads: usize,
    /// The number of processes with events.
    pub processes: usize,
    /// The provider: `agent` or `usdt`.
    pub provider: String,
    /// The versions of Python, without duplicates.
    pub python: Vec<String>,
    /// The recorded marker groups.
    pub groups: Vec<String>,
    /// The patterns of the functions that were recorded; empty if all were.
    pub include: Vec<String>,
    /// The patterns of the functions that were not recorded.
    pub exclude: Vec<String>,
    /// The time of the first event in Unix time.
    pub start_unix_ns: Option<i64>,
    /// The machine.
    pub host: Host,
    /// The program and version that wrote the trace.
    pub writer: String,
    /// The time that the target process waited for the recorder.
    pub waited_ns: Option<u64>,
    /// The command, word by word.
    pub command: Vec<String>,
    /// The ids of the processes that the recorder attached to.
    pub attached: Vec<i32>,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// The trust of the recording.
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
        // Threads are sorted by process.
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
