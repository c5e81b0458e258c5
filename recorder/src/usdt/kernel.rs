//! The BPF program in the kernel: loading it, placing its probes, taking its records.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{
    Link, MapCore as _, MapFlags, OpenObject, PerfEventOpts, ProgramMut, ProgramType, RingBuffer,
    RingBufferBuilder, UprobeOpts,
};
use pyrec_schema::{Lost, Marker};

use super::Error;
use super::events::Events;
use super::family;
use super::plan::{Probe, Program};
use super::raw_event::{Bodies, RawEvent};
use super::skeleton::{MarkersSkel, MarkersSkelBuilder, types};
use super::tracefs::Tracefs;

/// Events taken at a time: as many as the time between two looks at the clock is worth.
pub const BATCH: usize = 4096;

/// The part of the ring that is added to it for what is longer than an event.
const BODIES_SHARE: u32 = 4;

/// The least that it takes: a few names of the greatest length.
const BODIES_BYTES: u32 = 1 << 16;

/// What libbpf takes for the pid of everyone.
const EVERY_PROCESS: i32 = -1;

/// Where threads that found no room of their own count their losses: `ALL_OTHERS` in `events.h`.
const ALL_OTHERS: u64 = u64::MAX;

/// Whom the probes of a file reach.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'pids> {
    /// These processes, and where that can be all that they will start.
    Families(&'pids [i32]),
    /// Everyone who runs the file, now or later.
    Machine,
}

/// The loaded program.
pub struct Kernel {
    // Dropped in this order: the probes first, the program last.
    links: Vec<Link>,
    /// The same probes on the threads of families.
    inherited: Vec<OwnedFd>,
    /// What they are defined in; without it children cannot be followed.
    tracefs: std::io::Result<Tracefs>,
    /// How many places the program has been told of.
    sites: usize,
    events: Events,
    /// Kept between takes for its room.
    found: Vec<types::event>,
    ring: RingBuffer<'static>,
    inbox: Arc<Mutex<Inbox>>,
    skeleton: MarkersSkel<'static>,
}

/// Bodies on their way from libbpf's callback.
#[derive(Default)]
struct Inbox {
    bodies: Bodies,
    malformed: bool,
}

impl Kernel {
    /// Loads the program with a ring of `ring_bytes` (a power of two, at least a page).
    pub fn load(ring_bytes: u32) -> Result<Kernel, Error> {
        // What goes wrong is told by our errors; libbpf would tell it on standard error too.
        libbpf_rs::set_print(None);
        let mut skeleton = load(ring_bytes, true).or_else(|_| load(ring_bytes, false))?;
        let nothing = bytes_of(&[0u64; 3]);
        skeleton
            .maps
            .losses
            .update(&ALL_OTHERS.to_ne_bytes(), &nothing, MapFlags::ANY)
            .map_err(Error::kernel("count losses"))?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let ring = ring(&skeleton, inbox.clone()).map_err(Error::kernel("map the ring buffer"))?;
        let bss = skeleton.maps.bss_data.as_deref_mut().ok_or(Error::Malformed)?;
        let taken = NonNull::from(&mut bss.taken);
        let bits = event_bits(ring_bytes);
        // SAFETY: the skeleton keeps it mapped, and is dropped after the events.
        let events = unsafe { Events::map(skeleton.maps.events.as_fd(), bits, taken) };
        let events = events.map_err(|source| Error::Kernel {
            what: "map the array of events",
            reason: source.to_string(),
        })?;
        let links = watch_processes(&skeleton)?;
        let tracefs = Tracefs::open();
        let (inherited, sites, found) = (Vec::new(), 0, Vec::new());
        Ok(Kernel { links, inherited, tracefs, sites, events, found, ring, inbox, skeleton })
    }

