//! Perf events on threads, inherited by the threads and processes that they start.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use super::tracefs::made;

/// The kinds of perf events (`include/uapi/linux/perf_event.h`).
const PERF_TYPE_TRACEPOINT: u64 = 2;
const PERF_TYPE_SOFTWARE: u64 = 1;
const PERF_COUNT_SW_DUMMY: u64 = 9;
/// Size of the first version of `perf_event_attr`, in bytes.
const ATTRIBUTES_BYTES: u64 = 64;
/// The `inherit` flag: new threads and child processes get the event, too.
const INHERIT: u64 = 1 << 1;
/// `PERF_SAMPLE_TID | PERF_SAMPLE_READ`. No samples are taken, but an inherited event with these
/// must stay with its thread, and with it all other events of the thread.
const OWN_COUNT: u64 = 1 << 1 | 1 << 4;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// Whether the kernel may swap the inherited events of two related threads at a context switch.
///
/// If both have the same events, the kernel swaps their contexts instead of rescheduling the
/// events. Each event still belongs to the thread that it was created for, so the exit of one
/// thread removes the events of the other (observed on Linux 6.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextSwap {
    /// Each thread keeps its own events, because of [`OWN_COUNT`].
    Prevented,
    /// Equal contexts are swapped: Linux before 6.12 rejects [`OWN_COUNT`] on inherited events.
    Possible,
}

impl ContextSwap {
    /// Detects the behaviour of this kernel by opening an event on the recorder itself.
    pub fn detect() -> ContextSwap {
        let tried = open_kind(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, 0, INHERIT, OWN_COUNT);
        if tried.is_ok() { ContextSwap::Prevented } else { ContextSwap::Possible }
    }
}

/// Opens the trace event `event` on a thread and on everything that it starts, until the descriptor
/// is closed.
pub fn open_inherited(event: u64, tid: i32, context_swap: ContextSwap) -> io::Result<OwnedFd> {
    let sample = if context_swap == ContextSwap::Prevented { OWN_COUNT } else { 0 };
    open_kind(PERF_TYPE_TRACEPOINT, event, tid, INHERIT, sample)
}

/// Opens a trace event on one thread, without inheritance.
pub fn open_on_thread(event: u64, tid: i32) -> io::Result<OwnedFd> {
    open_kind(PERF_TYPE_TRACEPOINT, event, tid, 0, 0)
}

/// Opens a dummy event on a thread, without inheritance. The events of the thread then differ from
/// those of its children, so the kernel does not swap them.
pub fn open_swap_guard(tid: i32) -> io::Result<OwnedFd> {
    open_kind(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, tid, 0, 0)
}

/// Opens a trace event on the recorder itself, to attach a BPF program to. The program runs for
/// every event of that id. An inherited event would not do: the kernel detaches the program when
/// the first child with such an event ends (observed on Linux 6.18).
pub fn open_anchor(event: u64) -> io::Result<OwnedFd> {
    open_on_thread(event, 0)
}

fn open_kind(kind: u64, event: u64, tid: i32, flags: u64, sample: u64) -> io::Result<OwnedFd> {
    let attributes = [kind | ATTRIBUTES_BYTES << 32, event, 0, sample, 0, flags, 0, 0];
    let (any_cpu, no_group) = (-1, -1);
    // SAFETY: the pointer refers to attributes of the size that they declare.
    made(unsafe {
        let attributes = attributes.as_ptr();
        libc::syscall(libc::SYS_perf_event_open, attributes, tid, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    })
}

/// The ids of all threads of these processes.
pub fn threads_of(pids: &[i32]) -> BTreeSet<i32> {
    pids.iter().flat_map(|&pid| threads_of_process(pid)).collect()
}

fn threads_of_process(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}
