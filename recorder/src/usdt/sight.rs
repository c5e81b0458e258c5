//! Threads and processes when they are first seen.

use rustc_hash::FxHashSet;

use crate::rows::Rows;

/// Who was seen already.
#[derive(Default)]
pub struct Sight {
    processes: FxHashSet<i32>,
    threads: FxHashSet<(i32, i32)>,
    /// Events come in runs of one thread.
    last: Option<(i32, i32)>,
}

impl Sight {
    /// Writes a row for a process and for a thread that was not seen before.
    #[inline]
    pub fn see(&mut self, time_ns: i64, pid: i32, tid: i32, rows: &mut Rows) -> crate::Result<()> {
        if self.last == Some((pid, tid)) {
            return Ok(());
        }
        self.last = Some((pid, tid));
        if self.processes.insert(pid) {
            let (parent, command) = (parent(pid).unwrap_or(0), command_line(pid).unwrap_or_default());
            rows.process_start(time_ns, pid, parent, &command)?;
        }
        if self.threads.insert((pid, tid)) {
            rows.thread_start(time_ns, pid, tid, thread_name(pid, tid).as_deref())?;
        }
        Ok(())
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
