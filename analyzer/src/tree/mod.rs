//! Rows into call trees. `docs/design/tree.md` draws the rules.

mod children;
mod durations;
mod facts;
mod frame;
mod groups;
mod nodes;
mod piece;
mod profile;
mod read;
mod repair;
mod select;
mod stack;
mod step;
mod streams;
mod window;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use pyrec_schema::{Batch, Manifest, Names, Trace};

use crate::order;
use crate::{Filter, Result};

pub use durations::Durations;
pub use facts::{Facts, ProcessFacts};
pub use frame::Frame;
pub use groups::{By, Group, GroupCalls, Grouping, Groups};
pub(crate) use nodes::sum;
pub use nodes::{Node, NodeId, Nodes, ROOT, Tally, Walk};
use piece::Finished;
#[cfg(test)]
pub(crate) use piece::Row;
pub use profile::ProfileFacts;
pub use repair::Repairs;
pub(crate) use select::{Lens, gather};
pub(crate) use stack::{Open, Stack};
pub(crate) use step::Step;
pub use streams::Counts;
pub(crate) use streams::Streams;
pub use window::Window;

/// The calls of a trace: every distinct call path once, with what was counted and measured on it.
#[derive(Debug)]
pub struct CallTree {
    /// The call paths that the filter leaves, those of all threads together.
    pub nodes: Nodes,
    /// Their names.
    pub names: Arc<Names>,
    /// The facts of the recording.
    pub manifest: Manifest,
    /// What the whole trace holds.
    pub counts: Counts,
    /// The threads of the whole trace, in the order of their numbers.
    pub threads: Vec<Thread>,
    /// Bytes of a cut file that could not be read.
    pub torn_bytes: u64,
    /// Nothing that took less than this is to be reported.
    pub min_time_ns: u64,
}

/// One thread of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its process.
    pub pid: i32,
    /// Its number.
    pub tid: i32,
    /// Time in calls.
    pub in_calls_ns: u64,
    /// What had to be mended in it.
    pub repairs: Repairs,
    /// What else is said about it.
    pub facts: Facts,
}

impl Thread {
    /// Whether there is more than the recorder's word for it.
    pub fn has_events(&self) -> bool {
        self.facts.events > 0 || self.repairs.total() > 0
    }
}

impl CallTree {
    /// Rebuilds the calls of a trace and keeps what the filter asks for.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<CallTree> {
        let streams = CallTree::streams(trace, filter)?;
        Ok(CallTree::of(streams, filter, trace.names().clone(), trace.manifest().clone(), torn_bytes(trace)))
    }

    /// The same with the call paths of each thread by themselves, beside its place in [`CallTree::threads`], instead of
    /// those of all threads together.
    pub fn read_by_thread(trace: &Trace, filter: &Filter) -> Result<(CallTree, Vec<(usize, Nodes)>)> {
        let mut apart = Vec::new();
        let streams = CallTree::streams(trace, filter)?;
        let (names, manifest) = (trace.names().clone(), trace.manifest().clone());
        let calls = CallTree::sort(streams, filter, names, manifest, torn_bytes(trace), Some(&mut apart));
        Ok((calls, apart))
    }

    /// The same from rows that are in no file, in as many stretches as they come in.
    pub fn of_rows(stretches: &[Batch], filter: &Filter, names: Arc<Names>, manifest: Manifest) -> CallTree {
        let events = stretches.iter().flat_map(Batch::iter).filter(|event| event.marker.is_event());
        let origin_ns = events.map(|event| event.time_ns).min();
        let window = window(filter, origin_ns.unwrap_or(0));
        let mut streams = Streams::first(window);
        for stretch in stretches {
            let mut next = Streams::middle(window);
            next.push(stretch, &names);
            streams.join(next);
        }
        CallTree::of(streams, filter, names, manifest, 0)
    }

    fn streams(trace: &Trace, filter: &Filter) -> Result<Streams> {
        let window = match filter.time {
            Some(_) => window(filter, order::origin_ns(trace)?.unwrap_or(0)),
            None => Window::ALL,
        };
        read::streams(trace, window)
    }

    /// Finishes the rebuilt threads and keeps what the filter asks for.
    pub(crate) fn of(
        streams: Streams,
        filter: &Filter,
        names: Arc<Names>,
        manifest: Manifest,
        torn_bytes: u64,
    ) -> CallTree {
        CallTree::sort(streams, filter, names, manifest, torn_bytes, None)
    }

    fn sort(
        streams: Streams,
        filter: &Filter,
        names: Arc<Names>,
        manifest: Manifest,
        torn_bytes: u64,
        mut apart: Option<&mut Vec<(usize, Nodes)>>,
    ) -> CallTree {
        let mut nodes = Nodes::default();
        let mut threads = Vec::new();
        let mut lens = Lens::new(filter, &names);
        let counts = streams.counts;
        let mut streams: Vec<_> = streams.threads.into_iter().collect();
        streams.sort_unstable_by_key(|&(thread, _)| thread);
        for (order::Thread { pid, tid }, stream) in streams {
            let Finished { nodes: mut all, repairs } = stream.piece.finish();
            if filter.has_thread(pid, tid) {
                let mut own = Nodes::default();
                gather(&mut all, &mut lens, if apart.is_some() { &mut own } else { &mut nodes });
                apart.iter_mut().for_each(|apart| apart.push((threads.len(), std::mem::take(&mut own))));
            }
            let in_calls = all.iter().filter(|(_, node)| node.frame.is_call());
            let in_calls_ns = sum(in_calls.map(|(_, node)| node.tally.self_ns));
            threads.push(Thread { pid, tid, in_calls_ns, repairs, facts: stream.facts });
        }
        let min_time_ns = filter.min_time_ns();
        CallTree { nodes, names, manifest, counts, threads, torn_bytes, min_time_ns }
    }

    /// What had to be mended in all threads.
    pub fn repairs(&self) -> Repairs {
        let mut repairs = Repairs::default();
        self.threads.iter().for_each(|thread| repairs += thread.repairs);
        repairs
    }
}

fn torn_bytes(trace: &Trace) -> u64 {
    trace.files().iter().map(|file| file.torn_bytes()).sum()
}

/// The stretch of time that a filter asks for, on the clock of a trace whose first event has that time.
pub(crate) fn window(filter: &Filter, origin_ns: i64) -> Window {
    let Some(range) = filter.time else { return Window::ALL };
    let at = |time: std::time::Duration| {
        origin_ns.saturating_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    };
    Window { from_ns: at(range.from), to_ns: range.to.map_or(i64::MAX, at) }
}
