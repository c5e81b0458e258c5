//! The loaded BPF object: loads it, attaches its probes, reads its maps and rings.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{
    Link, MapCore as _, MapFlags, OpenObject, ProgramAttachType, ProgramMut, ProgramType, RingBuffer,
    RingBufferBuilder,
};
use pyrec_schema::{LostEvents, Marker};

use super::attached_probes::{AttachMethod, AttachScope, AttachedProbes};
use super::event_array::EventArray;
use super::kernel_tallies::{BUCKETS, KernelTallies, STACKS};
use super::pid_namespace;
use super::probe_plan::{Probe, Program};
use super::raw_event::{PendingBodies, RawEvent};
use super::skeleton::{MarkersProgs, MarkersSkel, MarkersSkelBuilder, types};
use super::{Error, LoadOptions, Mode};
use crate::output::counts::Tally;

/// Limit of events per [`BpfObject::take_events`].
pub const BATCH: usize = 4096;

/// The body ring has 1/4 of the size of the event ring.
const BODY_RING_DIVISOR: u32 = 4;

/// The minimum size of the body ring in bytes: room for a few names of the greatest length.
const MIN_BODY_RING_BYTES: u32 = 1 << 16;

/// The key of the losses of threads without an entry of their own: `ALL_OTHERS` in `events.h`.
const ALL_OTHERS: u64 = u64::MAX;

/// Marks keys with a pid of the recorder's namespace; the others are of the initial one: `NAMED` in
/// `family.h`.
const NAMED: u64 = 1 << 32;

/// The loaded BPF object.
pub struct BpfObject {
    // Dropped in this order: the probes first, the program last.
    probes: AttachedProbes,
    /// Links of the trace points for exec, exit and new tasks.
    tracepoint_links: Vec<Link>,
    /// Number of marker sites that the BPF program has a description of.
    site_count: usize,
    events: EventArray,
    /// A buffer that is reused by every take.
    batch: Vec<types::event>,
    bodies: RingBuffer<'static>,
    /// The ring of `exec` records, which wakes the recorder.
    execs: RingBuffer<'static>,
    inbox: Arc<Mutex<Inbox>>,
    skeleton: MarkersSkel<'static>,
}

/// Records that libbpf's callbacks have received.
#[derive(Default)]
struct Inbox {
    bodies: PendingBodies,
    /// `exec` calls of followed processes.
    execs: Vec<Exec>,
    malformed: bool,
}

/// An `exec` call.
#[derive(Clone, Copy, Debug)]
pub struct Exec {
    /// The time, `CLOCK_MONOTONIC` in nanoseconds.
    pub time_ns: i64,
    /// The process.
    pub pid: i32,
}

impl BpfObject {
    /// Loads the BPF object, without any probe.
    pub fn load(options: LoadOptions) -> Result<BpfObject, Error> {
        // libbpf would print errors on standard error in addition to returning them.
        libbpf_rs::set_print(None);
        let method = AttachMethod::detect();
        let ring_bytes = options.ring_bytes;
        let mut skeleton = load(options, method, true).or_else(|_| load(options, method, false))?;
        let nothing = to_bytes(&[0u64; 3]);
        skeleton
            .maps
            .losses
            .update(&ALL_OTHERS.to_ne_bytes(), &nothing, MapFlags::ANY)
            .map_err(Error::kernel("count losses"))?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let bodies =
            open_body_ring(&skeleton, inbox.clone()).map_err(Error::kernel("map the ring buffer"))?;
        let execs = open_exec_ring(&skeleton, inbox.clone())
            .map_err(Error::kernel("map the ring buffer of calls"))?;
        let bss = skeleton.maps.bss_data.as_deref_mut().ok_or(Error::Malformed)?;
        let taken = NonNull::from(&mut bss.taken);
        let bits = event_bits(ring_bytes);
        // SAFETY: the skeleton keeps the counter mapped and is dropped after `events`, which alone
        // writes to it.
        let events = unsafe { EventArray::map(skeleton.maps.events.as_fd(), bits, taken) };
        let events = events.map_err(|source| Error::Kernel {
            what: "map the array of events",
            reason: source.to_string(),
        })?;
        let mut tracepoint_links = attach_process_tracepoints(&skeleton)?;
        let (probes, batch) = (AttachedProbes::new(method), Vec::new());
        tracepoint_links.extend(attach_new_task_tracepoint(&skeleton, &probes)?);
        Ok(BpfObject {
            probes,
            tracepoint_links,
            site_count: 0,
            events,
            batch,
            bodies,
            execs,
            inbox,
            skeleton,
        })
    }

