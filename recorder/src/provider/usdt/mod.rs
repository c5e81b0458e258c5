//! The `usdt` provider: reads CPython's static markers (USDT probes) from outside the process, with
//! a BPF program.
//!
//! ```text
//! program ─▶ ElfImage ─▶ plan ─▶ probes ─▶ BpfObject ─▶ RawEvent ─▶ RowWriter
//!            notes and        what to   the BPF   what it
//!            symbols          place     program   sends
//! ```
//!
//! Only [`BpfObject`] talks to the kernel; everything before and after it is a value.
//! `docs/reference/markers.md` says what the markers of each CPython really do, and how the code
//! object of an event is found.

mod argument;
mod attached_interpreters;
mod attached_probes;
mod bpf_object;
mod debug_offsets;
pub(crate) mod discovery;
mod elf_image;
mod error;
mod event_array;
mod interpreter_file;
mod layout;
mod perf_event;
mod pid_namespace;
mod probe_plan;
mod qualname;
mod raw_event;
mod stapsdt_note;
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, missing_docs, unused_qualifications)]
#[path = "../../bpf/markers.skel.rs"]
#[rustfmt::skip]
mod skeleton;
mod kernel_tallies;
mod process_tracker;
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

use attached_interpreters::AttachedInterpreters;
use attached_probes::AttachScope;
use bpf_object::{BpfObject, Exec};
use discovery::PythonProgram;
use elf_image::ElfImage;
pub use error::Error;
pub use interpreter_file::InterpreterFile;
use kernel_tallies::KernelTallies;
pub use probe_plan::recordable_groups;
use process_tracker::{ExitedTask, ProcessTracker};
use qualname::Qualnames;
use raw_event::{Definition, EventHeader, RawEvent, SINGLE_EVENT_BIT};
pub use version::Version;

use crate::output::counts::CountTotals;
use crate::output::row_writer::RowWriter;
use crate::provider::Provider;

/// The smallest and the largest event ring, in bytes. The largest holds half a second of events of
/// the fastest program.
const RING_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 24;

/// A ring takes at most this fraction (1/256) of the machine's memory.
const MEMORY_DIVISOR: u64 = 256;

/// Whether the BPF program sends events or counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends every event.
    Stream,
    /// Counts events in the kernel, and sends only the definitions of code objects.
    Count,
}

/// Parameters of loading the BPF program.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Size of the event ring in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Whether events are sent or counted.
    pub mode: Mode,
}

impl LoadOptions {
    /// Options with a ring size that suits the memory of the machine.
    fn of(mode: Mode) -> LoadOptions {
        let info = rustix::system::sysinfo();
        let memory = info.totalram as u64 * u64::from(info.mem_unit);
        let share = memory / MEMORY_DIVISOR;
        let bytes = share.clamp(*RING_BYTES.start(), *RING_BYTES.end());
        LoadOptions { ring_bytes: 1 << bytes.ilog2(), mode }
    }
}

/// Probes on the static markers of processes, and the state to turn their events into rows.
pub struct Usdt {
    bpf: BpfObject,
    /// The process that losses without a known process are attributed to.
    pid: i32,
    interpreters: AttachedInterpreters,
    /// The requested marker groups, for Pythons that start during the recording.
    groups: Vec<MarkerGroup>,
    /// Whether all processes of the machine are recorded, not only selected ones and their
    /// children.
    is_machine_wide: bool,
    tracker: ProcessTracker,
    codes: CodeTable,
    /// Which functions are recorded.
    filter: FunctionFilter,
    /// A buffer that is reused by every drain.
    batch: Vec<RawEvent>,
    /// The maps in which the BPF program counts; present in [`Mode::Count`].
    tallies: Option<KernelTallies>,
}

/// The code objects that events refer to by address.
#[derive(Default)]
struct CodeTable {
    /// By process and address. `None`: the filter excludes the code object.
    by_address: FxHashMap<(i32, u64), Option<CodeId>>,
    /// By an id that is valid for one event. `None`: as above.
    single_event: FxHashMap<u64, Option<CodeId>>,
    qualnames: Qualnames,
    /// The pseudo code object that CPython runs after an inlined call of `__init__`. In CPython
    /// 3.15 it has a return marker but no entry marker.
    init_cleanup: Option<CodeId>,
    without_code_object: u64,
    truncated: u64,
    /// Returns of `init_cleanup` that were skipped.
    #[cfg(test)]
    skipped_cleanups: u64,
}

