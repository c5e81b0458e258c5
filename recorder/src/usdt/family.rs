//! Perf events on threads and on everything that they start.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use super::tracefs::made;

/// The kinds of perf events (`include/uapi/linux/perf_event.h`).
const PERF_TYPE_TRACEPOINT: u64 = 2;
/// The size of the first published attributes, which have all that is needed here.
const ATTRIBUTES_BYTES: u64 = 64;
/// The second of the flags: threads and processes that the thread starts get the event, too.
const INHERIT: u64 = 1 << 1;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// Opens the event with this number on a thread and all that it will start, for as long as the descriptor is there.
pub fn open(event: u64, tid: i32) -> io::Result<OwnedFd> {
    open_with(event, tid, INHERIT)
}

/// Opens it on a thread alone.
pub fn open_alone(event: u64, tid: i32) -> io::Result<OwnedFd> {
    open_with(event, tid, 0)
}

/// Opens an event on a thread that never happens, so that what the thread starts has other events than itself.
///
/// The kernel swaps the inherited events of two related threads when one follows the other on a processor, instead of
/// taking the ones off and putting the same ones on. Each event goes on standing for the thread that it was made for,
/// so when one of the two ends, it takes the other's with it (seen on Linux 6.18). It swaps only what is the same.
pub fn hold(tid: i32) -> io::Result<OwnedFd> {
    const PERF_TYPE_SOFTWARE: u64 = 1;
    const PERF_COUNT_SW_DUMMY: u64 = 9;
    open_kind(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, tid, 0)
}

/// Opens it on ourselves, where it never happens: for a BPF program to be attached to. Not on a family's, since the
/// kernel takes the program away when the first child with an inherited event of that kind ends (Linux 6.18). The
/// program runs wherever the event happens.
pub fn anchor(event: u64) -> io::Result<OwnedFd> {
    open_with(event, 0, 0)
}

fn open_with(event: u64, tid: i32, flags: u64) -> io::Result<OwnedFd> {
    open_kind(PERF_TYPE_TRACEPOINT, event, tid, flags)
}

fn open_kind(kind: u64, event: u64, tid: i32, flags: u64) -> io::Result<OwnedFd> {
    let attributes = [kind | ATTRIBUTES_BYTES << 32, event, 0, 0, 0, flags, 0, 0];
    let (any_cpu, no_group) = (-1, -1);
    // SAFETY: a system call with a pointer to attributes of the size that they tell.
    made(unsafe {
        let attributes = attributes.as_ptr();
        libc::syscall(libc::SYS_perf_event_open, attributes, tid, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    })
}

/// The threads of these processes. Each pid comes first among its own.
pub fn threads(pids: &[i32]) -> BTreeSet<i32> {
    pids.iter().flat_map(|&pid| threads_of(pid)).collect()
}

fn threads_of(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}
