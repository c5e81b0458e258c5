//! The calls of `numbered.py`: as its threads count them, in files that outlive the process, and as
//! a trace has them.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use pyrec_schema::{Code, Columns, Event, Marker, Names, Trace};

/// A thread: its PID and TID.
pub type Thread = (i64, i64);

/// A random number below `below`.
pub fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// The number of calls that each thread has counted.
pub fn numbered(folder: &Path) -> BTreeMap<Thread, u64> {
    let files = fs::read_dir(folder).expect("the directory is readable").flatten();
    let pages = files.filter(|file| file.path().extension().is_none());
    let threads = pages.filter_map(|file| {
        let bytes = fs::read(file.path()).expect("the file is readable");
        let words = bytes.as_chunks().0.iter().map(|word| i64::from_ne_bytes(*word));
        let [pid, tid, calls] = words.take(3).collect::<Vec<_>>().try_into().ok()?;
        (calls > 0).then_some(((pid, tid), calls as u64))
    });
    threads.collect()
}

const COLUMNS: Columns = Columns { line: false, value: false, text: false };

/// The numbers of recorded entries and returns of `tick`, by thread.
pub fn recorded(trace: &Path) -> BTreeMap<Thread, [u64; 2]> {
    let trace = Trace::open(&[trace]).expect("the trace opens");
    let mut threads = BTreeMap::<Thread, [u64; 2]>::new();
    for file in trace.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, COLUMNS).expect("the row group exists") {
                add(batch.expect("the batch is valid").iter(), trace.names(), &mut threads);
            }
        }
    }
    threads
}

/// Adds the events of a batch. Consecutive events of one thread and function are counted together,
/// for speed.
fn add(events: impl Iterator<Item = Event>, names: &Names, threads: &mut BTreeMap<Thread, [u64; 2]>) {
    let events: Vec<Event> = events.collect();
    for run in events.chunk_by(|one, next| (one.pid, one.tid, one.code) == (next.pid, next.tid, next.code)) {
        let Event { pid, tid, code, .. } = run[0];
        if Code::parse(&names.code_str(code)).qualname == "tick" {
            let counts = threads.entry((pid.into(), tid.into())).or_default();
            for (count, marker) in counts.iter_mut().zip([Marker::FunctionEntry, Marker::FunctionReturn]) {
                *count += run.iter().filter(|event| event.marker == marker).count() as u64;
            }
        }
    }
}
