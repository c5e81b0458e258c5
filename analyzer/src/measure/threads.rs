//! Processes and threads: names, lifetimes, events and repairs.

use pyrec_schema::Names;
use serde::Serialize;

use crate::measure::Trust;
use crate::tree::{ProcessInfo, Repairs, ThreadSummary};
use crate::{CallTree, Filter};

/// Processes and their threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Threads {
    /// The processes that the filter selects, in the order of their first rows.
    pub processes: Vec<Process>,
    /// The trust of the recording.
    pub trust: Trust,
}

/// A process with its threads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Process {
    /// The process id.
    pub pid: i32,
    /// The id of the parent process.
    pub parent: Option<i64>,
    /// Its command line.
    pub command: Option<String>,
    /// The time of its start, since the first event of the trace.
    pub start_ns: Option<i64>,
    /// The time of its exit, since the first event of the trace; none where it was not recorded.
    pub end_ns: Option<i64>,
    /// Its exit status; none where it is unknown.
    pub status: Option<i64>,
    /// Its threads, in the order of their first rows.
    pub threads: Vec<ProcessThread>,
}

/// A thread of a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProcessThread {
    /// The thread id.
    pub tid: i32,
    /// Its last known name.
    pub name: Option<String>,
    /// The time of its first row, since the first event of the trace.
    pub start_ns: i64,
    /// The time of its end, since the first event of the trace; none where it had not ended.
    pub end_ns: Option<i64>,
    /// The number of its events.
    pub events: u64,
    /// Time in calls.
    pub in_calls_ns: u64,
    /// The time in calls as a part of the time from its first row to its end; none where that is 0.
    pub busy: Option<f64>,
    /// The number of lost events.
    pub lost: u64,
    /// The repairs.
    pub repaired: Repairs,
}

impl Threads {
    /// The processes and threads that the filter selects.
    pub fn of(calls: &CallTree, filter: &Filter) -> Threads {
        let origin_ns = if calls.counts.events() > 0 { calls.counts.first_ns } else { 0 };
        // Threads are sorted by process.
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
        let mut info = ProcessInfo::default();
        all.iter().for_each(|thread| info.join(&thread.info.process));
        let wanted = all.iter().filter(|thread| filter.selects_thread(thread.pid, thread.tid));
        let mut threads: Vec<ProcessThread> =
            wanted.filter_map(|thread| ProcessThread::of(thread, &info, names, origin_ns)).collect();
        threads.sort_by_key(|thread| thread.start_ns);
        let since = |time_ns: i64| time_ns.saturating_sub(origin_ns);
        (!threads.is_empty()).then(|| Process {
            pid,
            parent: info.parent,
            command: names.text_str(info.command).map(|text| text.to_string()),
            start_ns: info.start_ns.map(since),
            end_ns: info.exit_ns.map(since),
            status: info.status,
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
        let info = &thread.info;
        let (first_ns, last_ns) = (info.first_ns?, info.last_ns?);
        // A thread ends with its process at the latest.
        let end_ns = info.ended_ns().or(process.exit_ns);
        let lifetime_ns = end_ns.unwrap_or(last_ns).saturating_sub(first_ns);
        Some(ProcessThread {
            tid: thread.tid,
            name: names.text_str(info.name).map(|text| text.to_string()),
            start_ns: first_ns.saturating_sub(origin_ns),
            end_ns: end_ns.map(|end_ns| end_ns.saturating_sub(origin_ns)),
            events: info.events,
            in_calls_ns: thread.in_calls_ns,
            busy: (lifetime_ns > 0).then(|| thread.in_calls_ns as f64 / lifetime_ns as f64),
            lost: info.lost,
            repaired: thread.repairs,
        })
    }
}
