//! What was recorded.

use pyrec_schema::{Host, Marker, RecordingEnd};

use crate::CallTree;
use crate::measure::Trust;

/// What was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceInfo {
    /// Rows per marker, those that occur, in the order of [`Marker::ALL`].
    pub markers: Vec<(Marker, u64)>,
    /// From the first event to the last; none where there is no event.
    pub duration_ns: Option<u64>,
    /// How many threads had events.
    pub threads: usize,
    /// How many processes had events.
    pub processes: usize,
    /// `agent` or `usdt`.
    pub provider: String,
    /// The versions of Python that were seen, each once.
    pub python: Vec<String>,
    /// The groups of markers that were recorded.
    pub groups: Vec<String>,
    /// Only functions that match one of these globs were recorded; all, if there are none.
    pub include: Vec<String>,
    /// No functions that match one of these were recorded.
    pub exclude: Vec<String>,
    /// When the first event was, in Unix time.
    pub start_unix_ns: Option<i64>,
    /// On which machine.
    pub host: Host,
    /// What wrote it.
    pub writer: String,
    /// How long the program waited for the recorder.
    pub waited_ns: Option<u64>,
    /// What was run, word by word.
    pub command: Vec<String>,
    /// The processes that were attached to.
    pub attached: Vec<i32>,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// How far to trust it.
    pub trust: Trust,
}

impl TraceInfo {
    /// Takes the facts together.
    pub fn of(calls: &CallTree) -> TraceInfo {
        let manifest = &calls.manifest;
        let counts = Marker::ALL.iter().map(|&marker| (marker, calls.counts.of(marker)));
        let mut python: Vec<String> = Vec::new();
        for version in manifest.python.iter().map(|python| &python.version) {
            if !python.contains(version) {
                python.push(version.clone());
            }
        }
        // Threads are in the order of their processes.
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
