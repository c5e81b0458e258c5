//! Probes that are attached to processes, by the interface that the recorder's capabilities allow.
//!
//! | rights | way | children |
//! |---|---|---|
//! | CAP_SYS_ADMIN | perf events on probes named in tracefs | inherit them |
//! | CAP_BPF and CAP_PERFMON | uprobe-multi links, Linux 6.6 | do not |

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};

use libbpf_rs::{Link, PerfEventOpts, ProgramMut, UprobeMultiOpts, UprobeOpts};

use rustc_hash::FxHashMap;

use super::error::{Error, PLACE};
use super::perf_event::{self, ContextSwap};
use super::pid_namespace;
use super::probe_plan::Probe;
use super::tracefs::Tracefs;
use crate::os::capabilities::{Capability, CapabilitySet};

/// The pid that libbpf takes for all processes.
const EVERY_PROCESS: i32 = -1;

/// Limit of swap guards. Each takes a descriptor.
const MAX_SWAP_GUARDS: usize = 512;

/// The processes that the probes of a file are attached to.
#[derive(Clone, Copy, Debug)]
pub enum AttachScope<'pids> {
    /// These processes and, if the kernel interface allows it, all processes that they start.
    ProcessFamilies(&'pids [i32]),
    /// All processes that run the file, now or later.
    Machine,
}

/// The kernel interface by which uprobes are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMethod {
    /// Perf events. Needs CAP_SYS_ADMIN for uprobes.
    PerfEvents,
    /// Uprobe-multi links. The programs must be loaded with that attach type.
    UprobeMulti,
}

impl AttachMethod {
    /// The interface that the capabilities of the recorder allow.
    pub fn detect() -> AttachMethod {
        if CapabilitySet::effective().has(Capability::SysAdmin) {
            AttachMethod::PerfEvents
        } else {
            AttachMethod::UprobeMulti
        }
    }
}

/// Attached probes; dropping it detaches them.
pub struct AttachedProbes {
    method: AttachMethod,
    links: Vec<Link>,
    /// The inheritable events on the threads of followed processes.
    inherited: Vec<OwnedFd>,
    /// Whether the kernel may swap them between threads.
    context_swap: ContextSwap,
    /// Whether the recorder is in the initial pid namespace, so that its pids are the kernel's.
    sees_kernel_pids: bool,
    /// The tracefs ids of the inheritable probes, in the order of definition.
    events: Vec<u64>,
    /// The newest swap guards (see [`perf_event::open_swap_guard`]).
    swap_guards: VecDeque<OwnedFd>,
    /// The processes that were attached to explicitly; the others have inherited their probes.
    roots: BTreeSet<i32>,
    /// Whether a child was observed whose probes the kernel could swap.
    may_miss_children: bool,
    /// Additional events on child processes, by pid.
    child_events: FxHashMap<i32, Vec<OwnedFd>>,
    /// Defines the inheritable probes; without it children cannot be followed. Dropped after the
    /// events.
    tracefs: io::Result<Tracefs>,
}

impl AttachedProbes {
    /// No probes.
    pub fn new(method: AttachMethod) -> AttachedProbes {
        AttachedProbes {
            method,
            links: Vec::new(),
            inherited: Vec::new(),
            context_swap: ContextSwap::detect(),
            sees_kernel_pids: pid_namespace::current_if_nested().is_none(),
            events: Vec::new(),
            swap_guards: VecDeque::new(),
            roots: BTreeSet::new(),
            may_miss_children: false,
            child_events: FxHashMap::default(),
            tracefs: Tracefs::open(),
        }
    }

