//! Every thread of a stretch of the trace.

use pyrec_schema::{Batch, Event, Marker, Names};
use rustc_hash::FxHashMap;

use super::piece::{Piece, Row};
use super::{Facts, Repairs, Step, Window};
use crate::order::{self, Thread};

/// Every thread of a stretch of the trace, rebuilt as far as that stretch goes. Two neighbouring stretches join into
/// one, thread by thread.
#[derive(Debug)]
pub struct Streams {
    /// Whether nothing comes before it.
    is_first: bool,
    window: Window,
    /// A piece per thread.
    pub threads: FxHashMap<Thread, Stream>,
    /// What was counted over all threads.
    pub counts: Counts,
}

/// One thread.
#[derive(Debug)]
pub struct Stream {
    /// Its calls.
    pub piece: Piece,
    /// What else is said in it.
    pub facts: Facts,
}

/// What was counted over all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rows per marker, by its discriminant.
    pub markers: [u64; Marker::ALL.len()],
    /// Events that were lost.
    pub lost: u64,
    /// The time of the earliest event, later than the latest if there is none.
    pub first_ns: i64,
    /// The time of the latest event.
    pub last_ns: i64,
}

impl Default for Counts {
    fn default() -> Self {
        Counts { markers: [0; Marker::ALL.len()], lost: 0, first_ns: i64::MAX, last_ns: i64::MIN }
    }
}

impl Counts {
    /// Counts the rows of a batch.
    pub fn add(&mut self, batch: &Batch) {
        let entries = count(&batch.marker, Marker::FunctionEntry);
        let returns = count(&batch.marker, Marker::FunctionReturn);
        self.markers[Marker::FunctionEntry as usize] += entries;
        self.markers[Marker::FunctionReturn as usize] += returns;
        if entries + returns == batch.len() as u64 {
            for &time_ns in &batch.time_ns {
                self.first_ns = self.first_ns.min(time_ns);
                self.last_ns = self.last_ns.max(time_ns);
            }
            return;
        }
        for (marker, &time_ns) in batch.marker.iter().zip(&batch.time_ns) {
            if marker.is_event() {
                self.first_ns = self.first_ns.min(time_ns);
                self.last_ns = self.last_ns.max(time_ns);
            }
            if !matches!(marker, Marker::FunctionEntry | Marker::FunctionReturn) {
                self.markers[*marker as usize] += 1;
            }
        }
        for &(row, value) in &batch.values {
            if batch.marker[row as usize] == Marker::Lost {
                self.lost = self.lost.saturating_add(u64::try_from(value).unwrap_or(0));
            }
        }
    }

    /// Adds what was counted elsewhere.
    pub fn join(&mut self, other: &Counts) {
        self.markers.iter_mut().zip(other.markers).for_each(|(count, more)| *count += more);
        self.lost = self.lost.saturating_add(other.lost);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    /// What Python said, without the recorder's own rows.
    pub fn events(&self) -> u64 {
        Marker::ALL.iter().filter(|marker| marker.is_event()).map(|&marker| self.of(marker)).sum()
    }

    /// Rows of one marker.
    pub fn of(&self, marker: Marker) -> u64 {
        self.markers[marker as usize]
    }

    /// From the first event to the last.
    pub fn duration_ns(&self) -> u64 {
        u64::try_from(i128::from(self.last_ns) - i128::from(self.first_ns)).unwrap_or(0)
    }
}

/// Rows with that marker. Few enough at once for a byte to count them, which a processor does many at a time.
fn count(markers: &[Marker], wanted: Marker) -> u64 {
    let few = |markers: &[Marker]| markers.iter().map(|&marker| u8::from(marker == wanted)).sum::<u8>();
    markers.chunks(u8::MAX.into()).map(|markers| u64::from(few(markers))).sum()
}

impl Streams {
    /// The stretch that begins the trace.
    pub fn first(window: Window) -> Streams {
        Streams { is_first: true, window, threads: FxHashMap::default(), counts: Counts::default() }
    }

    /// A stretch from its middle.
    pub fn middle(window: Window) -> Streams {
        Streams { is_first: false, ..Streams::first(window) }
    }

    /// Reads the next rows.
    pub fn push(&mut self, batch: &Batch, names: &Names) {
        self.counts.add(batch);
        for (thread, mut rows) in order::runs(batch) {
            let stream = self.stream(thread);
            // A source is no moment of the thread that it is filed under.
            let is_moment = |row: &usize| batch.marker[*row] != Marker::Source;
            if let (Some(first), Some(last)) = (rows.clone().find(is_moment), rows.clone().rfind(is_moment)) {
                stream.facts.span(batch.time_ns[first], batch.time_ns[last]);
            }
            while !rows.is_empty() {
                let plain = stream.piece.push_plain(
                    &batch.time_ns[rows.clone()],
                    &batch.marker[rows.clone()],
                    &batch.code[rows.clone()],
                );
                stream.facts.events += plain as u64;
                rows.start += plain;
                let Some(row) = rows.next() else { break };
                let event = order::row(batch, row);
                if event.marker.is_event() {
                    stream.facts.events += 1;
                } else {
                    stream.facts.note(&Event { value: batch.value(row), ..event });
                }
                stream.piece.push(Row { time_ns: event.time_ns, step: Step::of(&event, names) });
            }
        }
    }

    /// Appends the stretch that follows.
    pub fn join(&mut self, next: Streams) {
        self.counts.join(&next.counts);
        for (thread, after) in next.threads {
            let stream = self.stream(thread);
            stream.facts.join(&after.facts);
            stream.piece.join(after.piece);
        }
    }

    /// Ends every thread: what had to be mended in all of them.
    pub fn repairs(self) -> Repairs {
        let mut repairs = Repairs::default();
        self.threads.into_values().for_each(|stream| repairs += stream.piece.finish().repairs);
        repairs
    }

    fn stream(&mut self, thread: Thread) -> &mut Stream {
        let (is_first, window) = (self.is_first, self.window);
        self.threads.entry(thread).or_insert_with(|| Stream {
            piece: if is_first { Piece::first(window) } else { Piece::middle(window) },
            facts: Facts::default(),
        })
    }
}
