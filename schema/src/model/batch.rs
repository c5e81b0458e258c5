//! Events, and batches of them in columns.

use super::marker::Marker;
use super::names::{CodeId, TextId};

/// One row of a trace: an event of the recorded program, or a fact of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, nanoseconds. Ascending within a thread, except in imported or damaged
    /// traces.
    pub time_ns: i64,
    /// The process id, as in the recorder's PID namespace.
    pub pid: i32,
    /// The thread id, in the same namespace.
    pub tid: i32,
    /// What happened.
    pub marker: Marker,
    /// The code object that the event is about.
    pub code: CodeId,
    /// The line number, 0 for events without one.
    pub line: i32,
    /// A number, whose meaning depends on the [`Marker`].
    pub value: Option<i64>,
    /// A string, whose meaning depends on the [`Marker`].
    pub text: TextId,
}

/// Rows in columns. Most rows have no value, so the `values` column is sparse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns are those of Event")]
pub struct Batch {
    pub time_ns: Vec<i64>,
    pub pid: Vec<i32>,
    pub tid: Vec<i32>,
    pub marker: Vec<Marker>,
    pub code: Vec<CodeId>,
    pub line: Vec<i32>,
    /// The rows that have a value, as pairs of row number and value in ascending order.
    pub values: Vec<(u32, i64)>,
    pub text: Vec<TextId>,
}

impl Batch {
    /// An empty batch with capacity for `rows` rows in every dense column.
    pub fn with_capacity(rows: usize) -> Self {
        Batch {
            time_ns: Vec::with_capacity(rows),
            pid: Vec::with_capacity(rows),
            tid: Vec::with_capacity(rows),
            marker: Vec::with_capacity(rows),
            code: Vec::with_capacity(rows),
            line: Vec::with_capacity(rows),
            values: Vec::new(),
            text: Vec::with_capacity(rows),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.time_ns.len()
    }

    /// Whether the batch has no rows.
    pub fn is_empty(&self) -> bool {
        self.time_ns.is_empty()
    }

    /// Appends a row. A batch holds at most 2^32 rows.
    #[inline]
    pub fn push(&mut self, event: Event) {
        if let Some(value) = event.value {
            self.values.push((self.len() as u32, value));
        }
        self.time_ns.push(event.time_ns);
        self.pid.push(event.pid);
        self.tid.push(event.tid);
        self.marker.push(event.marker);
        self.code.push(event.code);
        self.line.push(event.line);
        self.text.push(event.text);
    }

    /// The value of a row, if it has one.
    pub fn value(&self, row: usize) -> Option<i64> {
        let at = self.values.binary_search_by_key(&row, |&(row, _)| row as usize).ok()?;
        Some(self.values[at].1)
    }

    /// Removes all rows and keeps the capacity.
    pub fn clear(&mut self) {
        self.time_ns.clear();
        self.pid.clear();
        self.tid.clear();
        self.marker.clear();
        self.code.clear();
        self.line.clear();
        self.values.clear();
        self.text.clear();
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        let mut values = self.values.iter().copied().peekable();
        (0..self.len()).map(move |row| Event {
            time_ns: self.time_ns[row],
            pid: self.pid[row],
            tid: self.tid[row],
            marker: self.marker[row],
            code: self.code[row],
            line: self.line[row],
            value: values.next_if(|&(at, _)| at as usize == row).map(|(_, value)| value),
            text: self.text[row],
        })
    }
}

impl FromIterator<Event> for Batch {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut batch = Batch::default();
        events.into_iter().for_each(|event| batch.push(event));
        batch
    }
}
