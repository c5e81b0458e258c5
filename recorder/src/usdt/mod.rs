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
mod crowd;
mod error;
mod events;
mod family;
mod image;
mod kernel;
mod layout;
mod library;
mod namespace;
mod note;
mod offsets;
mod placing;
mod plan;
mod qualname;
mod raw_event;
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, missing_docs, unused_qualifications)]
#[path = "../bpf/markers.skel.rs"]
#[rustfmt::skip]
mod skeleton;
mod sight;
#[cfg(test)]
mod tests;
mod tracefs;
mod unicode;
mod version;

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use pyrec_schema::{Code, CodeId, Event, Group, Lost, Marker, TextId};
use pyrec_wire::Filter;
use rustc_hash::FxHashMap;

use crowd::Crowd;
pub use error::Error;
use image::Image;
use kernel::{Call, Kernel};
pub use library::Interpreter;
use placing::Reach;
pub use plan::groups;
use qualname::Qualnames;
use raw_event::{Definition, Head, ONCE, RawEvent};
use sight::{Ended, Sight};
pub use version::Version;

use crate::provider::Provider;
use crate::pythons::{self, Found};
use crate::rows::Rows;

/// The smallest and the largest ring. The largest holds half a second of the fastest program, and costs the recorder
/// twice its size in resident memory, since it is mapped twice in a row.
const RING_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 24;

/// The part of the machine's memory that a ring may take.
const RING_SHARE: u64 = 256;

/// The markers of processes.
pub struct Usdt {
    kernel: Kernel,
    /// The first process.
    pid: i32,
    crowd: Crowd,
    /// What is asked for of a Python that is met on the way.
    groups: Vec<Group>,
    /// Whether all processes are recorded, and not some and whom they start.
    machine: bool,
    sight: Sight,
    codes: Codes,
    /// Which functions are recorded.
    filter: Filter,
    /// Kept between drains for its room.
    events: Vec<RawEvent>,
}

/// What the addresses of code objects stand for.
#[derive(Default)]
struct Codes {
    /// By process and address; none for what is left out.
    kept: FxHashMap<(i32, u64), Option<CodeId>>,
    /// By ids that serve one event only.
    once: FxHashMap<u64, Option<CodeId>>,
    qualnames: Qualnames,
    /// What CPython runs after an `__init__` that it has called by a short cut. In 3.15 it has a return, and no entry.
    init_cleanup: Option<CodeId>,
    unfound: u64,
    cut: u64,
    /// Returns that were left out, since nothing was entered.
    #[cfg(test)]
    left_out: u64,
}

impl Usdt {
    /// Reads the markers of processes that run, and of their children.
    pub fn attach_processes(pids: &[i32], groups: &[Group]) -> Result<Usdt, Error> {
        Usdt::attach(&interpreters_of(pids)?, pids, groups, ring_bytes())
    }

    /// Reads the markers of a process that is about to become `program`, and of its children.
    pub fn attach_launched(program: &Path, pid: i32, groups: &[Group]) -> Result<Usdt, Error> {
        let first = match Interpreter::of_program(program) {
            // What it starts may be one.
            Err(Error::NotPython { .. }) => vec![],
            first => vec![first?],
        };
        let mut usdt = Usdt::attach(&first, &[pid], groups, ring_bytes())?;
        usdt.sight.launched = Some(pid);
        Ok(usdt)
    }

    /// Reads the markers of every Python on the machine.
    pub fn attach_machine(groups: &[Group]) -> Result<Usdt, Error> {
        let mut usdt = Usdt { machine: true, ..Usdt::load(0, groups, ring_bytes())? };
        // Before the search, so that nobody is missed between the two.
        usdt.kernel.name_everyone();
        let (marked, bare): (Vec<Found>, Vec<Found>) =
            pythons::everywhere().into_iter().partition(|found| !found.interpreter.image.notes.is_empty());
        let marked: Vec<Interpreter> = marked.into_iter().map(|found| found.interpreter).collect();
        usdt.crowd.place(&mut usdt.kernel, &marked, groups, Reach::Machine)?;
        usdt.kernel.watch(true);
        let bare = bare.into_iter().filter(|found| !found.pids.is_empty());
        usdt.crowd.notices.extend(bare.map(|Found { program, pids, .. }| {
            let (program, pids) = (program.display(), list(&pids));
            format!("{program} has no markers and is not recorded (process {pids})")
        }));
        Ok(usdt)
    }

