//! What is known about a thread and its process beside its calls.

use pyrec_schema::{Event, Marker, TextId};

/// The facts about a thread in its rows, beside its calls. Threads that had the same id one after
/// another are one thread here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadInfo {
    /// The number of events, without the recorder's own rows.
    pub events: u64,
    /// The number of lost events.
    pub lost: u64,
    /// Its last known name.
    pub name: TextId,
    /// The time of its first row, in `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: Option<i64>,
    /// The time of its last row.
    pub last_ns: Option<i64>,
    /// The time of the last row about its start or its name.
    pub start_ns: Option<i64>,
    /// The time of the last row about its end.
    pub exit_ns: Option<i64>,
    /// The facts about its process.
    pub process: ProcessInfo,
}

/// What is known about a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// The id of its parent process.
    pub parent: Option<i64>,
    /// Its command line.
    pub command: TextId,
    /// The time of the first row about its start.
    pub start_ns: Option<i64>,
    /// The time of its end.
    pub exit_ns: Option<i64>,
    /// Its exit status.
    pub status: Option<i64>,
}

impl ThreadInfo {
    /// Extends the time span to include rows between two times.
    pub fn extend_span(&mut self, from_ns: i64, to_ns: i64) {
        self.first_ns = earlier(self.first_ns, Some(from_ns.min(to_ns)));
        self.last_ns = self.last_ns.max(Some(to_ns.max(from_ns)));
    }

    /// Reads one of the recorder's own rows.
    #[cold]
    pub fn read(&mut self, event: &Event) {
        match event.marker {
            Marker::Lost => {
                let lost = event.value.and_then(|lost| u64::try_from(lost).ok()).unwrap_or(0);
                self.lost = self.lost.saturating_add(lost);
            }
            Marker::ThreadStart => {
                self.name = known(self.name, event.text);
                self.start_ns = self.start_ns.max(Some(event.time_ns));
            }
            Marker::ThreadExit => self.exit_ns = self.exit_ns.max(Some(event.time_ns)),
            Marker::ProcessStart => {
                let (parent, start_ns) = (event.value, Some(event.time_ns));
                self.process.join(&ProcessInfo {
                    parent,
                    command: event.text,
                    start_ns,
                    ..Default::default()
                });
            }
            Marker::ProcessExit => {
                let (status, exit_ns) = (event.value, Some(event.time_ns));
                self.process.join(&ProcessInfo { status, exit_ns, ..Default::default() });
            }
            _ => {}
        }
    }

    /// The time of its end. None if it has not ended, or if a later thread with its id has begun.
    pub fn ended_ns(&self) -> Option<i64> {
        self.exit_ns.filter(|&exit_ns| self.start_ns.is_none_or(|start_ns| start_ns <= exit_ns))
    }

    /// Adds the facts in later rows.
    pub fn join(&mut self, next: &ThreadInfo) {
        self.events += next.events;
        self.lost = self.lost.saturating_add(next.lost);
        self.name = known(self.name, next.name);
        self.first_ns = earlier(self.first_ns, next.first_ns);
        self.last_ns = self.last_ns.max(next.last_ns);
        self.start_ns = self.start_ns.max(next.start_ns);
        self.exit_ns = self.exit_ns.max(next.exit_ns);
        self.process.join(&next.process);
    }
}

impl ProcessInfo {
    /// Adds the facts in later rows or in rows of other threads of the process.
    pub fn join(&mut self, next: &ProcessInfo) {
        self.parent = self.parent.or(next.parent);
        // `exec` replaces the program of a process.
        self.command = known(self.command, next.command);
        self.start_ns = earlier(self.start_ns, next.start_ns);
        self.exit_ns = next.exit_ns.or(self.exit_ns);
        self.status = next.status.or(self.status);
    }
}

fn known(before: TextId, after: TextId) -> TextId {
    if after == TextId::NONE { before } else { after }
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}
