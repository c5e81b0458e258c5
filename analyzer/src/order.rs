//! Rows by thread, and rows of all threads by time.

use std::ops::Range;

use pyrec_schema::{Batch, Columns, Event, Trace};
use rustc_hash::FxHashMap;

use crate::filter::TimeWindow;
use crate::{Filter, Result};

/// A thread of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId {
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
}

impl ThreadId {
    /// The thread of a row.
    pub fn of(event: &Event) -> Self {
        ThreadId { pid: event.pid, tid: event.tid }
    }
}

/// Splits a batch into runs: ranges of consecutive rows of the same thread.
pub fn thread_runs(batch: &Batch) -> impl Iterator<Item = (ThreadId, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        let thread = ThreadId { pid: *batch.pid.get(from)?, tid: *batch.tid.get(from)? };
        at += run_length(&batch.pid[from..]).min(run_length(&batch.tid[from..]));
        Some((thread, from..at))
    })
}

/// The number of values at the start that equal the first. Runs are long, so whole blocks are
/// compared before single values.
fn run_length(values: &[i32]) -> usize {
    const BLOCK: usize = 64;
    let Some(&first) = values.first() else { return 0 };
    let is_same =
        |block: &[i32]| block.iter().fold(0, |differences, &value| differences | (value ^ first)) == 0;
    let blocks = values.chunks_exact(BLOCK).take_while(|block| is_same(block)).count();
    let from = blocks * BLOCK;
    from + values[from..].iter().take_while(|&&value| value == first).count()
}

/// The event of a row, without its value. [`Batch::value`] looks that up, which takes longer.
#[inline]
pub fn event_without_value(batch: &Batch, row: usize) -> Event {
    Event {
        time_ns: batch.time_ns[row],
        pid: batch.pid[row],
        tid: batch.tid[row],
        marker: batch.marker[row],
        code: batch.code[row],
        line: batch.line[row],
        value: None,
        text: batch.text[row],
    }
}

/// The time of the first event of a trace, to which reports relate all times. None if there are no
/// events.
///
/// A recorder drains one thread after another, so the first row may be later than others, but the
/// first row group with events contains the first event.
pub fn origin_ns(trace: &Trace) -> Result<Option<i64>> {
    let columns = Columns { line: false, value: false, text: false };
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            let mut first = None;
            for batch in file.read(row_group, columns)? {
                let batch = batch?;
                let events = batch.time_ns.iter().zip(&batch.marker).filter(|(_, marker)| marker.is_event());
                first = first.into_iter().chain(events.map(|(&time_ns, _)| time_ns)).min();
            }
            if first.is_some() {
                return Ok(first);
            }
        }
    }
    Ok(None)
}

/// The filter's time range on the clock of a trace.
pub fn time_window(trace: &Trace, filter: &Filter) -> Result<TimeWindow> {
    Ok(match filter.time {
        Some(_) => filter.window(origin_ns(trace)?.unwrap_or(0)),
        None => TimeWindow::ALL,
    })
}

/// Merges the rows of all threads into the order of their times.
///
/// In a row group, the rows of one thread come after those of another. A row is emitted when the
/// next row group has been read and contains no earlier row. The rows of one thread keep their
/// order, even where its time runs backwards.
///
/// ```text
/// row group 1   row group 2   row group 3       emitted
/// a1 a3 b2      b4 a5 b6      …                 a1 b2 a3 │ b4 a5 b6
/// ```
#[derive(Debug, Default)]
pub struct TimeMerger {
    /// Rows of earlier row groups in order, each with the latest time of its thread so far.
    waiting: Vec<(i64, Event)>,
    /// Rows of the current row group.
    current: Vec<(i64, Event)>,
    latest: FxHashMap<ThreadId, i64>,
}

impl TimeMerger {
    /// Adds rows of the current row group.
    pub fn push(&mut self, batch: &Batch) {
        for event in batch.iter() {
            let latest = self.latest.entry(ThreadId::of(&event)).or_insert(i64::MIN);
            *latest = event.time_ns.max(*latest);
            self.current.push((*latest, event));
        }
    }

