//! Every row group into one set of streams, on as many processors as there are.
//!
//! ```text
//! worker 0   row group 0   row group 2   row group 4
//! worker 1   row group 1   row group 3   row group 5
//!                  └──── joined in order ────▶
//! ```
//!
//! A worker waits when it is a row group ahead of the join, so memory does not grow with the trace.

use std::num::NonZero;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use pyrec_schema::{Columns, Trace, TraceReader};

use super::{Streams, Window};
use crate::Result;

/// What the rebuild needs. A lost row's text says since when.
const COLUMNS: Columns = Columns { line: false, value: true, text: true };

/// A row group and the file that it is in.
type Job<'a> = (&'a TraceReader, usize);

/// Rebuilds every thread of a trace.
pub fn streams(trace: &Trace, window: Window) -> Result<Streams> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    streams_by(workers, trace, window)
}

/// The same with that many workers; which number it is does not show in the result.
pub fn streams_by(workers: usize, trace: &Trace, window: Window) -> Result<Streams> {
    let jobs: Vec<Job> = trace
        .files()
        .iter()
        .flat_map(|file| (0..file.row_groups()).map(move |row_group| (file, row_group)))
        .collect();
    let mut streams = Streams::first(window);
    if workers <= 1 || jobs.len() <= 1 {
        jobs.into_iter().try_for_each(|job| push(job, trace, &mut streams))?;
        return Ok(streams);
    }
    thread::scope(|scope| {
        let worker = |number: usize| {
            let (sender, receiver) = mpsc::sync_channel(1);
            let jobs = jobs.iter().skip(number).step_by(workers);
            scope.spawn(move || {
                // Nobody receives any more once a row group before this one could not be read.
                jobs.map(|&job| piece(job, trace, window)).all(|piece| sender.send(piece).is_ok())
            });
            receiver
        };
        let pieces: Vec<Receiver<Result<Streams>>> = (0..workers).map(worker).collect();
        for job in 0..jobs.len() {
            // A worker that is gone has panicked, and the scope passes that on.
            let Ok(piece) = pieces[job % workers].recv() else { break };
            streams.join(piece?);
        }
        Ok(streams)
    })
}

fn piece(job: Job, trace: &Trace, window: Window) -> Result<Streams> {
    let mut streams = Streams::middle(window);
    push(job, trace, &mut streams)?;
    Ok(streams)
}

fn push((file, row_group): Job, trace: &Trace, streams: &mut Streams) -> Result<()> {
    for batch in file.read(row_group, COLUMNS)? {
        streams.push(&batch?, trace.names());
    }
    Ok(())
}
