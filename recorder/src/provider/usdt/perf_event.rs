//! Perf events on threads and on everything that they start.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use super::tracefs::made;

/// The kinds of perf events (`include/uapi/linux/perf_event.h`).
const PERF_TYPE_TRACEPOINT: u64 = 2;
const PERF_TYPE_SOFTWARE: u64 = 1;
const PERF_COUNT_SW_DUMMY: u64 = 9;
/// The size of the first published attributes, which have all that is needed here.
const ATTRIBUTES_BYTES: u64 = 64;
/// The second of the flags: threads and processes that the thread starts get the event, too.
const INHERIT: u64 = 1 << 1;
/// What samples would say (`PERF_SAMPLE_TID` and `PERF_SAMPLE_READ`). There are none, but an inherited event whose
/// samples say its own count must stay with its thread, and so must all others of the thread.
const OWN_COUNT: u64 = 1 << 1 | 1 << 4;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// What the kernel does with the inherited events of two related threads when one follows the other on a processor.
///
/// Instead of taking the ones off and putting the same ones on, it swaps them. Each event goes on standing for the
/// thread that it was made for, so when one of the two ends, it takes the other's with it (seen on Linux 6.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextSwap {
    /// It leaves each thread its own, since they ask for it.
    Prevented,
    /// It swaps them where they are the same: before Linux 6.12 it cannot be asked.
    Possible,
}

impl ContextSwap {
    /// What this kernel can do, tried on ourselves.
    pub fn detect() -> ContextSwap {
        let tried = open_kind(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, 0, INHERIT, OWN_COUNT);
        if tried.is_ok() { ContextSwap::Prevented } else { ContextSwap::Possible }
    }
}

/// Opens the event with this number on a thread and all that it will start, for as long as the descriptor is there.
pub fn open_inherited(event: u64, tid: i32, context_swap: ContextSwap) -> io::Result<OwnedFd> {
    let sample = if context_swap == ContextSwap::Prevented { OWN_COUNT } else { 0 };
    open_kind(PERF_TYPE_TRACEPOINT, event, tid, INHERIT, sample)
}

/// Opens it on a thread alone.
pub fn open_on_thread(event: u64, tid: i32) -> io::Result<OwnedFd> {
    open_kind(PERF_TYPE_TRACEPOINT, event, tid, 0, 0)
}

/// Opens an event on a thread that never happens, so that what the thread starts has other events than itself, and the
/// kernel does not swap them.
pub fn open_swap_guard(tid: i32) -> io::Result<OwnedFd> {
    open_kind(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, tid, 0, 0)
}

/// Opens it on ourselves, where it never happens: for a BPF program to be attached to. Not on a family's, since the
/// kernel takes the program away when the first child with an inherited event of that kind ends (Linux 6.18). The
/// program runs wherever the event happens.
pub fn open_anchor(event: u64) -> io::Result<OwnedFd> {
    open_on_thread(event, 0)
}

fn open_kind(kind: u64, event: u64, tid: i32, flags: u64, sample: u64) -> io::Result<OwnedFd> {
    let attributes = [kind | ATTRIBUTES_BYTES << 32, event, 0, sample, 0, flags, 0, 0];
    let (any_cpu, no_group) = (-1, -1);
    // SAFETY: a system call with a pointer to attributes of the size that they tell.
    made(unsafe {
        let attributes = attributes.as_ptr();
        libc::syscall(libc::SYS_perf_event_open, attributes, tid, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    })
}

/// The threads of these processes. Each pid comes first among its own.
pub fn threads_of(pids: &[i32]) -> BTreeSet<i32> {
    pids.iter().flat_map(|&pid| threads_of_process(pid)).collect()
}

fn threads_of_process(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}
