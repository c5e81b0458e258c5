//! A trace's rows, one after another.

use std::path::Path;

use pyrec_schema::{Columns, Event, Trace};

/// The trace in that file, which must be whole.
pub fn open(path: &Path) -> Trace {
    Trace::open(&[path]).expect("the trace is whole")
}

/// All that is in it, in the order in which it was written.
pub fn events(trace: &Trace) -> impl Iterator<Item = Event> {
    let groups = trace.files().iter().flat_map(|file| (0..file.row_groups()).map(move |group| (file, group)));
    let batches = groups.flat_map(|(file, group)| file.read(group, Columns::ALL).expect("it is there"));
    batches.flat_map(|batch| batch.expect("it is whole").iter().collect::<Vec<_>>())
}
