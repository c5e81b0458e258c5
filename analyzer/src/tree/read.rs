//! Parallel reading: row groups are rebuilt on all processors and joined in order.
//!
//! ```text
//! worker 0   row group 0   row group 2   row group 4
//! worker 1   row group 1   row group 3   row group 5
//!                  └──── joined in order ────▶
//! ```
//!
//! A worker is at most two of its row groups ahead of the join, so memory does not grow with the
//! trace.

use std::num::NonZero;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use pyrec_schema::{Columns, Trace, TraceReader};

use super::TracePiece;
use crate::Result;
use crate::filter::TimeWindow;

/// The columns that rebuilding needs. The text of a `lost` row is the time when the loss began.
const COLUMNS: Columns = Columns { line: false, value: true, text: true };

/// A row group: its file and its number.
type RowGroup<'a> = (&'a TraceReader, usize);

/// Rebuilds all threads of a trace.
pub fn rebuild(trace: &Trace, window: TimeWindow) -> Result<TracePiece> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    rebuild_with(workers, trace, window)
}

/// Rebuilds all threads of a trace on a number of worker threads, which does not affect the result.
pub fn rebuild_with(workers: usize, trace: &Trace, window: TimeWindow) -> Result<TracePiece> {
    let row_groups: Vec<RowGroup> = trace
        .files()
        .iter()
        .flat_map(|file| (0..file.row_groups()).map(move |row_group| (file, row_group)))
        .collect();
    let mut trace_piece = TracePiece::first(window);
    if workers <= 1 || row_groups.len() <= 1 {
        row_groups.into_iter().try_for_each(|row_group| push(row_group, trace, &mut trace_piece))?;
        return Ok(trace_piece);
    }
    thread::scope(|scope| {
        let worker = |number: usize| {
            let (sender, receiver) = mpsc::sync_channel(1);
            let row_groups = row_groups.iter().skip(number).step_by(workers);
            scope.spawn(move || {
                // The receiver is dropped when an earlier row group could not be read.
                row_groups
                    .map(|&row_group| piece(row_group, trace, window))
                    .all(|piece| sender.send(piece).is_ok())
            });
            receiver
        };
        let pieces: Vec<Receiver<Result<TracePiece>>> = (0..workers).map(worker).collect();
        for index in 0..row_groups.len() {
            // A worker hangs up early only if it panics, which the scope propagates.
            let Ok(piece) = pieces[index % workers].recv() else { break };
            trace_piece.join(piece?);
        }
        Ok(trace_piece)
    })
}

fn piece(row_group: RowGroup, trace: &Trace, window: TimeWindow) -> Result<TracePiece> {
    let mut trace_piece = TracePiece::middle(window);
    push(row_group, trace, &mut trace_piece)?;
    Ok(trace_piece)
}

fn push((file, row_group): RowGroup, trace: &Trace, trace_piece: &mut TracePiece) -> Result<()> {
    for batch in file.read(row_group, COLUMNS)? {
        trace_piece.push(&batch?, trace.names());
    }
    Ok(())
}
