//! speedscope's own format: a list of frames, and for each thread when they were opened and closed.
//!
//! A thread's events must stand together, so the trace is read once for every thread: memory stays bounded.

use std::io::Write;

use pyrec_schema::Trace;
use serde_json::{Value, json};

use super::labels::{Label, Labels};
use super::timeline::{self, Mark};
use super::{command, thread_name};
use crate::measure::Trust;
use crate::report::trust_line;
use crate::{CallTree, Filter, Result};

/// Writes every call of every thread.
pub fn write(trace: &Trace, calls: &CallTree, filter: &Filter, out: &mut impl Write) -> Result<Trust> {
    let trust = Trust::of(calls);
    // It has no place for comments, and shows the name.
    let name = format!("{} ({})", command(&calls.manifest), trust_line(&trust));
    let exporter = format!("pyrec {}", env!("CARGO_PKG_VERSION"));
    write!(out, "{{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",")?;
    write!(out, "\"exporter\":{},\"name\":{},\"profiles\":[", json!(exporter), json!(name))?;
    let mut labels = Labels::new(trace.names(), trace.manifest());
    let mut separator = "";
    for thread in calls.threads.iter().filter(|thread| filter.has_thread(thread.pid, thread.tid)) {
        let of_it = Filter { pids: vec![thread.pid], tids: vec![thread.tid], ..filter.clone() };
        let begin = format!(
            "{separator}\n{{\"type\":\"evented\",\"name\":{},\"unit\":\"nanoseconds\",\"startValue\":0,\"events\":[",
            json!(thread_name(thread, trace.names()))
        );
        if write_events(trace, &of_it, &begin, calls.counts.first_ns, &mut labels, out)? {
            separator = ",";
        }
    }
    let frames: Vec<_> = labels.all().iter().map(frame).collect();
    writeln!(out, "],\n\"shared\":{{\"frames\":{}}}}}", json!(frames))?;
    Ok(trust)
}

/// Writes the events of a thread, if it has any. Returns whether it has.
fn write_events(
    trace: &Trace,
    filter: &Filter,
    begin: &str,
    origin_ns: i64,
    labels: &mut Labels,
    out: &mut impl Write,
) -> Result<bool> {
    let mut last_ns = None;
    timeline::read(trace, filter, &mut |_, time_ns, mark| {
        let (kind, call) = match mark {
            Mark::Begin(call) => ("O", call),
            Mark::End(call, _) => ("C", call),
            Mark::Point(_) => return Ok(()),
        };
        let (frame, at_ns) = (labels.number(call.frame).0, time_ns.saturating_sub(origin_ns));
        let before = if last_ns.is_none() { begin } else { "," };
        last_ns = Some(at_ns);
        Ok(write!(out, "{before}{{\"type\":\"{kind}\",\"frame\":{frame},\"at\":{at_ns}}}")?)
    })?;
    if let Some(last_ns) = last_ns {
        write!(out, "],\"endValue\":{last_ns}}}")?;
    }
    Ok(last_ns.is_some())
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
