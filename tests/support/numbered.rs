//! `numbered.py`, whose threads count their calls in files that outlive them, and what of that is in a trace.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use pyrec_schema::{Code, Columns, Event, Marker, Names, Trace};

/// A thread: its process and its number.
pub type Thread = (i64, i64);

/// Some number below that one, another one each time.
pub fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// How many calls each thread says it has made.
pub fn numbered(folder: &Path) -> BTreeMap<Thread, u64> {
    let files = fs::read_dir(folder).expect("the folder is ours").flatten();
    let pages = files.filter(|file| file.path().extension().is_none());
    let threads = pages.filter_map(|file| {
        let bytes = fs::read(file.path()).expect("the file is ours");
        let words = bytes.as_chunks().0.iter().map(|word| i64::from_ne_bytes(*word));
        let [pid, tid, calls] = words.take(3).collect::<Vec<_>>().try_into().ok()?;
        (calls > 0).then_some(((pid, tid), calls as u64))
    });
    threads.collect()
}

const COLUMNS: Columns = Columns { line: false, value: false, text: false };

/// Entries and returns of `tick`.
pub fn recorded(trace: &Path) -> BTreeMap<Thread, [u64; 2]> {
    let trace = Trace::open(&[trace]).expect("the trace is whole");
    let mut threads = BTreeMap::<Thread, [u64; 2]>::new();
    for file in trace.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, COLUMNS).expect("it is there") {
                add(batch.expect("it is whole").iter(), trace.names(), &mut threads);
            }
        }
    }
    threads
}

/// Millions of rows, most of them in long runs of one thread's `tick`.
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
