//! Who ran: processes and their threads.

use pyrec_schema::Names;
use serde::Serialize;

use crate::measure::Trust;
use crate::tree::{ProcessInfo, Repairs, ThreadSummary};
use crate::{CallTree, Filter};

/// Processes and their threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Threads {
    /// Those that were asked for, in the order in which they were first heard of.
    pub processes: Vec<Process>,
    /// How far to trust it.
    pub trust: Trust,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// The process that started it.
    pub parent: Option<i64>,
    /// Its command line.
    pub command: Option<String>,
    /// When it was first seen, since the first event of the trace.
    pub start_ns: Option<i64>,
    /// When it ended; none where nobody saw it.
    pub end_ns: Option<i64>,
    /// Its exit status; none where nobody could know it.
    pub status: Option<i64>,
    /// Its threads, in the order in which they were first heard of.
    pub threads: Vec<ProcessThread>,
}

/// One thread of a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProcessThread {
    /// Its number.
    pub tid: i32,
    /// Its last known name.
    pub name: Option<String>,
    /// When it was first heard of, since the first event of the trace.
    pub start_ns: i64,
    /// When it ended; none where it went on.
    pub end_ns: Option<i64>,
    /// What Python said in it.
    pub events: u64,
    /// Time in calls.
    pub in_calls_ns: u64,
    /// That time as a part of its life as far as it is known; none where its life has no length.
    pub busy: Option<f64>,
    /// Events that were lost.
    pub lost: u64,
    /// What had to be mended.
    pub repaired: Repairs,
}

impl Threads {
    /// Those that the filter leaves.
    pub fn of(calls: &CallTree, filter: &Filter) -> Threads {
        let origin_ns = if calls.counts.events() > 0 { calls.counts.first_ns } else { 0 };
        // Threads are in the order of their processes.
        let groups = calls.threads.chunk_by(|a, b| a.pid == b.pid);
        let mut processes: Vec<Process> =
            groups.filter_map(|threads| Process::of(threads, &calls.names, filter, origin_ns)).collect();
        processes.sort_by_key(|process| process.threads.first().map(|thread| thread.start_ns));
        Threads { processes, trust: Trust::of(calls) }
    }
}

impl Process {
    fn of(all: &[ThreadSummary], names: &Names, filter: &Filter, origin_ns: i64) -> Option<Process> {
        let pid = all.first()?.pid;
        let mut facts = ProcessInfo::default();
        all.iter().for_each(|thread| facts.join(&thread.info.process));
        let wanted = all.iter().filter(|thread| filter.selects_thread(thread.pid, thread.tid));
        let mut threads: Vec<ProcessThread> =
            wanted.filter_map(|thread| ProcessThread::of(thread, &facts, names, origin_ns)).collect();
        threads.sort_by_key(|thread| thread.start_ns);
        let since = |time_ns: i64| time_ns.saturating_sub(origin_ns);
        (!threads.is_empty()).then(|| Process {
            pid,
            parent: facts.parent,
            command: names.text_str(facts.command).map(|text| text.to_string()),
            start_ns: facts.start_ns.map(since),
            end_ns: facts.exit_ns.map(since),
            status: facts.status,
            threads,
        })
    }
}

impl ProcessThread {
    fn of(
        thread: &ThreadSummary,
        process: &ProcessInfo,
        names: &Names,
        origin_ns: i64,
    ) -> Option<ProcessThread> {
        let facts = &thread.info;
        let (first_ns, last_ns) = (facts.first_ns?, facts.last_ns?);
        // A process takes its threads along.
        let end_ns = facts.ended_ns().or(process.exit_ns);
        let life_ns = end_ns.unwrap_or(last_ns).saturating_sub(first_ns);
        Some(ProcessThread {
            tid: thread.tid,
            name: names.text_str(facts.name).map(|text| text.to_string()),
            start_ns: first_ns.saturating_sub(origin_ns),
            end_ns: end_ns.map(|end_ns| end_ns.saturating_sub(origin_ns)),
            events: facts.events,
            in_calls_ns: thread.in_calls_ns,
            busy: (life_ns > 0).then(|| thread.in_calls_ns as f64 / life_ns as f64),
            lost: facts.lost,
            repaired: thread.repairs,
        })
    }
}
