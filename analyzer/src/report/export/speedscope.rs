//! Export in speedscope's evented format: a list of frames, and for each thread the times when
//! frames were opened and closed.
//!
//! The events of a thread must be contiguous, so the trace is read several times: once for each
//! thread with many events, whose events are written directly, and once for each group of threads
//! that have few events together, whose events are buffered. This bounds the memory as well as the
//! number of readings.

use std::io::{self, Write};

use pyrec_schema::Trace;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::labels::{Label, Labels, command, thread_name};
use super::timeline::{self, SpanEvent};
use crate::measure::Trust;
use crate::report::trust_line;
use crate::tree::ThreadSummary;
use crate::{CallTree, Filter, Result, order};

/// The number of events of a group of threads that are buffered while the trace is read.
const MAX_BUFFERED: u64 = 1 << 20;

/// Writes every call of every thread.
pub fn write(trace: &Trace, calls: &CallTree, filter: &Filter, out: &mut impl Write) -> Result<Trust> {
    let trust = Trust::of(calls);
    // The format has no comments. speedscope shows the name, so the trust line is part of it.
    let name = format!("{} ({})", command(&calls.manifest), trust_line(&trust));
    let exporter = format!("pyrec {}", env!("CARGO_PKG_VERSION"));
    write!(out, "{{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",")?;
    write!(out, "\"exporter\":{},\"name\":{},\"profiles\":[", json!(exporter), json!(name))?;
    let mut labels = Labels::new(trace.names(), trace.manifest());
    let mut separator = "";
    let selected = calls.threads.iter().filter(|thread| filter.selects_thread(thread.pid, thread.tid));
    for group in groups(selected) {
        let mut profiles = Profiles::of(&group, calls);
        if let [thread] = group[..] {
            let thread_filter = Filter { pids: vec![thread.pid], tids: vec![thread.tid], ..filter.clone() };
            let mut begin = Some(format!("{separator}\n{}", profiles.begin(0)));
            profiles.read(trace, &thread_filter, &mut labels, &mut |_, event| {
                begin.take().map_or(Ok(()), |begin| out.write_all(begin.as_bytes()))?;
                out.write_all(event)
            })?;
            if begin.is_none() {
                write!(out, "{}", profiles.end(0))?;
                separator = ",";
            }
            continue;
        }
        let mut events = vec![Vec::new(); group.len()];
        profiles.read(trace, filter, &mut labels, &mut |at, event| events[at].write_all(event))?;
        for (at, events) in events.iter().enumerate().filter(|(_, events)| !events.is_empty()) {
            write!(out, "{separator}\n{}", profiles.begin(at))?;
            out.write_all(events)?;
            write!(out, "{}", profiles.end(at))?;
            separator = ",";
        }
    }
    let frames: Vec<_> = labels.all().iter().map(frame).collect();
    writeln!(out, "],\n\"shared\":{{\"frames\":{}}}}}", json!(frames))?;
    Ok(trust)
}

/// Groups of threads that are read together: one thread with many events, or several with few
/// events together.
fn groups<'a>(threads: impl Iterator<Item = &'a ThreadSummary>) -> Vec<Vec<&'a ThreadSummary>> {
    let mut groups: Vec<Vec<&ThreadSummary>> = Vec::new();
    let mut remaining = 0;
    for thread in threads.filter(|thread| thread.has_events()) {
        match groups.last_mut() {
            Some(group) if thread.info.events <= remaining => group.push(thread),
            _ => {
                groups.push(vec![thread]);
                remaining = MAX_BUFFERED;
            }
        }
        remaining = remaining.saturating_sub(thread.info.events);
    }
    groups
}

/// The profiles of a group of threads.
struct Profiles<'a> {
    threads: &'a [&'a ThreadSummary],
    calls: &'a CallTree,
    /// The index of each thread in the group.
    indexes: FxHashMap<order::ThreadId, usize>,
    /// The time of the last event of each thread; `None` if it has none yet.
    last_ns: Vec<Option<i64>>,
}

impl<'a> Profiles<'a> {
    fn of(threads: &'a [&'a ThreadSummary], calls: &'a CallTree) -> Self {
        let index = |(at, thread): (usize, &&ThreadSummary)| {
            (order::ThreadId { pid: thread.pid, tid: thread.tid }, at)
        };
        let indexes = threads.iter().enumerate().map(index).collect();
        Profiles { threads, calls, indexes, last_ns: vec![None; threads.len()] }
    }

    fn begin(&self, at: usize) -> String {
        let name = json!(thread_name(self.threads[at], &self.calls.names));
        format!(
            "{{\"type\":\"evented\",\"name\":{name},\"unit\":\"nanoseconds\",\"startValue\":0,\"events\":["
        )
    }

    fn end(&self, at: usize) -> String {
        format!("],\"endValue\":{}}}", self.last_ns[at].unwrap_or(0))
    }

    /// Reads the events of the threads. `sink` receives the index of a thread in the group and the
    /// next part of its output.
    fn read(
        &mut self,
        trace: &Trace,
        filter: &Filter,
        labels: &mut Labels,
        sink: &mut impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> Result<()> {
        timeline::read(trace, filter, &mut |thread, time_ns, span_event| {
            let (kind, call) = match span_event {
                SpanEvent::Begin(call) => ("O", call),
                SpanEvent::End(call, _) => ("C", call),
                SpanEvent::Instant(_) => return Ok(()),
            };
            let Some(&at) = self.indexes.get(&thread) else { return Ok(()) };
            let frame = labels.number(call.frame).0;
            let at_ns = time_ns.saturating_sub(self.calls.counts.first_ns);
            let separator = if self.last_ns[at].is_none() { "" } else { "," };
            self.last_ns[at] = Some(at_ns);
            let event = format!("{separator}{{\"type\":\"{kind}\",\"frame\":{frame},\"at\":{at_ns}}}");
            Ok(sink(at, event.as_bytes())?)
        })
    }
}

fn frame(label: &Label) -> Value {
    let mut frame = json!({ "name": label.name });
    if let Some(file) = &label.file {
        frame["file"] = json!(file);
    }
    if let Some(line) = label.line {
        frame["line"] = json!(line);
    }
    frame
}