impl Usdt {
    /// Attaches to running processes and their children.
    pub fn attach_processes(pids: &[i32], groups: &[MarkerGroup], mode: Mode) -> Result<Usdt, Error> {
        Usdt::attach(&interpreters_of(pids)?, pids, groups, LoadOptions::of(mode))
    }

    /// Attaches to a stopped process that will execute `program`, and to its children.
    pub fn attach_launched(
        program: &Path,
        pid: i32,
        groups: &[MarkerGroup],
        mode: Mode,
    ) -> Result<Usdt, Error> {
        let first = match InterpreterFile::of_program(program) {
            // A process that it starts may be Python.
            Err(Error::NotPython { .. }) => vec![],
            first => vec![first?],
        };
        let mut usdt = Usdt::attach(&first, &[pid], groups, LoadOptions::of(mode))?;
        usdt.tracker.launched = Some(pid);
        Ok(usdt)
    }

    /// Attaches to every Python on the machine.
    pub fn attach_machine(groups: &[MarkerGroup], mode: Mode) -> Result<Usdt, Error> {
        let mut usdt = Usdt { is_machine_wide: true, ..Usdt::load(0, groups, LoadOptions::of(mode))? };
        // Before the search, so that a process that starts between the two is not missed.
        usdt.bpf.follow_all_processes();
        let (marked, bare): (Vec<PythonProgram>, Vec<PythonProgram>) =
            discovery::find_all().into_iter().partition(|found| !found.interpreter.image.notes.is_empty());
        let marked: Vec<InterpreterFile> = marked.into_iter().map(|found| found.interpreter).collect();
        usdt.interpreters.attach(&mut usdt.bpf, &marked, groups, AttachScope::Machine)?;
        usdt.bpf.set_recording(true);
        let bare = bare.into_iter().filter(|found| !found.pids.is_empty());
        usdt.interpreters.new_notices.extend(bare.map(|PythonProgram { program, pids, .. }| {
            let (program, pids) = (program.display(), comma_separated(&pids));
            format!("{program} has no markers and is not recorded (process {pids})")
        }));
        Ok(usdt)
    }

    fn attach(
        interpreters: &[InterpreterFile],
        pids: &[i32],
        groups: &[MarkerGroup],
        options: LoadOptions,
    ) -> Result<Usdt, Error> {
        let mut usdt = Usdt::load(pids.first().copied().unwrap_or_default(), groups, options)?;
        usdt.bpf.follow_processes(pids)?;
        usdt.interpreters
            .attach(&mut usdt.bpf, interpreters, groups, AttachScope::ProcessFamilies(pids))
            .map_err(|error| prefer_gone(error, pids))?;
        usdt.bpf.set_recording(true);
        if let Some(error) = usdt.bpf.child_tracking_error() {
            usdt.interpreters.new_notices.push(format!(
                "children are not recorded: defining named probes in tracefs needs root ({error})"
            ));
        }
        Ok(usdt)
    }

    /// Records only the functions that the filter includes.
    pub fn with_filter(self, filter: FunctionFilter) -> Usdt {
        Usdt { filter, ..self }
    }

