//! What a recording holds that may be secret, and when its rows are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pyrec_schema::{Code, Columns, Event, Marker, TextId, Trace};
use rustc_hash::FxHashSet;

use super::place::Places;
use crate::Result;

/// What a recording holds, read once.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Files of code objects.
    pub files: BTreeSet<String>,
    /// Qualified names, of modules, functions and functions in C: those that every machine has, …
    pub public_names: BTreeSet<String>,
    /// … and those of the program.
    pub own_names: BTreeSet<String>,
    /// Command lines of processes.
    pub commands: BTreeSet<Arc<str>>,
    /// Names of threads.
    pub threads: BTreeSet<Arc<str>>,
    /// Names of audit events.
    pub audits: BTreeSet<Arc<str>>,
    /// Files with their text.
    pub sources: BTreeSet<String>,
    /// When rows are.
    pub times: Times,
}

impl Inventory {
    /// Reads a recording.
    pub fn read(trace: &Trace, places: &Places) -> Result<Inventory> {
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
                            inventory.learn_text(&event, trace);
                        }
                        if codes.insert(event.code) {
                            inventory.learn_code(&trace.names().code_str(event.code), places);
                        }
                    }
                }
            }
        }
        Ok(inventory)
    }

    fn learn_code(&mut self, code: &str, places: &Places) {
        let code = Code::parse(code);
        let public = match code.file {
            "" => None,
            file if file.starts_with('<') => Some(file),
            file => places.public_part(file),
        };
        match public {
            Some(part) => self.public_names.extend([part.to_owned(), code.qualname.to_owned()]),
            None => self.own_names.extend([places.file(code.file), code.qualname.to_owned()]),
        }
        self.files.insert(code.file.to_owned());
    }

    fn learn_text(&mut self, event: &Event, trace: &Trace) {
        let Some(text) = trace.names().text_str(event.text) else { return };
        match event.marker {
            Marker::ProcessStart => self.commands.insert(text),
            Marker::ThreadStart => self.threads.insert(text),
            Marker::Audit => self.audits.insert(text),
            Marker::CfunctionEntry | Marker::CfunctionReturn => self.public_names.insert(text.to_string()),
            Marker::ImportStart | Marker::ImportDone => self.own_names.insert(text.to_string()),
            Marker::InstanceStart | Marker::InstanceDone => self.own_names.insert(text.to_string()),
            Marker::Source => {
                let code = trace.names().code_str(event.code);
                self.sources.insert(Code::parse(&code).file.to_owned())
            }
            _ => false,
        };
    }
}

/// How many events there are at which time, roughly.
#[derive(Debug)]
pub struct Times {
    /// A stretch is so many nanoseconds long, as a power of two.
    power: u32,
    stretches: BTreeMap<i64, u64>,
}

/// Stretches that are told apart.
const MAX_STRETCHES: usize = 1 << 14;

impl Default for Times {
    fn default() -> Self {
        Times { power: 16, stretches: BTreeMap::new() }
    }
}

impl Times {
    fn add(&mut self, time_ns: i64) {
        *self.stretches.entry(time_ns >> self.power).or_default() += 1;
        while self.stretches.len() > MAX_STRETCHES {
            self.power += 1;
            for (stretch, events) in std::mem::take(&mut self.stretches) {
                *self.stretches.entry(stretch >> 1).or_default() += events;
            }
        }
    }

    /// Events from an instant up to another.
    pub fn events(&self, from_ns: i64, to_ns: i64) -> u64 {
        let (from, to) = (from_ns >> self.power, to_ns >> self.power);
        if from > to { 0 } else { self.stretches.range(from..=to).map(|(_, events)| events).sum() }
    }

    /// From when on there are no more than so many events up to an instant; that instant where even its own stretch
    /// has more.
    pub fn last(&self, events: u64, to_ns: i64) -> i64 {
        let (mut left, mut from_ns) = (events, to_ns);
        for (&stretch, &events) in self.stretches.range(..=to_ns >> self.power).rev() {
            if events > left {
                break;
            }
            left -= events;
            from_ns = stretch << self.power;
        }
        from_ns
    }

    /// The end of the last stretch.
    pub fn end_ns(&self) -> i64 {
        self.stretches.last_key_value().map_or(0, |(&stretch, _)| stretch.saturating_add(1) << self.power)
    }
}

#[cfg(test)]
mod tests {
    //! Times in few stretches.

    use super::*;

    #[test]
    fn the_last_events_are_found_in_a_long_recording() {
        let mut times = Times::default();
        // An event a millisecond for an hour: far more stretches than are told apart.
        const MS: i64 = 1_000_000;
        (0..3_600_000).for_each(|ms| times.add(ms * MS));
        assert!(times.stretches.len() <= MAX_STRETCHES);
        let end_ns = 3_600_000 * MS;
        let from_ns = times.last(60_000, end_ns);
        let found = (end_ns - from_ns) / MS;
        assert!((59_000..=60_000).contains(&found), "{found}");
        assert!(times.events(from_ns, end_ns) <= 60_000);
        assert_eq!(times.last(0, end_ns), end_ns);
        assert!(times.last(u64::MAX, end_ns) <= 0);
    }
}
