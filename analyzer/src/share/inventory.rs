//! The inventory of a trace: the strings that may be secret, and how events are spread over time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pyrec_schema::{Code, Columns, Event, Marker, TextId, Trace};
use rustc_hash::FxHashSet;

use super::paths::PathRedactor;
use crate::Result;

/// The strings of a trace that may be secret, by what they name, and its events over time.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The files of code objects.
    pub files: BTreeSet<String>,
    /// The qualified names, and paths, of what other machines have too: of Python, of the system,
    /// of installed packages and of C functions.
    pub public_names: BTreeSet<String>,
    /// The qualified names, redacted paths, modules and classes of the program.
    pub program_names: BTreeSet<String>,
    /// The command lines of processes.
    pub commands: BTreeSet<Arc<str>>,
    /// The names of threads.
    pub threads: BTreeSet<Arc<str>>,
    /// The names of audit events.
    pub audits: BTreeSet<Arc<str>>,
    /// The files whose source text is in the trace.
    pub sources: BTreeSet<String>,
    /// The number of events over time.
    pub times: EventTimes,
}

impl Inventory {
    /// Reads all rows of a trace.
    pub fn read(trace: &Trace, paths: &PathRedactor) -> Result<Inventory> {
        let mut inventory = Inventory::default();
        let (mut codes, mut texts) = (FxHashSet::default(), FxHashSet::default());
        for file in trace.files() {
            for row_group in 0..file.row_groups() {
                for batch in file.read(row_group, Columns::ALL)? {
                    for event in batch?.iter() {
                        if event.marker.is_event() {
                            inventory.times.add(event.time_ns);
                        }
                        if event.text != TextId::NONE && texts.insert((event.marker, event.text)) {
                            inventory.add_text(&event, trace);
                        }
                        if codes.insert(event.code) {
                            inventory.add_code(&trace.names().code_str(event.code), paths);
                        }
                    }
                }
            }
        }
        Ok(inventory)
    }

    fn add_code(&mut self, code: &str, paths: &PathRedactor) {
        let code = Code::parse(code);
        let public = match code.file {
            "" => None,
            file if file.starts_with('<') => Some(file),
            file => paths.public_part(file),
        };
        match public {
            Some(part) => self.public_names.extend([part.to_owned(), code.qualname.to_owned()]),
            None => self.program_names.extend([paths.redact_file(code.file), code.qualname.to_owned()]),
        }
        self.files.insert(code.file.to_owned());
    }

    fn add_text(&mut self, event: &Event, trace: &Trace) {
        let Some(text) = trace.names().text_str(event.text) else { return };
        match event.marker {
            Marker::ProcessStart => self.commands.insert(text),
            Marker::ThreadStart => self.threads.insert(text),
            Marker::Audit => self.audits.insert(text),
            Marker::CfunctionEntry | Marker::CfunctionReturn => self.public_names.insert(text.to_string()),
            Marker::ImportStart | Marker::ImportDone => self.program_names.insert(text.to_string()),
            Marker::InstanceStart | Marker::InstanceDone => self.program_names.insert(text.to_string()),
            Marker::Source => {
                let code = trace.names().code_str(event.code);
                self.sources.insert(Code::parse(&code).file.to_owned())
            }
            _ => false,
        };
    }
}

/// The number of events over time, as a histogram with a bounded number of buckets.
#[derive(Debug)]
pub struct EventTimes {
    /// The width of a bucket is 2^power nanoseconds.
    power: u32,
    /// The number of events in each bucket, by the bucket's start divided by its width.
    buckets: BTreeMap<i64, u64>,
}

/// If there are more, neighbouring buckets are merged.
const MAX_BUCKETS: usize = 1 << 14;

impl Default for EventTimes {
    fn default() -> Self {
        EventTimes { power: 16, buckets: BTreeMap::new() }
    }
}

impl EventTimes {
    fn add(&mut self, time_ns: i64) {
        *self.buckets.entry(time_ns >> self.power).or_default() += 1;
        while self.buckets.len() > MAX_BUCKETS {
            self.power += 1;
            for (bucket, events) in std::mem::take(&mut self.buckets) {
                *self.buckets.entry(bucket >> 1).or_default() += events;
            }
        }
    }

    /// The number of events between two instants. Buckets that are partly outside count as a whole.
    pub fn count_between(&self, from_ns: i64, to_ns: i64) -> u64 {
        let (from, to) = (from_ns >> self.power, to_ns >> self.power);
        if from > to { 0 } else { self.buckets.range(from..=to).map(|(_, events)| events).sum() }
    }

    /// The earliest instant from which there are at most `events` events until `to_ns`, to within a
    /// bucket. `to_ns` itself if the last bucket alone has more.
    pub fn start_of_last(&self, events: u64, to_ns: i64) -> i64 {
        let (mut left, mut from_ns) = (events, to_ns);
        for (&bucket, &events) in self.buckets.range(..=to_ns >> self.power).rev() {
            if events > left {
                break;
            }
            left -= events;
            from_ns = bucket << self.power;
        }
        from_ns
    }

    /// The end of the last bucket, in nanoseconds.
    pub fn end_ns(&self) -> i64 {
        let last = self.buckets.last_key_value();
        last.map_or(0, |(&bucket, _)| (bucket << self.power).saturating_add(1 << self.power))
    }
}

#[cfg(test)]
mod tests {
    //! A long recording in a bounded number of buckets.

    use super::*;

    #[test]
    fn the_start_of_the_last_events_is_found_in_a_long_recording() {
        let mut times = EventTimes::default();
        // One event per millisecond for an hour: far more than the maximum number of buckets.
        const MS: i64 = 1_000_000;
        (0..3_600_000).for_each(|ms| times.add(ms * MS));
        assert!(times.buckets.len() <= MAX_BUCKETS);
        let end_ns = 3_600_000 * MS;
        let from_ns = times.start_of_last(60_000, end_ns);
        let found = (end_ns - from_ns) / MS;
        assert!((59_000..=60_000).contains(&found), "{found}");
        assert!(times.count_between(from_ns, end_ns) <= 60_000);
        assert_eq!(times.start_of_last(0, end_ns), end_ns);
        assert!(times.start_of_last(u64::MAX, end_ns) <= 0);
    }
}