    /// Loads the BPF program and attaches a probe to pyrec itself, at an address that is never
    /// executed again. Returns the reason why children cannot be recorded, if they cannot.
    pub fn self_test() -> Result<Option<std::io::Error>, Error> {
        let options = LoadOptions { ring_bytes: *RING_BYTES.start() as u32, mode: Mode::Stream };
        let (mut bpf, own_pid) = (BpfObject::load(options)?, std::process::id() as i32);
        let path = Path::new("/proc/self/exe");
        let file = File::open(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
        let probe = probe_plan::entry_point_probe(&ElfImage::of(path, &file)?)?;
        bpf.attach(file.as_fd(), &[probe], AttachScope::ProcessFamilies(&[own_pid]))?;
        Ok(bpf.child_tracking_error())
    }

    fn load(pid: i32, groups: &[MarkerGroup], options: LoadOptions) -> Result<Usdt, Error> {
        let bpf = BpfObject::load(options)?;
        Ok(Usdt {
            tallies: (options.mode == Mode::Count).then(|| bpf.map_tallies()).transpose()?,
            bpf,
            pid,
            interpreters: AttachedInterpreters::default(),
            groups: groups.to_vec(),
            is_machine_wide: false,
            tracker: ProcessTracker::default(),
            codes: CodeTable::default(),
            filter: FunctionFilter::default(),
            batch: Vec::new(),
        })
    }

    /// Converts all pending events to rows. Returns the number of events.
    fn push_events(&mut self, rows: &mut RowWriter) -> crate::Result<u64> {
        let mut count = 0;
        let mut more = true;
        while more {
            let mut events = std::mem::take(&mut self.batch);
            more = self.bpf.take_events(&mut events)?;
            for event in events.drain(..) {
                count += self.push_event(event, rows)?;
            }
            self.batch = events;
            if let Some(tallies) = &mut self.tallies {
                for (function, tally) in self.bpf.take_evicted_tallies() {
                    tallies.add_evicted(function, tally);
                }
            }
            for (pid, tid) in self.tracker.new_threads.drain(..) {
                self.bpf.cover_new_thread(pid, tid);
            }
        }
        rows.count_events(count);
        Ok(count)
    }

    /// Writes the rows of threads and processes that have exited, and releases their probes.
    fn end_tasks(&mut self, ended: &[ExitedTask], rows: &mut RowWriter) -> crate::Result<()> {
        let processes = ended.iter().filter(|ended| ended.tid.is_none());
        processes.for_each(|process| self.bpf.release_process(process.pid));
        self.tracker.push_exits(ended, rows)
    }

    fn push_event(&mut self, event: RawEvent, rows: &mut RowWriter) -> crate::Result<u64> {
        match event {
            RawEvent::Number(head) => {
                let row = self.code_or_gc_row(head);
                if row.as_ref().is_some_and(|row| self.codes.is_init_cleanup(row)) {
                    return Ok(0);
                }
                self.tracker.observe(head.time_ns, head.pid, head.tid, rows)?;
                let Some(row) = row else { return Ok(0) };
                rows.push(row)?;
                Ok(1)
            }
            RawEvent::Text(head, text) => {
                // For this marker, `line` holds whether the module was found.
                let value = (head.marker == Marker::ImportDone).then_some(head.line.into());
                let text = text.map_or(TextId::NONE, |text| rows.names().text(&text));
                self.tracker.observe(head.time_ns, head.pid, head.tid, rows)?;
                rows.push(Event { value, text, line: 0, ..row_without_code(head) })?;
                Ok(1)
            }
            RawEvent::CodeDefined(definition) => {
                let code = self.codes.define(&definition, &self.filter, rows);
                if let Some(tallies) = &mut self.tallies {
                    let Definition { number, time_ns, pid, tid, .. } = *definition;
                    tallies.define(number, pid, code);
                    self.tracker.observe(time_ns, pid, tid, rows)?;
                }
                Ok(0)
            }
            RawEvent::CodeFreed { pid, code } => {
                self.codes.by_address.remove(&(pid, code));
                Ok(0)
            }
            RawEvent::ProcessEnded { pid } => {
                self.codes.by_address.retain(|(of, _), _| *of != pid);
                Ok(0)
            }
            RawEvent::Lost { head, from_ns } => {
                self.tracker.observe(head.time_ns, head.pid, head.tid, rows)?;
                let EventHeader { time_ns: to_ns, pid, tid, id: count, .. } = head;
                rows.push_lost(LostEvents { pid, tid, count, from_ns, to_ns })?;
                Ok(0)
            }
        }
    }

    /// The row of a code or gc event. `None` if the filter excludes the code object.
    fn code_or_gc_row(&mut self, head: EventHeader) -> Option<Event> {
        match head.marker {
            Marker::GcStart | Marker::GcDone => {
                Some(Event { value: Some(head.id as i64), ..row_without_code(head) })
            }
            _ => self.codes.of(head.pid, head.id).map(|code| Event { code, ..row_without_code(head) }),
        }
    }
}

fn row_without_code(head: EventHeader) -> Event {
    let EventHeader { time_ns, pid, tid, marker, line, .. } = head;
    // CPython 3.15 passes -1 at the start of a class body.
    let line = line.max(0);
    Event { time_ns, pid, tid, marker, code: CodeId::NONE, line, value: None, text: TextId::NONE }
}

impl CodeTable {
    /// Adds a definition. Returns the code, `None` if the filter excludes it.
    fn define(
        &mut self,
        definition: &Definition,
        filter: &FunctionFilter,
        rows: &mut RowWriter,
    ) -> Option<CodeId> {
        let Definition { id, pid, file, first_line, qualname, .. } = definition;
        let from_text = first_line
            .filter(|_| definition.is_plain_name)
            .and_then(|first_line| self.qualnames.of(*pid, file, first_line, qualname));
        let code = Code { file, first_line: *first_line, qualname: from_text.unwrap_or(qualname) };
        let code = filter.is_recorded(file, code.qualname).then(|| rows.names().code(&code.to_string()));
        if (file.as_str(), qualname.as_str()) == ("__init__", "__init__") {
            self.init_cleanup = code;
        }
        if code.is_some() {
            rows.add_source_file(file, *pid);
        }
        self.without_code_object += u64::from(!definition.is_found);
        self.truncated += u64::from(definition.is_truncated);
        if id & SINGLE_EVENT_BIT == 0 {
            self.by_address.insert((*pid, *id), code);
        } else {
            self.single_event.insert(*id, code);
        }
        code
    }

