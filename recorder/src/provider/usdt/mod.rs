//! The provider that reads CPython's static markers from outside, through BPF.
//!
//! ```text
//! program ─▶ Image ─▶ plan ─▶ probes ─▶ Kernel ─▶ RawEvent ─▶ RowWriter
//!            notes and        what to   the BPF   what it
//!            symbols          place     program   sends
//! ```
//!
//! Only [`Kernel`] talks to the kernel; everything before and after it is a value. `docs/reference/markers.md` says what the
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
pub(crate) mod pythons;
mod qualname;
mod raw_event;
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, missing_docs, unused_qualifications)]
#[path = "../../bpf/markers.skel.rs"]
#[rustfmt::skip]
mod skeleton;
mod sight;
mod tallies;
#[cfg(test)]
mod tests;
mod tracefs;
mod unicode;
mod version;

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use pyrec_schema::{Code, CodeId, Event, LostEvents, Marker, MarkerGroup, TextId};
use pyrec_wire::FunctionFilter;
use rustc_hash::FxHashMap;

use crowd::Crowd;
pub use error::Error;
use image::Image;
use kernel::{Call, Kernel};
pub use library::Interpreter;
use placing::Reach;
pub use plan::groups;
use pythons::PythonProgram;
use qualname::Qualnames;
use raw_event::{Definition, Head, ONCE, RawEvent};
use sight::{Ended, Sight};
use tallies::Tallies;
pub use version::Version;

use crate::output::counts::Sums;
use crate::output::row_writer::RowWriter;
use crate::provider::Provider;

/// The smallest and the largest ring. The largest holds half a second of the fastest program, and costs the recorder
/// twice its size in resident memory, since it is mapped twice in a row.
const RING_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 24;

/// The part of the machine's memory that a ring may take.
const RING_SHARE: u64 = 256;

/// What the kernel does with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It sends each.
    Send,
    /// It counts them, and sends the names of functions alone.
    Count,
}

/// How the BPF program is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes of the ring, a power of two and at least a page.
    pub ring_bytes: u32,
    /// What it does.
    pub work: Work,
}

impl Setup {
    /// With a ring that fits the machine.
    fn of(work: Work) -> Setup {
        let info = rustix::system::sysinfo();
        let memory = info.totalram as u64 * u64::from(info.mem_unit);
        let share = memory / RING_SHARE;
        let bytes = share.clamp(*RING_BYTES.start(), *RING_BYTES.end());
        Setup { ring_bytes: 1 << bytes.ilog2(), work }
    }
}

/// The markers of processes.
pub struct Usdt {
    kernel: Kernel,
    /// The first process.
    pid: i32,
    crowd: Crowd,
    /// What is asked for of a Python that is met on the way.
    groups: Vec<MarkerGroup>,
    /// Whether all processes are recorded, and not some and whom they start.
    machine: bool,
    sight: Sight,
    codes: Codes,
    /// Which functions are recorded.
    filter: FunctionFilter,
    /// Kept between drains for its room.
    events: Vec<RawEvent>,
    /// Where the kernel counts.
    tallies: Option<Tallies>,
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
    pub fn attach_processes(pids: &[i32], groups: &[MarkerGroup], work: Work) -> Result<Usdt, Error> {
        Usdt::attach(&interpreters_of(pids)?, pids, groups, Setup::of(work))
    }

    /// Reads the markers of a process that is about to become `program`, and of its children.
    pub fn attach_launched(
        program: &Path,
        pid: i32,
        groups: &[MarkerGroup],
        work: Work,
    ) -> Result<Usdt, Error> {
        let first = match Interpreter::of_program(program) {
            // What it starts may be one.
            Err(Error::NotPython { .. }) => vec![],
            first => vec![first?],
        };
        let mut usdt = Usdt::attach(&first, &[pid], groups, Setup::of(work))?;
        usdt.sight.launched = Some(pid);
        Ok(usdt)
    }

