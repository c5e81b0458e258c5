//! A buffer that puts events into the order of their times. Tools print the buffer of one processor
//! after that of another, so the lines of a capture are only nearly in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use pyrec_schema::Event;

/// The capacity in events. It exceeds what the tools' buffers of all processors usually hold
/// together.
const MAX_EVENTS: usize = 1 << 18;

/// A priority queue of events by time. An event that arrives after later ones have already left the
/// buffer passes through in the order of arrival; the analyzer reports that time ran backwards.
#[derive(Debug, Default)]
pub struct ReorderBuffer {
    heap: BinaryHeap<Reverse<BufferedEvent>>,
    count: u64,
}

impl ReorderBuffer {
    /// Adds an event. Returns the earliest one if the buffer is full.
    pub fn push(&mut self, event: Event) -> Option<Event> {
        self.heap.push(Reverse(BufferedEvent { event, number: self.count }));
        self.count += 1;
        if self.heap.len() > MAX_EVENTS { self.pop() } else { None }
    }

    /// Removes the earliest event.
    pub fn pop(&mut self) -> Option<Event> {
        self.heap.pop().map(|Reverse(buffered)| buffered.event)
    }
}

/// An event, ordered by its time, then by arrival.
#[derive(Debug)]
struct BufferedEvent {
    event: Event,
    number: u64,
}

impl BufferedEvent {
    fn key(&self) -> (i64, u64) {
        (self.event.time_ns, self.number)
    }
}

impl PartialEq for BufferedEvent {
    fn eq(&self, other: &BufferedEvent) -> bool {
        self.key() == other.key()
    }
}

impl Eq for BufferedEvent {}

impl PartialOrd for BufferedEvent {
    fn partial_cmp(&self, other: &BufferedEvent) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BufferedEvent {
    fn cmp(&self, other: &BufferedEvent) -> Ordering {
        self.key().cmp(&other.key())
    }
}
