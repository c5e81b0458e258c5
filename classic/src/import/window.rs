//! Rows back into the order of their times. A tool prints what each processor saw, one after the other.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use pyrec_schema::Event;

/// Rows that wait for an earlier one: more than a tool's buffers of all processors mostly hold.
const ROWS: usize = 1 << 18;

/// The rows that wait. What comes even later is passed on as it comes, and told as time that ran backwards.
#[derive(Debug, Default)]
pub struct Window {
    waiting: BinaryHeap<Reverse<Row>>,
    count: u64,
}

impl Window {
    /// Takes a row, and gives the earliest one if too many wait.
    pub fn push(&mut self, event: Event) -> Option<Event> {
        self.waiting.push(Reverse(Row { event, number: self.count }));
        self.count += 1;
        if self.waiting.len() > ROWS { self.pop() } else { None }
    }

    /// Gives the earliest row.
    pub fn pop(&mut self) -> Option<Event> {
        self.waiting.pop().map(|Reverse(row)| row.event)
    }
}

/// A row, ordered by its time; those of the same time as they came.
#[derive(Debug)]
struct Row {
    event: Event,
    number: u64,
}

impl Row {
    fn key(&self) -> (i64, u64) {
        (self.event.time_ns, self.number)
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Row) -> Ordering {
        self.key().cmp(&other.key())
    }
}