    /// Whether a row is of the pseudo code object after an inlined `__init__`, which is not a call.
    fn is_init_cleanup(&mut self, row: &Event) -> bool {
        let is_cleanup = self.init_cleanup.is_some_and(|code| code == row.code);
        #[cfg(test)]
        {
            self.skipped_cleanups += u64::from(is_cleanup);
        }
        is_cleanup
    }

    /// The code of an event, `None` if the filter excludes it. Its definition precedes it.
    fn of(&mut self, pid: i32, what: u64) -> Option<CodeId> {
        let once = || self.single_event.remove(&what);
        self.by_address.get(&(pid, what)).copied().or_else(once).unwrap_or(Some(CodeId::NONE))
    }

    fn add_notices(&self, rows: &mut RowWriter) {
        if self.without_code_object > 0 {
            let count = self.without_code_object;
            rows.add_notice(format!(
                "the code objects of {count} events were not found: their functions have a name but no first line"
            ));
        }
        if self.truncated > 0 {
            let count = self.truncated;
            rows.add_notice(format!("the names of {count} functions were truncated to 4096 bytes"));
        }
    }
}

impl Provider for Usdt {
    fn drain(&mut self, rows: &mut RowWriter) -> crate::Result<u64> {
        for Exec { time_ns, pid } in self.bpf.take_execs() {
            rows.note_root(pid, 0);
            if self.tracker.launched == Some(pid) {
                self.tracker.observe(time_ns, pid, pid, rows)?;
            }
            self.interpreters.attach_on_exec(&mut self.bpf, pid, &self.groups, self.is_machine_wide);
        }
        self.interpreters.new_pythons.drain(..).for_each(|python| rows.add_interpreter(python));
        self.interpreters.new_notices.drain(..).for_each(|notice| rows.add_notice(notice));
        let ended = self.tracker.poll_exits(false);
        let count = self.push_events(rows)?;
        self.end_tasks(&ended, rows)?;
        Ok(count)
    }

    fn add_counts(&self, sums: &mut CountTotals, now_ns: i64) -> crate::Result<()> {
        let Some(tallies) = &self.tallies else { return Ok(()) };
        let code_at = |pid, address| self.codes.by_address.get(&(pid, address)).copied().flatten();
        tallies.add_to(sums, now_ns, code_at);
        kernel_tallies::add_marker_hits(self.bpf.marker_hits(), sums);
        Ok(())
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bpf.exec_fd())
    }

    fn stop(&mut self, rows: &mut RowWriter) -> crate::Result<()> {
        self.bpf.detach();
        // No further program is attached to.
        self.bpf.take_execs().clear();
        let ended = self.tracker.poll_exits(true);
        self.drain(rows)?;
        self.end_tasks(&ended, rows)?;
        for lost in self.bpf.read_losses()? {
            let pid = if lost.pid == 0 { self.pid } else { lost.pid };
            rows.push_lost(LostEvents { pid, ..lost })?;
        }
        self.codes.add_notices(rows);
        match self.bpf.unfollowed_processes() {
            0 => {}
            count => rows.add_notice(format!(
                "{count} processes could not be followed and may be missing: the table of processes was full"
            )),
        }
        if self.bpf.may_miss_children() {
            rows.add_notice(
                "events of children may be missing, and are not counted as lost: before Linux 6.12 the kernel may remove a \
                 child's probes when a related process ends"
                    .into(),
            );
        }
        Ok(())
    }
}

fn comma_separated(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// The interpreters that these processes run.
fn interpreters_of(pids: &[i32]) -> Result<Vec<InterpreterFile>, Error> {
    pids.iter().map(|&pid| InterpreterFile::of_process(pid)).collect()
}

/// Replaces an error by [`Error::Gone`] if one of the processes has ended, which is then its cause.
fn prefer_gone(error: Error, pids: &[i32]) -> Error {
    let gone = pids.iter().find(|pid| !Path::new(&format!("/proc/{pid}")).exists());
    gone.map_or(error, |&pid| Error::Gone { pid })
}
