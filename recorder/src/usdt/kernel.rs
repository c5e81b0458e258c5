//! The BPF program in the kernel: loading it, placing its probes, taking its records.

use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{
    Link, MapCore as _, MapFlags, OpenObject, ProgramMut, RingBuffer, RingBufferBuilder, UprobeOpts,
};
use pyrec_schema::{Lost, Marker};

use super::Error;
use super::plan::{Probe, Program};
use super::raw_event::RawEvent;
use super::skeleton::{MarkersSkel, MarkersSkelBuilder, types};

/// Records taken at a time: as many as the time between two looks at the clock is worth.
pub const BATCH: usize = 4096;

/// Where threads that found no room of their own count their losses: `ALL_OTHERS` in `markers.bpf.c`.
const ALL_OTHERS: u64 = u64::MAX;

/// The loaded program.
pub struct Kernel {
    // Dropped in this order: the probes first, the program last.
    links: Vec<Link>,
    ring: RingBuffer<'static>,
    inbox: Arc<Mutex<Inbox>>,
    skeleton: MarkersSkel<'static>,
}

/// Records on their way from libbpf's callback.
#[derive(Default)]
struct Inbox {
    events: Vec<RawEvent>,
    malformed: bool,
}

impl Kernel {
    /// Loads the program with a ring of `ring_bytes` (a power of two, at least a page).
    pub fn load(ring_bytes: u32) -> Result<Kernel, Error> {
        // What goes wrong is told by our errors; libbpf would tell it on standard error too.
        libbpf_rs::set_print(None);
        // The skeleton borrows this for as long as it lives. It is a few bytes, once per recording.
        let object: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open =
            MarkersSkelBuilder::default().open(object).map_err(Error::kernel("read the BPF program"))?;
        open.maps.records.set_max_entries(ring_bytes).map_err(Error::kernel("size the ring buffer"))?;
        let skeleton = open.load().map_err(Error::kernel("load the BPF program"))?;
        let nothing = bytes_of(&[0u64; 3]);
        skeleton
            .maps
            .losses
            .update(&ALL_OTHERS.to_ne_bytes(), &nothing, MapFlags::ANY)
            .map_err(Error::kernel("count losses"))?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let ring = ring(&skeleton, inbox.clone()).map_err(Error::kernel("map the ring buffer"))?;
        Ok(Kernel { links: Vec::new(), ring, inbox, skeleton })
    }

    /// Places the probes, in order, in one process's mapping of the file.
    pub fn place(&mut self, file: &Path, pid: i32, probes: &[Probe]) -> Result<(), Error> {
        let sites = self.skeleton.maps.bss_data.as_deref_mut().map(|bss| &mut bss.sites);
        let sites = sites.ok_or(Error::Malformed)?;
        for (cookie, probe) in probes.iter().enumerate() {
            let Some(place) = sites.get_mut(cookie) else {
                return Err(Error::Unsupported {
                    path: file.into(),
                    reason: "it has too many markers".into(),
                });
            };
            *place = probe.site.unwrap_or_default();
        }
        for (cookie, probe) in probes.iter().enumerate() {
            let options = UprobeOpts {
                ref_ctr_offset: probe.semaphore.unwrap_or(0) as usize,
                cookie: cookie as u64,
                ..UprobeOpts::default()
            };
            let program = self.program(probe.program);
            let link = program.attach_uprobe_with_opts(pid, file, probe.offset as usize, options);
            self.links.push(link.map_err(Error::kernel("place a probe"))?);
        }
        self.watch(true);
        Ok(())
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
            Program::InterpreterStart => &programs.on_interpreter_start,
            Program::Marker(_) | Program::Nothing => &programs.on_nothing,
        }
    }

    /// Removes the probes and lowers the semaphores that they raised.
    pub fn remove(&mut self) {
        self.watch(false);
        while let Some(link) = self.links.pop() {
            drop(link);
        }
    }

    /// Moves at most [`BATCH`] records that are there into `events`. Returns whether there may be more.
    pub fn take(&self, events: &mut Vec<RawEvent>) -> Result<bool, Error> {
        let taken = self.ring.consume_raw_n(BATCH);
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        events.append(&mut inbox.events);
        if inbox.malformed || taken < 0 { Err(Error::Malformed) } else { Ok(taken as usize == BATCH) }
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

fn ring(skeleton: &MarkersSkel<'static>, inbox: Arc<Mutex<Inbox>>) -> libbpf_rs::Result<RingBuffer<'static>> {
    let mut builder = RingBufferBuilder::new();
    builder.add(&skeleton.maps.records, move |bytes| {
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        match RawEvent::decode(bytes) {
            Some(event) => inbox.events.push(event),
            None => inbox.malformed = true,
        }
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