    /// `ring_bytes` is a power of two, at least a page.
    fn attach(
        interpreters: &[Interpreter],
        pids: &[i32],
        groups: &[Group],
        ring_bytes: u32,
    ) -> Result<Usdt, Error> {
        let mut usdt = Usdt::load(pids.first().copied().unwrap_or_default(), groups, ring_bytes)?;
        usdt.kernel.name(pids)?;
        usdt.crowd
            .place(&mut usdt.kernel, interpreters, groups, Reach::Families(pids))
            .map_err(|error| gone_or(error, pids))?;
        usdt.kernel.watch(true);
        if let Some(error) = usdt.kernel.cannot_follow() {
            usdt.crowd.notices.push(format!(
                "children are not recorded: that needs root, for the kernel's list of named probes ({error})"
            ));
        }
        Ok(usdt)
    }

    /// Leaves out the functions that the filter does.
    pub fn filtered(self, filter: Filter) -> Usdt {
        Usdt { filter, ..self }
    }

    /// Loads the program and places a probe on ourselves, where it is never hit. Says why the children of processes
    /// cannot be followed, if they cannot.
    pub fn try_out() -> Result<Option<std::io::Error>, Error> {
        let (mut kernel, ourselves) = (Kernel::load(*RING_BYTES.start() as u32)?, std::process::id() as i32);
        let path = Path::new("/proc/self/exe");
        let file = File::open(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
        let probe = plan::on_entry_point(&Image::of(path, &file)?)?;
        kernel.place(file.as_fd(), &[probe], Reach::Families(&[ourselves]))?;
        Ok(kernel.cannot_follow())
    }

    fn load(pid: i32, groups: &[Group], ring_bytes: u32) -> Result<Usdt, Error> {
        Ok(Usdt {
            kernel: Kernel::load(ring_bytes)?,
            pid,
            crowd: Crowd::default(),
            groups: groups.to_vec(),
            machine: false,
            sight: Sight::default(),
            codes: Codes::default(),
            filter: Filter::default(),
            events: Vec::new(),
        })
    }

    /// Takes what the kernel has sent. Returns the number of events.
    fn take_all(&mut self, rows: &mut Rows) -> crate::Result<u64> {
        let mut count = 0;
        let mut more = true;
        while more {
            let mut events = std::mem::take(&mut self.events);
            more = self.kernel.take(&mut events)?;
            for event in events.drain(..) {
                count += self.row(event, rows)?;
            }
            self.events = events;
            for (pid, tid) in self.sight.new.drain(..) {
                self.kernel.adopt(pid, tid);
            }
        }
        rows.count(count);
        Ok(count)
    }

    /// Tells of threads and processes that have ended.
    fn forget(&mut self, ended: &[Ended], rows: &mut Rows) -> crate::Result<()> {
        let processes = ended.iter().filter(|ended| ended.tid.is_none());
        processes.for_each(|process| self.kernel.release(process.pid));
        self.sight.tell(ended, rows)
    }

    fn row(&mut self, event: RawEvent, rows: &mut Rows) -> crate::Result<u64> {
        match event {
            RawEvent::Number(head) => {
                let row = self.number_row(head);
                if row.as_ref().is_some_and(|row| self.codes.leaves_out(row)) {
                    return Ok(0);
                }
                self.sight.see(head.time_ns, head.pid, head.tid, rows)?;
                let Some(row) = row else { return Ok(0) };
                rows.push(row)?;
                Ok(1)
            }
            RawEvent::Text(head, text) => {
                // `line` is whether it was found.
                let value = (head.marker == Marker::ImportDone).then_some(head.line.into());
                let text = text.map_or(TextId::NONE, |text| rows.names().text(&text));
                self.sight.see(head.time_ns, head.pid, head.tid, rows)?;
                rows.push(Event { value, text, line: 0, ..blank(head) })?;
                Ok(1)
            }
            RawEvent::Defined(definition) => {
                self.codes.define(&definition, &self.filter, rows);
                Ok(0)
            }
            RawEvent::Freed { pid, code } => {
                self.codes.kept.remove(&(pid, code));
                Ok(0)
            }
            RawEvent::Gone { pid } => {
                self.codes.kept.retain(|(of, _), _| *of != pid);
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

    /// None for what is left out.
    fn number_row(&mut self, head: Head) -> Option<Event> {
        match head.marker {
            Marker::GcStart | Marker::GcDone => Some(Event { value: Some(head.what as i64), ..blank(head) }),
            _ => self.codes.of(head.pid, head.what).map(|code| Event { code, ..blank(head) }),
        }
    }
}

fn blank(head: Head) -> Event {
    let Head { time_ns, pid, tid, marker, line, .. } = head;
    // 3.15 says -1 where the body of a class begins.
    let line = line.max(0);
    Event { time_ns, pid, tid, marker, code: CodeId::NONE, line, value: None, text: TextId::NONE }
}

impl Codes {
    fn define(&mut self, definition: &Definition, filter: &Filter, rows: &mut Rows) {
        let Definition { what, pid, file, first_line, qualname, .. } = definition;
        let from_text = first_line
            .filter(|_| definition.plain)
            .and_then(|first_line| self.qualnames.of(*pid, file, first_line, qualname));
        let code = Code { file, first_line: *first_line, qualname: from_text.unwrap_or(qualname) };
        let code = filter.has(file, code.qualname).then(|| rows.names().code(&code.to_string()));
        if (file.as_str(), qualname.as_str()) == ("__init__", "__init__") {
            self.init_cleanup = code;
        }
        if code.is_some() {
            rows.source(file, *pid);
        }
        self.unfound += u64::from(!definition.found);
        self.cut += u64::from(definition.cut);
        if what & ONCE == 0 {
            self.kept.insert((*pid, *what), code);
        } else {
            self.once.insert(*what, code);
        }
    }

    /// Whether an event is no call's.
    fn leaves_out(&mut self, row: &Event) -> bool {
        let is_cleanup = self.init_cleanup.is_some_and(|code| code == row.code);
        #[cfg(test)]
        {
            self.left_out += u64::from(is_cleanup);
        }
        is_cleanup
    }

    /// The code of an event, none if it is left out. Its definition always came before it.
    fn of(&mut self, pid: i32, what: u64) -> Option<CodeId> {
        let once = || self.once.remove(&what);
        self.kept.get(&(pid, what)).copied().or_else(once).unwrap_or(Some(CodeId::NONE))
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
        for Call { time_ns, pid } in self.kernel.called() {
            rows.enter(pid, 0);
            if self.sight.launched == Some(pid) {
                self.sight.see(time_ns, pid, pid, rows)?;
            }
            self.crowd.meet(&mut self.kernel, pid, &self.groups, self.machine);
        }
        self.crowd.pythons.drain(..).for_each(|python| rows.python(python));
        self.crowd.notices.drain(..).for_each(|notice| rows.notice(notice));
        let ended = self.sight.look(false);
        let count = self.take_all(rows)?;
        self.forget(&ended, rows)?;
        Ok(count)
    }

    fn call(&self) -> Option<BorrowedFd<'_>> {
        Some(self.kernel.call())
    }

    fn stop(&mut self, rows: &mut Rows) -> crate::Result<()> {
        self.kernel.remove();
        // Nobody is met from here on.
        self.kernel.called().clear();
        let ended = self.sight.look(true);
        self.drain(rows)?;
        self.forget(&ended, rows)?;
        for lost in self.kernel.losses()? {
            let pid = if lost.pid == 0 { self.pid } else { lost.pid };
            rows.lost(Lost { pid, ..lost })?;
        }
        self.codes.notices(rows);
        match self.kernel.unheard() {
            0 => {}
            count => rows.notice(format!("{count} processes were too many to follow, and may be missing")),
        }
        if self.kernel.is_unsure() {
            rows.notice(
                "events of children may be missing, and are not counted as lost: before Linux 6.12 the kernel may take a \
                 child's probes away when a process related to it ends"
                    .into(),
            );
        }
        Ok(())
    }
}

fn list(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// The interpreters that these processes run.
fn interpreters_of(pids: &[i32]) -> Result<Vec<Interpreter>, Error> {
    pids.iter().map(|&pid| Interpreter::of_process(pid)).collect()
}

/// A process that is gone fails in many ways; that it is gone says it best.
fn gone_or(error: Error, pids: &[i32]) -> Error {
    let gone = pids.iter().find(|pid| !Path::new(&format!("/proc/{pid}")).exists());
    gone.map_or(error, |&pid| Error::Gone { pid })
}

fn ring_bytes() -> u32 {
    let info = rustix::system::sysinfo();
    let memory = info.totalram as u64 * u64::from(info.mem_unit);
    let share = memory / RING_SHARE;
    let bytes = share.clamp(*RING_BYTES.start(), *RING_BYTES.end());
    1 << bytes.ilog2()
}