    /// Why the children of processes cannot be followed, if they cannot.
    pub fn cannot_follow(&self) -> Option<std::io::Error> {
        let error = self.tracefs.as_ref().err()?;
        Some(error.raw_os_error().map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error))
    }

    /// Places the probes of a file, in order.
    pub fn place(&mut self, file: BorrowedFd<'_>, probes: &[Probe], reach: Reach<'_>) -> Result<(), Error> {
        let first = self.describe(probes)?;
        for (cookie, probe) in (first as u64..).zip(probes) {
            match (reach, &mut self.tracefs) {
                (Reach::Families(pids), Ok(_)) => self.place_inherited(file, probe, cookie, pids)?,
                (Reach::Families(pids), Err(_)) => {
                    pids.iter().try_for_each(|&pid| self.place_one(file, probe, cookie, pid))?;
                }
                (Reach::Machine, _) => self.place_one(file, probe, cookie, EVERY_PROCESS)?,
            }
        }
        self.watch(true);
        Ok(())
    }

    /// Tells the program what it must know of the places. Returns the number of the first one.
    fn describe(&mut self, probes: &[Probe]) -> Result<usize, Error> {
        let sites = self.skeleton.maps.bss_data.as_deref_mut().map(|bss| &mut bss.sites);
        let first = self.sites;
        let free = sites.and_then(|sites| sites.get_mut(first..first + probes.len()));
        let free = free.ok_or(Error::TooManyPythons)?;
        for (site, probe) in free.iter_mut().zip(probes) {
            *site = probe.site.unwrap_or_default();
        }
        self.sites += probes.len();
        Ok(first)
    }

    /// Places a probe for one process, or for everyone.
    fn place_one(&mut self, file: BorrowedFd<'_>, probe: &Probe, cookie: u64, pid: i32) -> Result<(), Error> {
        let options = UprobeOpts {
            ref_ctr_offset: probe.semaphore.unwrap_or(0) as usize,
            cookie,
            ..UprobeOpts::default()
        };
        let file = format!("/proc/self/fd/{}", file.as_raw_fd());
        let program = self.program(probe.program);
        let link = program.attach_uprobe_with_opts(pid, file, probe.offset as usize, options);
        self.links.push(link.map_err(Error::kernel("place a probe"))?);
        Ok(())
    }

    /// Places a probe for processes and all that they will start.
    fn place_inherited(
        &mut self,
        file: BorrowedFd<'_>,
        probe: &Probe,
        cookie: u64,
        pids: &[i32],
    ) -> Result<(), Error> {
        let Ok(tracefs) = &mut self.tracefs else { return Ok(()) };
        let refused = |error| Error::kernel_said("place a probe", &error);
        let event = tracefs.define(file, probe.offset, probe.semaphore).map_err(refused)?;
        // The link owns the descriptor from here on.
        let anchor = family::anchor(event).map_err(refused)?.into_raw_fd();
        let options = PerfEventOpts { cookie, ..PerfEventOpts::default() };
        let link = self.program(probe.program).attach_perf_event_with_opts(anchor, options);
        self.links.push(link.map_err(Error::kernel("place a probe"))?);
        let mut opened = BTreeSet::new();
        // A thread that starts meanwhile may have been started by one that had not got the event yet.
        loop {
            let new: Vec<i32> = family::threads(pids).difference(&opened).copied().collect();
            if new.is_empty() {
                return Ok(());
            }
            for tid in new {
                opened.insert(tid);
                match family::open(event, tid) {
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    descriptor => self.inherited.push(descriptor.map_err(refused)?),
                }
            }
        }
    }

    /// Begins or ends taking events, of all markers at one instant.
    fn watch(&mut self, on: bool) {
        if let Some(bss) = self.skeleton.maps.bss_data.as_deref_mut() {
            bss.watching = u32::from(on);
        }
    }

    fn program(&self, program: Program) -> &ProgramMut<'static> {
        let programs = &self.skeleton.progs;
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
            Program::Marker(_) | Program::Nothing => &programs.on_nothing,
        }
    }

    /// Has the program count hits, apart from all that it does with them.
    #[cfg(test)]
    pub fn count_hits(&mut self) {
        if let Some(bss) = self.skeleton.maps.bss_data.as_deref_mut() {
            bss.counting = 1;
        }
    }

    /// How many hits it has counted.
    #[cfg(test)]
    pub fn hits(&self) -> u64 {
        self.skeleton.maps.bss_data.as_deref().map_or(0, |bss| bss.hits)
    }

    /// Removes the probes and lowers the semaphores that they raised.
    pub fn remove(&mut self) {
        self.watch(false);
        self.inherited.clear();
        while let Some(link) = self.links.pop() {
            drop(link);
        }
    }

    /// Moves at most [`BATCH`] events that are there into `events`. Returns whether there may be more.
    pub fn take(&mut self, events: &mut Vec<RawEvent>) -> Result<bool, Error> {
        self.found.clear();
        let more = self.events.take(BATCH, &mut self.found);
        // A body was sent before its event was whole, so those of the events at hand are all there.
        let taken = self.ring.consume_raw();
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        for event in &self.found {
            events.push(RawEvent::join(event, &mut inbox.bodies).ok_or(Error::Malformed)?);
        }
        if inbox.malformed || taken < 0 { Err(Error::Malformed) } else { Ok(more) }
    }

    /// What threads have lost and not told in the ring.
    pub fn losses(&self) -> Result<Vec<Lost>, Error> {
        let losses = &self.skeleton.maps.losses;
        let lookup =
            |key: &[u8]| losses.lookup(key, MapFlags::ANY).map_err(Error::kernel("read what was lost"));
        let mut found = Vec::new();
        for key in losses.keys() {
            if let Some(value) = lookup(&key)? {
                found.extend(lost(&key, &value));
            }
        }
        Ok(found)
    }
}

