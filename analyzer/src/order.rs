//! Rows in the order in which they are to be read: thread by thread, each in its own time.

use std::ops::Range;

use pyrec_schema::{Batch, Columns, Event, Trace};
use rustc_hash::FxHashMap;

use crate::Result;

/// One thread of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread {
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
}

impl Thread {
    /// The thread of a row.
    pub fn of(event: &Event) -> Self {
        Thread { pid: event.pid, tid: event.tid }
    }
}

/// The rows of a batch, cut where they change from one thread to another.
pub fn runs(batch: &Batch) -> impl Iterator<Item = (Thread, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        let thread = Thread { pid: *batch.pid.get(from)?, tid: *batch.tid.get(from)? };
        at += same(&batch.pid[from..]).min(same(&batch.tid[from..]));
        Some((thread, from..at))
    })
}

/// How many values in the beginning are equal. Bundles are long, so whole blocks are compared before single values.
fn same(values: &[i32]) -> usize {
    const BLOCK: usize = 64;
    let Some(&first) = values.first() else { return 0 };
    let is_same =
        |block: &[i32]| block.iter().fold(0, |differences, &value| differences | (value ^ first)) == 0;
    let blocks = values.chunks_exact(BLOCK).take_while(|block| is_same(block)).count();
    let from = blocks * BLOCK;
    from + values[from..].iter().take_while(|&&value| value == first).count()
}

/// One row of a batch, without its value.
#[inline]
pub fn row(batch: &Batch, row: usize) -> Event {
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

/// The time of the first event, from which reports count: none where there is no event. Drained threads stand one
/// after the other, so the first row need not be the first event, but the first row group holds it.
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

/// Rows of all threads in the order of their times, made from row groups in which one thread's rows stand after
/// another's. A thread's own rows keep their order, even where its time runs backwards.
///
/// ```text
/// row group 1   row group 2        A row waits until the next row group is there and has nothing earlier.
/// a1 a3 b2      b4 a5 b6           a1 b2 a3 │ b4 a5 b6
/// ```
#[derive(Debug, Default)]
pub struct InTime {
    /// Rows of earlier row groups, in order, with the latest time that their thread had reached.
    waiting: Vec<(i64, Event)>,
    /// Rows of this row group.
    coming: Vec<(i64, Event)>,
    latest: FxHashMap<Thread, i64>,
}

impl InTime {
    /// Takes rows of the present row group.
    pub fn push(&mut self, batch: &Batch) {
        for event in batch.iter() {
            let latest = self.latest.entry(Thread::of(&event)).or_insert(i64::MIN);
            *latest = event.time_ns.max(*latest);
            self.coming.push((*latest, event));
        }
    }

    /// Ends the row group. Gives the rows before which nothing can come any more.
    pub fn end_row_group(&mut self) -> impl Iterator<Item = Event> + use<> {
        let earliest_ns = self.coming.iter().map(|&(time_ns, _)| time_ns).min().unwrap_or(i64::MIN);
        let ready = self.waiting.partition_point(|&(time_ns, _)| time_ns < earliest_ns);
        let later = self.waiting.split_off(ready);
        let ready = std::mem::replace(&mut self.waiting, later);
        self.waiting.append(&mut self.coming);
        // The sort is stable, and quick where rows are in order already.
        self.waiting.sort_by_key(|&(time_ns, _)| time_ns);
        ready.into_iter().map(|(_, event)| event)
    }

    /// Gives the rest.
    pub fn finish(mut self) -> impl Iterator<Item = Event> {
        let ready = self.end_row_group();
        ready.chain(self.waiting.into_iter().map(|(_, event)| event))
    }
}

#[cfg(test)]
mod tests {
    //! Where one thread's rows end and another's begin.

    use pyrec_schema::{CodeId, Marker, TextId};

    use super::*;

    fn event((pid, tid): (i32, i32)) -> Event {
        let (marker, code, text) = (Marker::Line, CodeId::NONE, TextId::NONE);
        Event { time_ns: 0, pid, tid, marker, code, line: 0, value: None, text }
    }

    #[test]
    fn a_run_ends_where_process_or_thread_changes() {
        let batch: Batch = [(1, 1), (1, 1), (1, 2), (2, 2), (1, 1)].map(event).into_iter().collect();
        let runs: Vec<_> = runs(&batch).map(|(thread, rows)| (thread.pid, thread.tid, rows)).collect();
        assert_eq!(runs, [(1, 1, 0..2), (1, 2, 2..3), (2, 2, 3..4), (1, 1, 4..5)]);
    }

    #[test]
    fn a_run_is_as_long_as_it_is() {
        for length in [1, 63, 64, 65, 128, 1_000] {
            let threads = (0..length).map(|_| (1, 1)).chain((0..70).map(|_| (1, 2)));
            let batch: Batch = threads.map(event).collect();
            let lengths: Vec<usize> = runs(&batch).map(|(_, rows)| rows.len()).collect();
            assert_eq!(lengths, [length, 70]);
        }
    }

    fn at(time_ns: i64, tid: i32) -> Event {
        Event { time_ns, ..event((1, tid)) }
    }

    fn in_time(row_groups: &[&[Event]]) -> Vec<(i64, i32)> {
        let mut in_time = InTime::default();
        let mut events = Vec::new();
        for row_group in row_groups {
            in_time.push(&row_group.iter().copied().collect());
            events.extend(in_time.end_row_group());
        }
        events.extend(in_time.finish());
        events.into_iter().map(|event| (event.time_ns, event.tid)).collect()
    }

    #[test]
    fn threads_are_merged_over_row_groups() {
        let first = [at(1, 1), at(3, 1), at(5, 1), at(2, 2)];
        let second = [at(4, 2), at(7, 2), at(6, 1)];
        assert_eq!(in_time(&[&first, &second]), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 1), (7, 2)]);
        assert_eq!(in_time(&[&first, &[], &second]), in_time(&[&first, &second]));
    }

    #[test]
    fn time_that_runs_backwards_keeps_its_place_in_its_thread() {
        let events = [at(1, 1), at(9, 1), at(3, 1), at(10, 1), at(4, 2)];
        assert_eq!(in_time(&[&events]), [(1, 1), (4, 2), (9, 1), (3, 1), (10, 1)]);
    }

    #[test]
    fn no_rows_no_runs() {
        assert_eq!(runs(&Batch::default()).count(), 0);
    }
}
