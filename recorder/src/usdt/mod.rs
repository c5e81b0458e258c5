//! The provider that reads CPython's static markers from outside, through BPF.
//!
//! ```text
//! program ─▶ Image ─▶ plan ─▶ probes ─▶ Kernel ─▶ RawEvent ─▶ Rows
//!            notes and        what to   the BPF   what it
//!            symbols          place     program   sends
//! ```
//!
//! Only [`Kernel`] talks to the kernel; everything before and after it is a value. `docs/markers.md` says what the
//! markers of each CPython really do, and how the code object of an event is found.

mod argument;
mod error;
mod image;
mod kernel;
mod layout;
mod library;
mod note;
mod offsets;
mod plan;
mod raw_event;
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, missing_docs, unused_qualifications)]
#[path = "../bpf/markers.skel.rs"]
#[rustfmt::skip]
mod skeleton;
mod sight;
#[cfg(test)]
mod tests;
mod unicode;
mod version;

use std::path::Path;

use pyrec_schema::{Code, CodeId, Event, Group, Lost, Marker, Python, TextId};
use rustc_hash::FxHashMap;

pub use error::Error;
use kernel::Kernel;
use library::Loaded;
use raw_event::{Definition, Head, RawEvent};
use sight::Sight;

use crate::provider::Provider;
use crate::rows::Rows;

/// The smallest and the largest ring. The largest holds half a second of the fastest program, and costs the recorder
/// twice its size in resident memory, since it is mapped twice in a row.
const RING_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 24;

/// The part of the machine's memory that a ring may take.
const RING_SHARE: u64 = 256;

/// The markers of one process.
pub struct Usdt {
    kernel: Kernel,
    pid: i32,
    python: Option<Python>,
    sight: Sight,
    codes: Codes,
    /// Kept between drains for its room.
    events: Vec<RawEvent>,
}

/// What the BPF program's ids stand for.
#[derive(Default)]
struct Codes {
    kept: FxHashMap<u64, CodeId>,
    once: FxHashMap<u64, CodeId>,
    unfound: u64,
    cut: u64,
}

impl Usdt {
    /// Reads the markers of a process that runs.
    pub fn attach_process(pid: i32, groups: &[Group]) -> Result<Usdt, Error> {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        let program = program.map_err(|source| unreadable_process(pid, source))?;
        Usdt::attach(&program, Loaded::By(pid), pid, groups, ring_bytes())
    }

    /// Reads the markers of a process that is about to become `program`.
    pub fn attach_launched(program: &Path, pid: i32, groups: &[Group]) -> Result<Usdt, Error> {
        Usdt::attach(program, Loaded::Later, pid, groups, ring_bytes())
    }

    /// `ring_bytes` is a power of two, at least a page.
    fn attach(
        program: &Path,
        loaded: Loaded,
        pid: i32,
        groups: &[Group],
        ring_bytes: u32,
    ) -> Result<Usdt, Error> {
        let image = library::interpreter_image(program, loaded)?;
        let probes = plan::plan(&image, groups)?;
        let mut kernel = Kernel::load(ring_bytes)?;
        kernel.place(&image.path, pid, &probes).map_err(|error| gone_or(error, pid))?;
        let python = image.python.map(|python| Python {
            version: plan::version_text(&python),
            build: None,
            executable: Some(program.to_string_lossy().into_owned()),
            path: Vec::new(),
        });
        Ok(Usdt { kernel, pid, python, sight: Sight::default(), codes: Codes::default(), events: Vec::new() })
    }

