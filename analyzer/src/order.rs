//! Rows in the order in which they are to be read: thread by thread, each in its own time.

use std::ops::Range;

use pyrec_schema::{Batch, Columns, Event, Trace};

use crate::Result;

/// One thread of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread {
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
}

/// The rows of a batch, cut where they change from one thread to another.
pub fn runs(batch: &Batch) -> impl Iterator<Item = (Thread, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        let thread = Thread { pid: *batch.pid.get(from)?, tid: *batch.tid.get(from)? };
        let same = |row: usize| batch.tid[row] == thread.tid && batch.pid[row] == thread.pid;
        at = (from + 1..batch.len()).find(|&row| !same(row)).unwrap_or(batch.len());
        Some((thread, from..at))
    })
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
    fn no_rows_no_runs() {
        assert_eq!(runs(&Batch::default()).count(), 0);
    }
}