/// Has the program told of processes that end or become another program.
fn watch_processes(skeleton: &MarkersSkel<'static>) -> Result<Vec<Link>, Error> {
    let ends = [
        (&skeleton.progs.on_process_exit, "sched_process_exit"),
        (&skeleton.progs.on_process_exec, "sched_process_exec"),
    ];
    ends.into_iter()
        .map(|(program, tracepoint)| program.attach_raw_tracepoint(tracepoint))
        .collect::<libbpf_rs::Result<_>>()
        .map_err(Error::kernel("watch for processes that end"))
}

/// Opens the program, sizes its buffers and loads it. Programs that may sleep read memory more cheaply; Linux 5.15
/// does not have them.
fn load(ring_bytes: u32, may_sleep: bool) -> Result<MarkersSkel<'static>, Error> {
    // The skeleton borrows this for as long as it lives. It is a few bytes, once per recording.
    let object: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open =
        MarkersSkelBuilder::default().open(object).map_err(Error::kernel("read the BPF program"))?;
    let bits = event_bits(ring_bytes);
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.event_bits = bits;
        rodata.may_sleep = may_sleep;
    }
    open.maps.events.set_max_entries(1 << bits).map_err(Error::kernel("size the array of events"))?;
    let bodies = (ring_bytes / BODIES_SHARE).max(BODIES_BYTES);
    open.maps.bodies.set_max_entries(bodies).map_err(Error::kernel("size the ring buffer"))?;
    if may_sleep {
        for mut program in open.open_object_mut().progs_mut() {
            if program.prog_type() == ProgramType::Kprobe {
                program.set_flags(libbpf_rs::libbpf_sys::BPF_F_SLEEPABLE);
            }
        }
    }
    open.load().map_err(Error::kernel("load the BPF program"))
}

/// The binary logarithm of the number of events in so many bytes.
fn event_bits(ring_bytes: u32) -> u32 {
    (ring_bytes / size_of::<types::event>() as u32).ilog2()
}

fn ring(skeleton: &MarkersSkel<'static>, inbox: Arc<Mutex<Inbox>>) -> libbpf_rs::Result<RingBuffer<'static>> {
    let mut builder = RingBufferBuilder::new();
    builder.add(&skeleton.maps.bodies, move |bytes| {
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.malformed |= !inbox.bodies.keep(bytes);
        0
    })?;
    builder.build()
}

/// An entry of the map of losses.
fn lost(key: &[u8], value: &[u8]) -> Option<Lost> {
    let key = u64::from_ne_bytes(key.try_into().ok()?);
    let (numbers, _) = value.as_chunks::<8>();
    let [count, from_ns, to_ns] = *numbers else { return None };
    let count = u64::from_ne_bytes(count);
    let (pid, tid) = if key == ALL_OTHERS { (0, 0) } else { ((key >> 32) as i32, key as i32) };
    let [from_ns, to_ns] = [from_ns, to_ns].map(|time| u64::from_ne_bytes(time) as i64);
    (count > 0).then_some(Lost { pid, tid, count, from_ns, to_ns })
}

fn bytes_of(numbers: &[u64; 3]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

const _: () = assert!(size_of::<types::losing>() == size_of::<[u64; 3]>());