    /// The reason why children cannot be followed, if they cannot.
    pub fn child_tracking_error(&self) -> Option<io::Error> {
        let error = self.tracefs.as_ref().err()?;
        Some(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error))
    }

    /// Attaches a probe.
    pub fn attach(
        &mut self,
        program: &ProgramMut<'_>,
        file: BorrowedFd<'_>,
        probe: &Probe,
        cookie: u64,
        scope: AttachScope<'_>,
    ) -> Result<(), Error> {
        match (scope, &self.tracefs) {
            (AttachScope::Machine, _) => self.attach_to(program, file, probe, cookie, EVERY_PROCESS),
            (AttachScope::ProcessFamilies(pids), Ok(_)) if self.method == AttachMethod::PerfEvents => {
                self.attach_inherited(program, file, probe, cookie, pids)
            }
            (AttachScope::ProcessFamilies(pids), _) => {
                pids.iter().try_for_each(|&pid| self.attach_to(program, file, probe, cookie, pid))
            }
        }
    }

    /// Attaches a probe to one process, or to [`EVERY_PROCESS`].
    fn attach_to(
        &mut self,
        program: &ProgramMut<'_>,
        file: BorrowedFd<'_>,
        probe: &Probe,
        cookie: u64,
        pid: i32,
    ) -> Result<(), Error> {
        let (offset, semaphore) = (probe.offset as usize, probe.semaphore.unwrap_or(0) as usize);
        // A path by descriptor works in every mount namespace and for deleted files.
        let file = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = match self.method {
            AttachMethod::PerfEvents => {
                let options = UprobeOpts { ref_ctr_offset: semaphore, cookie, ..UprobeOpts::default() };
                program.attach_uprobe_with_opts(pid, file, offset, options)
            }
            AttachMethod::UprobeMulti => {
                let options = UprobeMultiOpts {
                    offsets: vec![offset],
                    ref_ctr_offsets: vec![semaphore],
                    cookies: vec![cookie],
                    ..UprobeMultiOpts::default()
                };
                program.attach_uprobe_multi_with_opts(pid, file, "", options)
            }
        };
        self.links.push(link.map_err(Error::kernel(PLACE))?);
        Ok(())
    }

    /// Attaches a probe to processes and all processes that they start.
    fn attach_inherited(
        &mut self,
        program: &ProgramMut<'_>,
        file: BorrowedFd<'_>,
        probe: &Probe,
        cookie: u64,
        pids: &[i32],
    ) -> Result<(), Error> {
        let Ok(tracefs) = &mut self.tracefs else { return Ok(()) };
        let refused = |error| Error::kernel_said(PLACE, &error);
        let event = tracefs.define(file, probe.offset, probe.semaphore).map_err(refused)?;
        // The link owns the descriptor from here on.
        let anchor = perf_event::open_anchor(event).map_err(refused)?.into_raw_fd();
        let options = PerfEventOpts { cookie, ..PerfEventOpts::default() };
        let link = program.attach_perf_event_with_opts(anchor, options);
        self.links.push(link.map_err(Error::kernel(PLACE))?);
        self.events.push(event);
        self.extend(self.events.len() - 1..self.events.len(), pids)
    }

    /// Extends defined probes, given by their order of definition, to these processes.
    pub fn extend(&mut self, probes: Range<usize>, pids: &[i32]) -> Result<(), Error> {
        self.roots.extend(pids);
        let is_first = probes.start == 0;
        let events = self.events.get(probes).unwrap_or_default().to_vec();
        let mut opened = BTreeSet::new();
        // A thread that starts meanwhile may have been started by one without the event.
        loop {
            let new: Vec<i32> = perf_event::threads_of(pids).difference(&opened).copied().collect();
            if new.is_empty() {
                return Ok(());
            }
            for tid in new {
                opened.insert(tid);
                if is_first && self.context_swap == ContextSwap::Possible {
                    self.add_swap_guard(tid);
                }
                for &event in &events {
                    match perf_event::open_inherited(event, tid, self.context_swap) {
                        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                        Err(error) => return Err(Error::kernel_said(PLACE, &error)),
                        Ok(descriptor) => self.inherited.push(descriptor),
                    }
                }
            }
        }
    }

    /// Number of defined inheritable probes.
    pub fn inheritable_probes(&self) -> usize {
        self.events.len()
    }

    /// Whether the recorder is in the initial pid namespace, so that its pids are the kernel's.
    pub fn sees_kernel_pids(&self) -> bool {
        self.sees_kernel_pids
    }

    /// Opens an anchor event on a kernel trace point, to attach a BPF program to. `None` if
    /// children cannot be followed.
    pub fn open_anchor_at(&self, trace_point: &str) -> Option<io::Result<OwnedFd>> {
        let tracefs = self.tracefs.as_ref().ok().filter(|_| self.method == AttachMethod::PerfEvents)?;
        Some(tracefs.number_of(trace_point).and_then(perf_event::open_anchor))
    }

    /// Protects a new thread of a followed process where inherited events may be swapped: a swap
    /// guard for what it starts, and non-inherited events for a new process. Failure leaves the
    /// inherited events.
    pub fn cover_new_thread(&mut self, pid: i32, tid: i32) {
        if self.context_swap == ContextSwap::Prevented || self.events.is_empty() {
            return;
        }
        self.may_miss_children |= !self.roots.contains(&pid);
        if !self.sees_kernel_pids {
            return;
        }
        self.add_swap_guard(tid);
        if pid == tid {
            let events = self.events.iter().filter_map(|&event| perf_event::open_on_thread(event, tid).ok());
            self.child_events.insert(pid, events.collect());
        }
    }

    /// Whether children may have lost their probes, so that events are missing and not counted as
    /// lost.
    pub fn may_miss_children(&self) -> bool {
        self.may_miss_children
    }

    /// Closes the additional events of a process that has ended.
    pub fn release_process(&mut self, pid: i32) {
        self.child_events.remove(&pid);
    }

    fn add_swap_guard(&mut self, tid: i32) {
        if self.swap_guards.len() == MAX_SWAP_GUARDS {
            self.swap_guards.pop_front();
        }
        self.swap_guards.extend(perf_event::open_swap_guard(tid));
    }

    /// Detaches all probes, which lowers their semaphores. No new thread is covered afterwards.
    pub fn detach_all(&mut self) {
        self.events.clear();
        self.inherited.clear();
        self.child_events.clear();
        self.swap_guards.clear();
        self.links.clear();
    }
}
