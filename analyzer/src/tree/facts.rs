//! What the rows of a thread say beside its calls.

use pyrec_schema::{Event, Marker, TextId};

/// What the rows of a thread say beside its calls. A number that the system gave to several threads, one after the
/// other, is one thread here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What Python said in it.
    pub events: u64,
    /// Events that were lost.
    pub lost: u64,
    /// Its last known name.
    pub name: TextId,
    /// When it was first heard of, `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: Option<i64>,
    /// When it was last heard of.
    pub last_ns: Option<i64>,
    /// When it last began, or its name became known.
    pub start_ns: Option<i64>,
    /// When it last ended.
    pub exit_ns: Option<i64>,
    /// What it says about its process.
    pub process: ProcessFacts,
}

/// What is said about a process, in whichever of its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Who started it.
    pub parent: Option<i64>,
    /// Its command line.
    pub command: TextId,
    /// When it was first seen.
    pub start_ns: Option<i64>,
    /// When it ended.
    pub exit_ns: Option<i64>,
    /// Its exit status.
    pub status: Option<i64>,
}

impl Facts {
    /// Takes note of a stretch of time in which there are rows.
    pub fn span(&mut self, from_ns: i64, to_ns: i64) {
        self.first_ns = earlier(self.first_ns, Some(from_ns.min(to_ns)));
        self.last_ns = self.last_ns.max(Some(to_ns.max(from_ns)));
    }

    /// Takes note of one of the recorder's own rows.
    #[cold]
    pub fn note(&mut self, event: &Event) {
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
                self.process.join(&ProcessFacts {
                    parent,
                    command: event.text,
                    start_ns,
                    ..Default::default()
                });
            }
            Marker::ProcessExit => {
                let (status, exit_ns) = (event.value, Some(event.time_ns));
                self.process.join(&ProcessFacts { status, exit_ns, ..Default::default() });
            }
            _ => {}
        }
    }

    /// When it ended, unless it goes on, or another one under its number does.
    pub fn ended_ns(&self) -> Option<i64> {
        self.exit_ns.filter(|&exit_ns| self.start_ns.is_none_or(|start_ns| start_ns <= exit_ns))
    }

    /// Adds what was noted in the stretch that follows.
    pub fn join(&mut self, next: &Facts) {
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

impl ProcessFacts {
    /// Adds what is said later.
    pub fn join(&mut self, next: &ProcessFacts) {
        self.parent = self.parent.or(next.parent);
        // A process can become another program.
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
