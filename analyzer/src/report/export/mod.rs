//! A recording in the formats of other tools.
//!
//! ```text
//! CallTree ──▶ Folded │ Graph ──▶ collapsed, pstats, callgrind          sums
//! Moments ──▶ Timeline ──▶ speedscope, Perfetto, Firefox Profiler       every call, in time
//!         └──▶ calls                                                    every call, a row each
//! ```

mod callgrind;
mod calls;
mod collapsed;
mod firefox;
mod labels;
mod message;
mod perfetto;
mod pstats;
mod speedscope;
mod timeline;

use std::io::Write;

use pyrec_schema::{Manifest, Names, Trace};

use crate::escape::Plain;
use crate::measure::{Folded, Graph, Trust, Weight};
use crate::tree::Thread;
use crate::{CallTree, Filter, Result};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A call path on a line, with its time: what flame graphs are drawn from.
    Collapsed,
    /// speedscope's own.
    Speedscope,
    /// A trace of track events, in protocol buffers.
    Perfetto,
    /// Firefox Profiler's processed profile.
    Firefox,
    /// Functions and their callers, as Python's own profilers save them.
    Pstats,
    /// Functions and what they called, as Valgrind's tool saves them.
    Callgrind,
    /// A row for every call, in a Parquet file.
    Calls,
}

/// Writes what the filter leaves of a trace. Returns how far to trust it; the formats that have a place for that hold
/// it, too.
pub fn write(trace: &Trace, filter: &Filter, format: Format, out: &mut (impl Write + Send)) -> Result<Trust> {
    // What shows single calls needs the tree, too: for the threads, and what stands before them.
    let tree = || CallTree::read(trace, filter);
    match format {
        Format::Collapsed => collapsed::write(&Folded::of(&tree()?, Weight::Time), out),
        Format::Speedscope => speedscope::write(trace, &tree()?, filter, out),
        Format::Perfetto => perfetto::write(trace, &tree()?, filter, out),
        Format::Firefox => firefox::write(trace, &tree()?, filter, out),
        Format::Pstats => pstats::write(&Graph::of(&tree()?, |code| code.name()), out),
        Format::Callgrind => callgrind::write(&Graph::of(&tree()?, |code| code.qualname), out),
        Format::Calls => calls::write(trace, filter, out),
    }
}

/// What was run, in a few words.
fn command(manifest: &Manifest) -> String {
    match manifest.command.is_empty() {
        true => "pyrec".into(),
        false => Plain(&manifest.command.join(" ")).to_string(),
    }
}

/// A thread by its number; they are in the order of their numbers.
fn thread(calls: &CallTree, pid: i32, tid: i32) -> Option<&Thread> {
    let at = calls.threads.binary_search_by_key(&(pid, tid), |thread| (thread.pid, thread.tid)).ok()?;
    Some(&calls.threads[at])
}

/// `MainThread 8274`
fn thread_name(thread: &Thread, names: &Names) -> String {
    match names.text_str(thread.facts.name) {
        Some(name) => format!("{} {}", Plain(&name), thread.tid),
        None => format!("thread {}", thread.tid),
    }
}
