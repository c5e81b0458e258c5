//! Threads and processes, from when they are first seen until they end.

use std::path::Path;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::os::clock::monotonic_ns;
use crate::os::process_handle::ProcessHandle;
use crate::output::row_writer::RowWriter;

/// Time between two looks at who has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Who was seen.
#[derive(Default)]
pub struct ProcessTracker {
    processes: FxHashMap<i32, TrackedProcess>,
    /// Events come in runs of one thread.
    last_thread: Option<(i32, i32)>,
    /// First seen, process and thread, since somebody last took these.
    pub new_threads: Vec<(i32, i32)>,
    /// The process whose end is somebody else's to tell.
    pub launched: Option<i32>,
    last_poll: Option<Instant>,
}

/// A process that was seen.
struct TrackedProcess {
    handle: ProcessHandle,
    threads: FxHashSet<i32>,
}

/// A thread that has ended, or a process with all its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitedTask {
    /// The process.
    pub pid: i32,
    /// None for the whole process.
    pub tid: Option<i32>,
}

impl ProcessTracker {
    /// Writes a row for a process and for a thread that was not seen before.
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

    /// Who has ended, now and then: to be told once everything is drained that they did before.
    pub fn poll_exits(&mut self, force: bool) -> Vec<ExitedTask> {
        if !force && self.last_poll.is_some_and(|polled| polled.elapsed() < POLL_INTERVAL) {
            return Vec::new();
        }
        self.last_poll = Some(Instant::now());
        self.processes.iter().flat_map(|(&pid, process)| process.exited(pid)).collect()
    }

    /// Writes their rows, and forgets them: their numbers may come again.
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