    /// Reads the markers of every Python on the machine.
    pub fn attach_machine(groups: &[MarkerGroup], work: Work) -> Result<Usdt, Error> {
        let mut usdt = Usdt { machine: true, ..Usdt::load(0, groups, Setup::of(work))? };
        // Before the search, so that nobody is missed between the two.
        usdt.kernel.name_everyone();
        let (marked, bare): (Vec<PythonProgram>, Vec<PythonProgram>) =
            pythons::find_all().into_iter().partition(|found| !found.interpreter.image.notes.is_empty());
        let marked: Vec<Interpreter> = marked.into_iter().map(|found| found.interpreter).collect();
        usdt.crowd.place(&mut usdt.kernel, &marked, groups, Reach::Machine)?;
        usdt.kernel.watch(true);
        let bare = bare.into_iter().filter(|found| !found.pids.is_empty());
        usdt.crowd.notices.extend(bare.map(|PythonProgram { program, pids, .. }| {
            let (program, pids) = (program.display(), list(&pids));
            format!("{program} has no markers and is not recorded (process {pids})")
        }));
        Ok(usdt)
    }

    fn attach(
        interpreters: &[Interpreter],
        pids: &[i32],
        groups: &[MarkerGroup],
        setup: Setup,
    ) -> Result<Usdt, Error> {
        let mut usdt = Usdt::load(pids.first().copied().unwrap_or_default(), groups, setup)?;
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
    pub fn filtered(self, filter: FunctionFilter) -> Usdt {
        Usdt { filter, ..self }
    }

    /// Loads the program and places a probe on ourselves, where it is never hit. Says why the children of processes
    /// cannot be followed, if they cannot.
    pub fn try_out() -> Result<Option<std::io::Error>, Error> {
        let setup = Setup { ring_bytes: *RING_BYTES.start() as u32, work: Work::Send };
        let (mut kernel, ourselves) = (Kernel::load(setup)?, std::process::id() as i32);
        let path = Path::new("/proc/self/exe");
        let file = File::open(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
        let probe = plan::on_entry_point(&Image::of(path, &file)?)?;
        kernel.place(file.as_fd(), &[probe], Reach::Families(&[ourselves]))?;
        Ok(kernel.cannot_follow())
    }

    fn load(pid: i32, groups: &[MarkerGroup], setup: Setup) -> Result<Usdt, Error> {
        let kernel = Kernel::load(setup)?;
        Ok(Usdt {
            tallies: (setup.work == Work::Count).then(|| kernel.tallies()).transpose()?,
            kernel,
            pid,
            crowd: Crowd::default(),
            groups: groups.to_vec(),
            machine: false,
            sight: Sight::default(),
            codes: Codes::default(),
            filter: FunctionFilter::default(),
            events: Vec::new(),
        })
    }

    /// Takes what the kernel has sent. Returns the number of events.
    fn take_all(&mut self, rows: &mut RowWriter) -> crate::Result<u64> {
        let mut count = 0;
        let mut more = true;
        while more {
            let mut events = std::mem::take(&mut self.events);
            more = self.kernel.take(&mut events)?;
            for event in events.drain(..) {
                count += self.row(event, rows)?;
            }
            self.events = events;
            if let Some(tallies) = &mut self.tallies {
                for (function, tally) in self.kernel.settled() {
                    tallies.settle(function, tally);
                }
            }
            for (pid, tid) in self.sight.new.drain(..) {
                self.kernel.adopt(pid, tid);
            }
        }
        rows.count_events(count);
        Ok(count)
    }

    /// Tells of threads and processes that have ended.
    fn forget(&mut self, ended: &[Ended], rows: &mut RowWriter) -> crate::Result<()> {
        let processes = ended.iter().filter(|ended| ended.tid.is_none());
        processes.for_each(|process| self.kernel.release(process.pid));
        self.sight.tell(ended, rows)
    }

    fn row(&mut self, event: RawEvent, rows: &mut RowWriter) -> crate::Result<u64> {
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
                let code = self.codes.define(&definition, &self.filter, rows);
                if let Some(tallies) = &mut self.tallies {
                    let Definition { number, time_ns, pid, tid, .. } = *definition;
                    tallies.define(number, pid, code);
                    self.sight.see(time_ns, pid, tid, rows)?;
                }
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
                rows.push_lost(LostEvents { pid, tid, count, from_ns, to_ns })?;
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
    /// Returns the code; none if it is left out.
    fn define(
        &mut self,
        definition: &Definition,
        filter: &FunctionFilter,
        rows: &mut RowWriter,
    ) -> Option<CodeId> {
        let Definition { what, pid, file, first_line, qualname, .. } = definition;
        let from_text = first_line
            .filter(|_| definition.plain)
            .and_then(|first_line| self.qualnames.of(*pid, file, first_line, qualname));
        let code = Code { file, first_line: *first_line, qualname: from_text.unwrap_or(qualname) };
        let code = filter.is_recorded(file, code.qualname).then(|| rows.names().code(&code.to_string()));
        if (file.as_str(), qualname.as_str()) == ("__init__", "__init__") {
            self.init_cleanup = code;
        }
        if code.is_some() {
            rows.add_source_file(file, *pid);
        }
        self.unfound += u64::from(!definition.found);
        self.cut += u64::from(definition.cut);
        if what & ONCE == 0 {
            self.kept.insert((*pid, *what), code);
        } else {
            self.once.insert(*what, code);
        }
        code
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

    fn notices(&self, rows: &mut RowWriter) {
        if self.unfound > 0 {
            let count = self.unfound;
            rows.add_notice(format!(
                "the code of {count} events could not be found: they have a name but no first line"
            ));
        }
        if self.cut > 0 {
            let count = self.cut;
            rows.add_notice(format!(
                "the names of {count} functions are longer than 4096 bytes and were cut"
            ));
        }
    }
}

impl Provider for Usdt {
    fn drain(&mut self, rows: &mut RowWriter) -> crate::Result<u64> {
        for Call { time_ns, pid } in self.kernel.called() {
            rows.note_root(pid, 0);
            if self.sight.launched == Some(pid) {
                self.sight.see(time_ns, pid, pid, rows)?;
            }
            self.crowd.meet(&mut self.kernel, pid, &self.groups, self.machine);
        }
        self.crowd.pythons.drain(..).for_each(|python| rows.add_interpreter(python));
        self.crowd.notices.drain(..).for_each(|notice| rows.add_notice(notice));
        let ended = self.sight.look(false);
        let count = self.take_all(rows)?;
        self.forget(&ended, rows)?;
        Ok(count)
    }

    fn add_counts(&self, sums: &mut Sums, now_ns: i64) -> crate::Result<()> {
        let Some(tallies) = &self.tallies else { return Ok(()) };
        let code_at = |pid, address| self.codes.kept.get(&(pid, address)).copied().flatten();
        tallies.add_to(sums, now_ns, code_at);
        tallies::add_hits(self.kernel.hit_sets(), sums);
        Ok(())
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.kernel.call())
    }

    fn stop(&mut self, rows: &mut RowWriter) -> crate::Result<()> {
        self.kernel.remove();
        // Nobody is met from here on.
        self.kernel.called().clear();
        let ended = self.sight.look(true);
        self.drain(rows)?;
        self.forget(&ended, rows)?;
        for lost in self.kernel.losses()? {
            let pid = if lost.pid == 0 { self.pid } else { lost.pid };
            rows.push_lost(LostEvents { pid, ..lost })?;
        }
        self.codes.notices(rows);
        match self.kernel.unheard() {
            0 => {}
            count => {
                rows.add_notice(format!("{count} processes were too many to follow, and may be missing"))
            }
        }
        if self.kernel.is_unsure() {
            rows.add_notice(
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