    /// Ends the current row group. Returns the rows that no later row can precede.
    pub fn end_row_group(&mut self) -> impl Iterator<Item = Event> + use<> {
        let earliest_ns = self.current.iter().map(|&(time_ns, _)| time_ns).min().unwrap_or(i64::MIN);
        let ready = self.waiting.partition_point(|&(time_ns, _)| time_ns < earliest_ns);
        let later = self.waiting.split_off(ready);
        let ready = std::mem::replace(&mut self.waiting, later);
        self.waiting.append(&mut self.current);
        // The sort is stable, and fast on rows that are in order already.
        self.waiting.sort_by_key(|&(time_ns, _)| time_ns);
        ready.into_iter().map(|(_, event)| event)
    }

    /// Returns the remaining rows.
    pub fn finish(mut self) -> impl Iterator<Item = Event> {
        let ready = self.end_row_group();
        ready.chain(self.waiting.into_iter().map(|(_, event)| event))
    }
}

#[cfg(test)]
mod tests {
    //! Runs of threads, and merging by time.

    use pyrec_schema::{CodeId, Marker, TextId};

    use super::*;

    fn event((pid, tid): (i32, i32)) -> Event {
        let (marker, code, text) = (Marker::Line, CodeId::NONE, TextId::NONE);
        Event { time_ns: 0, pid, tid, marker, code, line: 0, value: None, text }
    }

    #[test]
    fn a_run_ends_where_process_or_thread_changes() {
        let batch: Batch = [(1, 1), (1, 1), (1, 2), (2, 2), (1, 1)].map(event).into_iter().collect();
        let runs: Vec<_> = thread_runs(&batch).map(|(thread, rows)| (thread.pid, thread.tid, rows)).collect();
        assert_eq!(runs, [(1, 1, 0..2), (1, 2, 2..3), (2, 2, 3..4), (1, 1, 4..5)]);
    }

    #[test]
    fn runs_of_any_length_are_found() {
        for length in [1, 63, 64, 65, 128, 1_000] {
            let threads = (0..length).map(|_| (1, 1)).chain((0..70).map(|_| (1, 2)));
            let batch: Batch = threads.map(event).collect();
            let lengths: Vec<usize> = thread_runs(&batch).map(|(_, rows)| rows.len()).collect();
            assert_eq!(lengths, [length, 70]);
        }
    }

    fn at(time_ns: i64, tid: i32) -> Event {
        Event { time_ns, ..event((1, tid)) }
    }

    fn merge(row_groups: &[&[Event]]) -> Vec<(i64, i32)> {
        let mut merger = TimeMerger::default();
        let mut events = Vec::new();
        for row_group in row_groups {
            merger.push(&row_group.iter().copied().collect());
            events.extend(merger.end_row_group());
        }
        events.extend(merger.finish());
        events.into_iter().map(|event| (event.time_ns, event.tid)).collect()
    }

    #[test]
    fn threads_are_merged_across_row_groups() {
        let first = [at(1, 1), at(3, 1), at(5, 1), at(2, 2)];
        let second = [at(4, 2), at(7, 2), at(6, 1)];
        assert_eq!(merge(&[&first, &second]), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 1), (7, 2)]);
        assert_eq!(merge(&[&first, &[], &second]), merge(&[&first, &second]));
    }

    #[test]
    fn rows_of_a_thread_keep_their_order_where_time_runs_backwards() {
        let events = [at(1, 1), at(9, 1), at(3, 1), at(10, 1), at(4, 2)];
        assert_eq!(merge(&[&events]), [(1, 1), (4, 2), (9, 1), (3, 1), (10, 1)]);
    }

    #[test]
    fn an_empty_batch_has_no_runs() {
        assert_eq!(thread_runs(&Batch::default()).count(), 0);
    }
}