    /// The reason why children cannot be followed, if they cannot.
    pub fn child_tracking_error(&self) -> Option<std::io::Error> {
        self.probes.child_tracking_error()
    }

    /// Attaches the probes of a file, in order.
    pub fn attach(
        &mut self,
        file: BorrowedFd<'_>,
        probes: &[Probe],
        scope: AttachScope<'_>,
    ) -> Result<(), Error> {
        let first = self.write_sites(probes)?;
        for (cookie, probe) in (first as u64..).zip(probes) {
            let program = program(&self.skeleton.progs, probe.program);
            self.probes.attach(program, file, probe, cookie, scope)?;
        }
        Ok(())
    }

    /// Follows these processes and their descendants: their `exec` calls are reported.
    pub fn follow_processes(&mut self, pids: &[i32]) -> Result<(), Error> {
        let follow = |pid: &i32| {
            let key = NAMED | u64::from(pid.unsigned_abs());
            self.skeleton.maps.family.update(&key.to_ne_bytes(), &[1], MapFlags::ANY)
        };
        pids.iter().try_for_each(follow).map_err(Error::kernel("follow processes"))
    }

    /// Follows every process of the machine.
    pub fn follow_all_processes(&mut self) {
        if let Some(bss) = self.skeleton.maps.bss_data.as_deref_mut() {
            bss.everyone = 1;
        }
    }

    /// A descriptor that is readable when a followed process has called `exec`.
    pub fn exec_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor lives as long as the ring buffer does, which is borrowed for as
        // long.
        unsafe { BorrowedFd::borrow_raw(self.execs.epoll_fd()) }
    }

    /// Takes the `exec` calls since the previous call.
    pub fn take_execs(&self) -> Vec<Exec> {
        // The result is that of the callback, which returns 0.
        self.execs.consume_raw();
        std::mem::take(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner).execs)
    }

    /// Number of processes and `exec` records for which a map or ring had no room.
    pub fn unfollowed_processes(&self) -> u64 {
        self.skeleton.maps.bss_data.as_deref().map_or(0, |bss| bss.unheard)
    }

    /// The followed processes whose pid in the recorder's namespace is known.
    pub fn family_members(&self) -> BTreeSet<i32> {
        let numbers = self.skeleton.maps.family.keys().filter_map(|key| key.try_into().ok());
        let numbers =
            numbers.map(u64::from_ne_bytes).filter(|&key| self.probes.sees_kernel_pids() || key >= NAMED);
        numbers.map(|key| key as u32 as i32).collect()
    }

    /// Whether all followed processes are known and their children inherit probes.
    pub fn can_follow_families(&self) -> bool {
        self.probes.sees_kernel_pids() && self.child_tracking_error().is_none()
    }

    /// Number of inheritable probes.
    pub fn inheritable_probes(&self) -> usize {
        self.probes.inheritable_probes()
    }

    /// Extends inheritable probes to these processes and all processes that they start.
    pub fn extend(&mut self, probes: std::ops::Range<usize>, pids: &[i32]) -> Result<(), Error> {
        self.probes.extend(probes, pids)
    }

    /// Protects the probes of a new thread (see [`AttachedProbes::cover_new_thread`]).
    pub fn cover_new_thread(&mut self, pid: i32, tid: i32) {
        self.probes.cover_new_thread(pid, tid);
    }

    /// Whether events of children may be missing without being counted as lost.
    pub fn may_miss_children(&self) -> bool {
        self.probes.may_miss_children()
    }

    /// Closes the additional events of a process that has ended.
    pub fn release_process(&mut self, pid: i32) {
        self.probes.release_process(pid);
    }

    /// Writes the descriptions of marker sites. Returns the index of the first one.
    fn write_sites(&mut self, probes: &[Probe]) -> Result<usize, Error> {
        let sites = self.skeleton.maps.bss_data.as_deref_mut().map(|bss| &mut bss.sites);
        let first = self.site_count;
        let free = sites.and_then(|sites| sites.get_mut(first..first + probes.len()));
        let free = free.ok_or(Error::TooManyPythons)?;
        for (site, probe) in free.iter_mut().zip(probes) {
            *site = probe.site.unwrap_or_default();
        }
        self.site_count += probes.len();
        Ok(first)
    }

    /// Maps the counts of [`Mode::Count`].
    pub fn map_tallies(&self) -> Result<KernelTallies, Error> {
        let maps = &self.skeleton.maps;
        KernelTallies::map(maps.tallies.as_fd(), maps.stacks.as_fd())
            .map_err(|source| Error::Kernel { what: "map the counts", reason: source.to_string() })
    }

    /// Hits of markers without a code object, in several sets.
    pub fn marker_hits(&self) -> &[types::hits] {
        self.skeleton.maps.bss_data.as_deref().map_or(&[], |bss| &bss.tallied)
    }

    /// Takes the tallies that were evicted from the map since the previous call.
    pub fn take_evicted_tallies(&self) -> Vec<(u64, Tally)> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inbox.bodies.evicted)
    }

    /// Starts or stops recording for all markers at one instant.
    pub fn set_recording(&mut self, on: bool) {
        if let Some(bss) = self.skeleton.maps.bss_data.as_deref_mut() {
            bss.watching = u32::from(on);
        }
    }

    /// Counts all hits, independently of events and losses.
    #[cfg(test)]
    pub fn count_hits(&mut self) {
        if let Some(bss) = self.skeleton.maps.bss_data.as_deref_mut() {
            bss.counting = 1;
        }
    }

    /// The number of hits.
    #[cfg(test)]
    pub fn hits(&self) -> u64 {
        self.skeleton.maps.bss_data.as_deref().map_or(0, |bss| bss.hits)
    }

    /// Detaches all probes, which lowers their semaphores.
    pub fn detach(&mut self) {
        self.set_recording(false);
        self.probes.detach_all();
        self.tracepoint_links.clear();
    }

    /// Appends at most [`BATCH`] pending events. Returns whether there may be more.
    pub fn take_events(&mut self, events: &mut Vec<RawEvent>) -> Result<bool, Error> {
        self.batch.clear();
        let more = self.events.take(BATCH, &mut self.batch);
        // A body is submitted before its event is complete, so the bodies of these events are
        // available.
        let taken = self.bodies.consume_raw();
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        for event in &self.batch {
            events.push(RawEvent::join(event, &mut inbox.bodies).ok_or(Error::Malformed)?);
        }
        if inbox.malformed || taken < 0 { Err(Error::Malformed) } else { Ok(more) }
    }

    /// The losses that have not been sent as events.
    pub fn read_losses(&self) -> Result<Vec<LostEvents>, Error> {
        let map = &self.skeleton.maps.losses;
        let lookup = |key: &[u8]| map.lookup(key, MapFlags::ANY).map_err(Error::kernel("read what was lost"));
        let mut losses = Vec::new();
        for key in map.keys() {
            if let Some(value) = lookup(&key)? {
                losses.extend(decode_loss(&key, &value));
            }
        }
        Ok(losses)
    }
}

