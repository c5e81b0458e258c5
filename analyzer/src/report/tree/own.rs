//! Our layout: time since the first event, thread, duration, call.
//!
//! ```text
//!  0.000001000     8274           → start  call_stack.py:23
//!  0.000002000     8274   1.50 µs   function_1  call_stack.py:1
//!  0.000005000     8274   4.00 µs ← start  call_stack.py:28
//! ```
//!
//! A call in which nothing happens takes one line.

use std::io::{self, Write};

use pyrec_schema::{Code, Event, Lost, Marker, Names};

use super::item::{Item, Since, What};
use crate::report::escape::Plain;
use crate::report::indent::Indent;
use crate::report::units::{Count, Time, plural};
use crate::tree::Frame;

/// Our layout.
pub struct Own<'a> {
    names: &'a Names,
    origin_ns: i64,
    /// A call that was entered last, and so may take one line with its return.
    pending: Option<Item>,
}

impl<'a> Own<'a> {
    /// Lines with these names, and times since that instant.
    pub fn new(names: &'a Names, origin_ns: i64) -> Self {
        Own { names, origin_ns, pending: None }
    }

    /// Writes the line of an item, or keeps it until it is known what follows.
    pub fn item(&mut self, item: &Item, out: &mut impl Write) -> io::Result<()> {
        if let What::Entry(_) = item.what {
            self.flush(out)?;
            self.pending = Some(*item);
            return Ok(());
        }
        match (self.pending.take(), item.what) {
            (Some(entry), What::Return(frame, Since::Entry(_))) if is_return_of(item, &entry) => {
                let duration_ns = item.event.time_ns.abs_diff(entry.event.time_ns);
                let how = [self.text(&entry.event), self.text(&item.event)].concat();
                self.line(
                    &entry,
                    Some(duration_ns),
                    "",
                    &format!("{}{how}", self.call(frame, &entry.event)),
                    out,
                )
            }
            (entry, _) => {
                self.pending = entry;
                self.flush(out)?;
                self.write(item, out)
            }
        }
    }

    /// Writes the call that was waiting for its return.
    pub fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.pending.take() {
            Some(entry) => self.write(&entry, out),
            None => Ok(()),
        }
    }

    fn write(&self, item: &Item, out: &mut impl Write) -> io::Result<()> {
        let event = &item.event;
        let call = |frame| format!("{}{}", self.call(frame, event), self.text(event));
        match item.what {
            What::Entry(frame) => self.line(item, None, "→ ", &call(frame), out),
            What::Return(frame, Since::Entry(since_ns)) => {
                let duration_ns = u64::try_from(event.time_ns.saturating_sub(since_ns)).unwrap_or(0);
                self.line(item, Some(duration_ns), "← ", &call(frame), out)
            }
            What::Return(frame, Since::Unsure) => {
                self.line(item, None, "← ", &format!("{}  across a loss", call(frame)), out)
            }
            What::Return(frame, Since::Unseen) => {
                self.line(item, None, "← ", &format!("{}  its entry was not seen", call(frame)), out)
            }
            What::NeverReturned(frame) => {
                self.line(item, None, "× ", &format!("{}  never returned", call(frame)), out)
            }
            What::StillOpen(frame) => {
                self.line(item, None, "× ", &format!("{}  still open", call(frame)), out)
            }
            What::Repeats { frame, count, total_ns } => {
                let what = format!("… {} × {}", Count(count), call(frame));
                self.line(item, Some(total_ns), "", &what, out)
            }
            What::Point => self.line(item, None, "", &self.point(event), out),
        }
    }

    fn line(
        &self,
        item: &Item,
        duration_ns: Option<u64>,
        arrow: &str,
        what: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let since_ns = item.event.time_ns.saturating_sub(self.origin_ns);
        let sign = if since_ns < 0 { "-" } else { "" };
        let (s, ns) = (since_ns.unsigned_abs() / 1_000_000_000, since_ns.unsigned_abs() % 1_000_000_000);
        let duration = duration_ns.map_or(String::new(), |ns| Time(ns).to_string());
        let (time, tid) = (format!("{sign}{s}.{ns:09}"), item.event.tid);
        let indent = Indent { levels: item.level, columns: 2 };
        writeln!(out, "{time:>13} {tid:>8} {duration:>9} {indent}{arrow}{what}")
    }

    fn call(&self, frame: Frame, event: &Event) -> String {
        match frame {
            Frame::Function(code) => {
                let code = self.names.code_str(code);
                let code = Code::parse(&code);
                let name = code.qualname.replace(';', ":");
                format!("{}  {}", Plain(&name), place(&code, event.line))
            }
            Frame::Cfunction(name) => {
                format!("{} (C)", Plain(&self.names.text_str(name).unwrap_or_default()))
            }
            Frame::Gc => match (event.marker, event.value) {
                (Marker::GcStart, Some(generation)) => format!("garbage collection  generation {generation}"),
                (Marker::GcDone, Some(found)) => format!("garbage collection  {found} found"),
                _ => "garbage collection".into(),
            },
            Frame::Lost | Frame::Thread => String::new(),
        }
    }

    /// How a generator goes on or stops; of a C function the text is its name.
    fn text(&self, event: &Event) -> String {
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionReturn => {
                self.names.text_str(event.text).map_or(String::new(), |text| format!("  {}", Plain(&text)))
            }
            _ => String::new(),
        }
    }

    fn point(&self, event: &Event) -> String {
        let text = self.names.text_str(event.text);
        let text = Plain(text.as_deref().unwrap_or("?")).to_string();
        let value = event.value.map_or("unknown".into(), |value| value.to_string());
        match event.marker {
            Marker::Line => place(&Code::parse(&self.names.code_str(event.code)), event.line),
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
            Marker::Lost => match Lost::from_event(event, self.names) {
                Some(Lost { count, from_ns, to_ns, .. }) => {
                    let during = Time(u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0));
                    format!("┄ {} lost in {during} ┄", plural(count, "event"))
                }
                None => "┄ events lost ┄".into(),
            },
            marker => marker.name().into(),
        }
    }
}

fn is_return_of(item: &Item, entry: &Item) -> bool {
    (item.event.tid, item.event.pid, item.level) == (entry.event.tid, entry.event.pid, entry.level)
}

/// `run.py:12`
fn place(code: &Code, line: i32) -> String {
    let base = code.file.rsplit('/').next().unwrap_or(code.file);
    if line > 0 { format!("{}:{line}", Plain(base)) } else { Plain(base).to_string() }
}
