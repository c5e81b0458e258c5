//! The rows of a trace as a sequence of events.

use std::path::Path;

use pyrec_schema::{Columns, Event, Trace};

/// Opens a trace.
pub fn open(path: &Path) -> Trace {
    Trace::open(&[path]).expect("the trace opens")
}

/// All events, in the order of the rows.
pub fn events(trace: &Trace) -> impl Iterator<Item = Event> {
    let groups = trace.files().iter().flat_map(|file| (0..file.row_groups()).map(move |group| (file, group)));
    let batches =
        groups.flat_map(|(file, group)| file.read(group, Columns::ALL).expect("the row group exists"));
    batches.flat_map(|batch| batch.expect("the batch is valid").iter().collect::<Vec<_>>())
}