/// Attaches to the trace points of process exit and exec.
fn attach_process_tracepoints(skeleton: &MarkersSkel<'static>) -> Result<Vec<Link>, Error> {
    let ends = [
        (&skeleton.progs.on_process_exit, "sched_process_exit"),
        (&skeleton.progs.on_process_exec, "sched_process_exec"),
    ];
    ends.into_iter()
        .map(|(program, tracepoint)| program.attach_raw_tracepoint(tracepoint))
        .collect::<libbpf_rs::Result<_>>()
        .map_err(Error::kernel("watch for processes that end"))
}

/// Attaches to the trace point of new tasks, if children can be followed.
fn attach_new_task_tracepoint(
    skeleton: &MarkersSkel<'static>,
    probes: &AttachedProbes,
) -> Result<Option<Link>, Error> {
    let Some(anchor) = probes.open_anchor_at("task/task_newtask") else { return Ok(None) };
    let refused = |error| Error::kernel_said("watch for processes that start", &error);
    let link = skeleton.progs.on_new_task.attach_perf_event(anchor.map_err(refused)?.into_raw_fd());
    link.map(Some).map_err(Error::kernel("watch for processes that start"))
}

/// Opens the object, sets its map sizes and constants, and loads it. Sleepable programs read user
/// memory more cheaply, but Linux 5.15 does not support them for uprobes.
fn load(
    LoadOptions { ring_bytes, mode }: LoadOptions,
    method: AttachMethod,
    may_sleep: bool,
) -> Result<MarkersSkel<'static>, Error> {
    // Leaked because the skeleton borrows it: a few bytes per recording.
    let object: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open =
        MarkersSkelBuilder::default().open(object).map_err(Error::kernel("read the BPF program"))?;
    let bits = event_bits(ring_bytes);
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.event_bits = bits;
        rodata.may_sleep = may_sleep;
        rodata.tallying = mode == Mode::Count;
        if let Some(namespace) = pid_namespace::current_if_nested() {
            rodata.namespace_device = namespace.device;
            rodata.namespace_inode = namespace.inode;
        }
    }
    open.maps.events.set_max_entries(1 << bits).map_err(Error::kernel("size the array of events"))?;
    let body_bytes = (ring_bytes / BODY_RING_DIVISOR).max(MIN_BODY_RING_BYTES);
    open.maps.bodies.set_max_entries(body_bytes).map_err(Error::kernel("size the ring buffer"))?;
    if mode == Mode::Count {
        let sized = open.maps.tallies.set_max_entries(BUCKETS);
        sized
            .and_then(|()| open.maps.stacks.set_max_entries(STACKS))
            .map_err(Error::kernel("size the counts"))?;
    }
    let programs = open.open_object_mut().progs_mut();
    for mut program in programs.filter(|program| program.prog_type() == ProgramType::Kprobe) {
        if may_sleep {
            program.set_flags(libbpf_rs::libbpf_sys::BPF_F_SLEEPABLE);
        }
        if method == AttachMethod::UprobeMulti {
            program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
        }
    }
    open.load().map_err(Error::kernel("load the BPF program"))
}

