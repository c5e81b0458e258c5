//! `numbered.py`, whose threads count their calls in files that outlive them, and what of that is in a trace.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use pyrec_schema::{Code, CodeId, Columns, Marker, Trace};

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

/// Entries and returns of `tick`.
pub fn recorded(trace: &Path) -> BTreeMap<Thread, [u64; 2]> {
    let trace = Trace::open(&[trace]).expect("the trace is whole");
    let mut threads = BTreeMap::<Thread, [u64; 2]>::new();
    let mut is_tick = HashMap::<CodeId, bool>::new();
    for file in trace.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, Columns::ALL).expect("it is there") {
                for event in batch.expect("it is whole").iter() {
                    let column = match event.marker {
                        Marker::FunctionEntry => 0,
                        Marker::FunctionReturn => 1,
                        _ => continue,
                    };
                    let is_tick = *is_tick.entry(event.code).or_insert_with(|| {
                        Code::parse(&trace.names().code_str(event.code)).qualname == "tick"
                    });
                    if is_tick {
                        threads.entry((event.pid.into(), event.tid.into())).or_default()[column] += 1;
                    }
                }
            }
        }
    }
    threads
}
