//! Pyrec's own layout of the hierarchy: seconds since the first event, thread, duration, call.
//!
//! ```text
//!  0.000001000     8274           → start  call_stack.py:23
//!  0.000002000     8274   1.50 µs   function_1  call_stack.py:1
//!  0.000005000     8274   4.00 µs ← start  call_stack.py:28
//! ```
//!
//! A call without inner lines takes one line: its entry is kept until the next line shows whether
//! it is the return.

use std::io::{self, Write};

use pyrec_schema::{Code, Event, LostEvents, Marker, Names};

use super::lines::{EntryTime, LineKind, TreeLine};
use crate::escape::Printable;
use crate::report::display::{Count, Indent, Time, plural};
use crate::tree::Frame;

/// Lays lines out in pyrec's own format.
pub struct PyrecLayout<'a> {
    names: &'a Names,
    origin_ns: i64,
    /// The last line if it is an entry. It is merged with its return if that follows.
    pending_entry: Option<TreeLine>,
}

impl<'a> PyrecLayout<'a> {
    /// A layout whose times count from `origin_ns`.
    pub fn new(names: &'a Names, origin_ns: i64) -> Self {
        PyrecLayout { names, origin_ns, pending_entry: None }
    }

    /// Writes a line. An entry is written with the next line or by [`flush`](Self::flush).
    pub fn write(&mut self, line: &TreeLine, out: &mut impl Write) -> io::Result<()> {
        if let LineKind::Entry(_) = line.kind {
            self.flush(out)?;
            self.pending_entry = Some(*line);
            return Ok(());
        }
        match (self.pending_entry.take(), line.kind) {
            (Some(entry), LineKind::Return(frame, EntryTime::Known(_))) if is_return_of(line, &entry) => {
                let duration_ns = line.event.time_ns.abs_diff(entry.event.time_ns);
                let resumption = [self.resumption(&entry.event), self.resumption(&line.event)].concat();
                let call = format!("{}{resumption}", self.call(frame, &entry.event));
                self.write_columns(&entry, Some(duration_ns), "", &call, out)
            }
            (entry, _) => {
                self.pending_entry = entry;
                self.flush(out)?;
                self.write_line(line, out)
            }
        }
    }