/// The binary logarithm of the number of events that fit in `ring_bytes`.
fn event_bits(ring_bytes: u32) -> u32 {
    (ring_bytes / size_of::<types::event>() as u32).ilog2()
}

fn program<'a>(programs: &'a MarkersProgs<'static>, program: Program) -> &'a ProgramMut<'static> {
    match program {
        Program::Marker(Marker::FunctionEntry) => &programs.on_function_entry,
        Program::Marker(Marker::FunctionReturn) => &programs.on_function_return,
        Program::Marker(Marker::Line) => &programs.on_line,
        Program::Marker(Marker::GcStart) => &programs.on_gc_start,
        Program::Marker(Marker::GcDone) => &programs.on_gc_done,
        Program::Marker(Marker::ImportStart) => &programs.on_import_start,
        Program::Marker(Marker::ImportDone) => &programs.on_import_done,
        Program::Marker(Marker::Audit) => &programs.on_audit,
        Program::CodeFreed => &programs.on_code_freed,
        Program::Marker(_) | Program::Noop => &programs.on_nothing,
    }
}

fn open_body_ring(
    skeleton: &MarkersSkel<'static>,
    inbox: Arc<Mutex<Inbox>>,
) -> libbpf_rs::Result<RingBuffer<'static>> {
    let mut builder = RingBufferBuilder::new();
    builder.add(&skeleton.maps.bodies, move |bytes| {
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.malformed |= !inbox.bodies.insert(bytes);
        0
    })?;
    builder.build()
}

fn open_exec_ring(
    skeleton: &MarkersSkel<'static>,
    inbox: Arc<Mutex<Inbox>>,
) -> libbpf_rs::Result<RingBuffer<'static>> {
    let mut builder = RingBufferBuilder::new();
    builder.add(&skeleton.maps.calls, move |bytes| {
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, rest) = bytes.as_chunks::<8>();
        match (numbers, rest) {
            ([time_ns, pid], []) => inbox
                .execs
                .push(Exec { time_ns: i64::from_ne_bytes(*time_ns), pid: i64::from_ne_bytes(*pid) as i32 }),
            _ => inbox.malformed = true,
        }
        0
    })?;
    builder.build()
}

/// Decodes an entry of the map of losses.
fn decode_loss(key: &[u8], value: &[u8]) -> Option<LostEvents> {
    let key = u64::from_ne_bytes(key.try_into().ok()?);
    let (numbers, _) = value.as_chunks::<8>();
    let [count, from_ns, to_ns] = *numbers else { return None };
    let count = u64::from_ne_bytes(count);
    let (pid, tid) = if key == ALL_OTHERS { (0, 0) } else { ((key >> 32) as i32, key as i32) };
    let [from_ns, to_ns] = [from_ns, to_ns].map(|time| u64::from_ne_bytes(time) as i64);
    (count > 0).then_some(LostEvents { pid, tid, count, from_ns, to_ns })
}

fn to_bytes(numbers: &[u64; 3]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

const _: () = assert!(size_of::<types::losing>() == size_of::<[u64; 3]>());
const _: () = assert!(size_of::<types::call>() == size_of::<[u64; 2]>());
