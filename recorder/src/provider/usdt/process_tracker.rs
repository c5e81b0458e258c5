//! The observed threads and processes: writes their start and exit rows.

use std::path::Path;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::os::clock::monotonic_ns;
use crate::os::process_handle::ProcessHandle;
use crate::output::row_writer::RowWriter;

/// Interval between two checks for exited threads and processes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The threads and processes that events came from.
#[derive(Default)]
pub struct ProcessTracker {
    processes: FxHashMap<i32, TrackedProcess>,
    /// Process and thread of the last event. Consecutive events are mostly of one thread.
    last_thread: Option<(i32, i32)>,
    /// Newly observed threads (process, thread) that the caller has not drained yet.
    pub new_threads: Vec<(i32, i32)>,
    /// The launched process, whose exit row the supervisor writes.
    pub launched: Option<i32>,
    last_poll: Option<Instant>,
}

/// An observed process.
struct TrackedProcess {
    handle: ProcessHandle,
    threads: FxHashSet<i32>,
}

/// A thread that has ended, or a process with all its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitedTask {
    /// The process.
    pub pid: i32,
    /// The thread; `None` for the whole process.
    pub tid: Option<i32>,
}

impl ProcessTracker {
    /// Writes the start rows of a process and a thread that have not been observed before.
    #[inline]
    pub fn observe(&mut self, time_ns: i64, pid: i32, tid: i32, rows: &mut RowWriter) -> crate::Result<()> {
        if self.last_thread == Some((pid, tid)) {
            return Ok(());
        }
        self.last_thread = Some((pid, tid));
        let process = match self.processes.entry(pid) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let (parent, command) = (parent(pid).unwrap_or(0), command_line(pid).unwrap_or_default());
                rows.push_process_start(time_ns, pid, parent, &command)?;
                entry.insert(TrackedProcess {
                    handle: ProcessHandle::open(pid),
                    threads: FxHashSet::default(),
                })
            }
        };
        if process.threads.insert(tid) {
            rows.push_thread_start(time_ns, pid, tid, thread_name(pid, tid).as_deref())?;
            self.new_threads.push((pid, tid));
        }
        Ok(())
    }

    /// Returns the threads and processes that have exited, at most once per interval unless
    /// `force`. Their rows are to be written after their pending events are drained.
    pub fn poll_exits(&mut self, force: bool) -> Vec<ExitedTask> {
        if !force && self.last_poll.is_some_and(|polled| polled.elapsed() < POLL_INTERVAL) {
            return Vec::new();
        }
        self.last_poll = Some(Instant::now());
        self.processes.iter().flat_map(|(&pid, process)| process.exited(pid)).collect()
    }

    /// Writes exit rows and removes the entries, because pids and tids are reused.
    pub fn push_exits(&mut self, exited: &[ExitedTask], rows: &mut RowWriter) -> crate::Result<()> {
        let now_ns = monotonic_ns();
        for &ExitedTask { pid, tid } in exited {
            self.last_thread = None;
            if let Some(tid) = tid {
                let known = self.processes.get_mut(&pid).is_some_and(|process| process.threads.remove(&tid));
                if known {
                    rows.push_thread_exit(now_ns, pid, tid)?;
                }
            } else if let Some(process) = self.processes.remove(&pid) {
                process.threads.into_iter().try_for_each(|tid| rows.push_thread_exit(now_ns, pid, tid))?;
                if self.launched != Some(pid) {
                    rows.push_process_exit(now_ns, pid, None)?;
                }
            }
        }
        Ok(())
    }
}

impl TrackedProcess {
    fn exited(&self, pid: i32) -> Vec<ExitedTask> {
        if self.handle.has_exited() {
            return vec![ExitedTask { pid, tid: None }];
        }
        let is_gone = |tid: &i32| !Path::new(&format!("/proc/{pid}/task/{tid}")).exists();
        let gone = self.threads.iter().copied().filter(|tid| *tid != pid && is_gone(tid));
        gone.map(|tid| ExitedTask { pid, tid: Some(tid) }).collect()
    }
}

fn thread_name(pid: i32, tid: i32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

fn command_line(pid: i32) -> Option<String> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    Some(String::from_utf8_lossy(words).replace('\0', " "))
}

fn parent(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