    /// Writes the pending entry, if there is one.
    pub fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.pending_entry.take() {
            Some(entry) => self.write_line(&entry, out),
            None => Ok(()),
        }
    }

    fn write_line(&self, line: &TreeLine, out: &mut impl Write) -> io::Result<()> {
        let event = &line.event;
        let call = |frame| format!("{}{}", self.call(frame, event), self.resumption(event));
        match line.kind {
            LineKind::Entry(frame) => self.write_columns(line, None, "→ ", &call(frame), out),
            LineKind::Return(frame, EntryTime::Known(since_ns)) => {
                let duration_ns = u64::try_from(event.time_ns.saturating_sub(since_ns)).unwrap_or(0);
                self.write_columns(line, Some(duration_ns), "← ", &call(frame), out)
            }
            LineKind::Return(frame, EntryTime::Uncertain) => {
                self.write_columns(line, None, "← ", &format!("{}  across a loss", call(frame)), out)
            }
            LineKind::Return(frame, EntryTime::Unseen) => {
                self.write_columns(line, None, "← ", &format!("{}  its entry was not seen", call(frame)), out)
            }
            LineKind::NeverReturned(frame) => {
                self.write_columns(line, None, "× ", &format!("{}  never returned", call(frame)), out)
            }
            LineKind::StillOpen(frame) => {
                self.write_columns(line, None, "× ", &format!("{}  still open", call(frame)), out)
            }
            LineKind::Repeats { frame, count, total_ns } => {
                let repeats = format!("… {} × {}", Count(count), call(frame));
                self.write_columns(line, Some(total_ns), "", &repeats, out)
            }
            LineKind::Instant => self.write_columns(line, None, "", &self.instant(event), out),
        }
    }

    fn write_columns(
        &self,
        line: &TreeLine,
        duration_ns: Option<u64>,
        arrow: &str,
        text: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let since_ns = line.event.time_ns.saturating_sub(self.origin_ns);
        let sign = if since_ns < 0 { "-" } else { "" };
        let (s, ns) = (since_ns.unsigned_abs() / 1_000_000_000, since_ns.unsigned_abs() % 1_000_000_000);
        let duration = duration_ns.map_or(String::new(), |ns| Time(ns).to_string());
        let (time, tid) = (format!("{sign}{s}.{ns:09}"), line.event.tid);
        let indent = Indent { levels: line.level, columns: 2 };
        writeln!(out, "{time:>13} {tid:>8} {duration:>9} {indent}{arrow}{text}")
    }

    fn call(&self, frame: Frame, event: &Event) -> String {
        match frame {
            Frame::Function(code) => {
                let code = self.names.code_str(code);
                let code = Code::parse(&code);
                let name = code.qualname.replace(';', ":");
                format!("{}  {}", Printable(&name), source_location(&code, event.line))
            }
            Frame::Cfunction(name) => {
                format!("{} (C)", Printable(&self.names.text_str(name).unwrap_or_default()))
            }
            Frame::Gc => match (event.marker, event.value) {
                (Marker::GcStart, Some(generation)) => format!("garbage collection  generation {generation}"),
                (Marker::GcDone, Some(found)) => format!("garbage collection  {found} found"),
                _ => "garbage collection".into(),
            },
            Frame::Lost | Frame::Thread => String::new(),
        }
    }

    /// How a generator was resumed or suspended: the text of a function's row. In rows of C
    /// functions the text is their name, which is part of the frame.
    fn resumption(&self, event: &Event) -> String {
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionReturn => self
                .names
                .text_str(event.text)
                .map_or(String::new(), |text| format!("  {}", Printable(&text))),
            _ => String::new(),
        }
    }

    /// The text of an event without a duration.
    fn instant(&self, event: &Event) -> String {
        let text = self.names.text_str(event.text);
        let text = Printable(text.as_deref().unwrap_or("?")).to_string();
        let value = event.value.map_or("unknown".into(), |value| value.to_string());
        match event.marker {
            Marker::Line => source_location(&Code::parse(&self.names.code_str(event.code)), event.line),
            Marker::ImportStart => format!("import {text}"),
            Marker::ImportDone if event.value == Some(0) => format!("import {text}  not found"),
            Marker::ImportDone => format!("import {text}  done"),
            Marker::Audit => format!("audit {text}"),
            Marker::InstanceStart => format!("new {text}"),
            Marker::InstanceDone if event.value == Some(0) => format!("new {text}  raised"),
            Marker::InstanceDone => format!("new {text}  done"),
            Marker::ProcessStart => format!("process {} starts  {text}", event.pid),
            Marker::ProcessExit => format!("process {} ends  status {value}", event.pid),
            Marker::ThreadStart => format!("thread {} starts  {text}", event.tid),
            Marker::ThreadExit => format!("thread {} ends", event.tid),
            Marker::Lost => match LostEvents::from_event(event, self.names) {
                Some(LostEvents { count, from_ns, to_ns, .. }) => {
                    let during = Time(u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0));
                    format!("┄ {} lost in {during} ┄", plural(count, "event"))
                }
                None => "┄ events lost ┄".into(),
            },
            marker => marker.name().into(),
        }
    }
}

fn is_return_of(line: &TreeLine, entry: &TreeLine) -> bool {
    (line.event.tid, line.event.pid, line.level) == (entry.event.tid, entry.event.pid, entry.level)
}

/// `run.py:12`
fn source_location(code: &Code, line: i32) -> String {
    let base = code.file.rsplit('/').next().unwrap_or(code.file);
    if line > 0 { format!("{}:{line}", Printable(base)) } else { Printable(base).to_string() }
}