    fn row(&mut self, event: RawEvent, rows: &mut Rows) -> crate::Result<u64> {
        match event {
            RawEvent::Number(head) => {
                let row = self.number_row(head);
                self.sight.see(head.time_ns, head.pid, head.tid, rows)?;
                rows.push(row)?;
                Ok(1)
            }
            RawEvent::Text(head, text) => {
                let value = (head.marker == Marker::ImportDone).then_some(head.what as i64);
                let text = text.map_or(TextId::NONE, |text| rows.names().text(&text));
                self.sight.see(head.time_ns, head.pid, head.tid, rows)?;
                rows.push(Event { value, text, ..blank(head) })?;
                Ok(1)
            }
            RawEvent::Defined(definition) => {
                self.codes.define(&definition, rows);
                Ok(0)
            }
            RawEvent::Freed { id } => {
                self.codes.kept.remove(&id);
                Ok(0)
            }
            RawEvent::Lost { head, from_ns } => {
                self.sight.see(head.time_ns, head.pid, head.tid, rows)?;
                let Head { time_ns: to_ns, pid, tid, what: count, .. } = head;
                rows.lost(Lost { pid, tid, count, from_ns, to_ns })?;
                Ok(0)
            }
        }
    }

    fn number_row(&mut self, head: Head) -> Event {
        match head.marker {
            Marker::GcStart | Marker::GcDone => Event { value: Some(head.what as i64), ..blank(head) },
            _ => Event { code: self.codes.of(head.what), ..blank(head) },
        }
    }
}

fn blank(head: Head) -> Event {
    let Head { time_ns, pid, tid, marker, line, .. } = head;
    Event { time_ns, pid, tid, marker, code: CodeId::NONE, line, value: None, text: TextId::NONE }
}

impl Codes {
    fn define(&mut self, definition: &Definition, rows: &mut Rows) {
        let Definition { id, file, first_line, qualname, .. } = definition;
        let code = Code { file, first_line: *first_line, qualname };
        let code = rows.names().code(&code.to_string());
        rows.source(file, definition.pid);
        self.unfound += u64::from(!definition.found);
        self.cut += u64::from(definition.cut);
        let ids = if definition.once { &mut self.once } else { &mut self.kept };
        ids.insert(*id, code);
    }

    /// The code of an event. Its definition always came before it.
    fn of(&mut self, id: u64) -> CodeId {
        let once = || self.once.remove(&id);
        self.kept.get(&id).copied().or_else(once).unwrap_or(CodeId::NONE)
    }

    fn notices(&self, rows: &mut Rows) {
        if self.unfound > 0 {
            let count = self.unfound;
            rows.notice(format!(
                "the code of {count} events could not be found: they have a name but no first line"
            ));
        }
        if self.cut > 0 {
            let count = self.cut;
            rows.notice(format!("the names of {count} functions are longer than 4096 bytes and were cut"));
        }
    }
}

impl Provider for Usdt {
    fn drain(&mut self, rows: &mut Rows) -> crate::Result<u64> {
        if let Some(python) = self.python.take() {
            rows.python(python);
        }
        let mut count = 0;
        let mut more = true;
        while more {
            let mut events = std::mem::take(&mut self.events);
            more = self.kernel.take(&mut events)?;
            for event in events.drain(..) {
                count += self.row(event, rows)?;
            }
            self.events = events;
        }
        rows.count(count);
        Ok(count)
    }

    fn stop(&mut self, rows: &mut Rows) -> crate::Result<()> {
        self.kernel.remove();
        self.drain(rows)?;
        for lost in self.kernel.losses()? {
            let pid = if lost.pid == 0 { self.pid } else { lost.pid };
            rows.lost(Lost { pid, ..lost })?;
        }
        self.codes.notices(rows);
        Ok(())
    }
}

/// A process that is gone fails in many ways; that it is gone says it best.
fn gone_or(error: Error, pid: i32) -> Error {
    if Path::new(&format!("/proc/{pid}")).exists() { error } else { Error::Gone { pid } }
}

fn unreadable_process(pid: i32, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => Error::Gone { pid },
        _ => Error::Unreadable { path: format!("/proc/{pid}/exe").into(), source },
    }
}

fn ring_bytes() -> u32 {
    let info = rustix::system::sysinfo();
    let memory = info.totalram as u64 * u64::from(info.mem_unit);
    let share = memory / RING_SHARE;
    let bytes = share.clamp(*RING_BYTES.start(), *RING_BYTES.end());
    1 << bytes.ilog2()
}
