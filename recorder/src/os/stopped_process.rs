//! Stopping a process with ptrace(2), while its memory is modified or probes are placed in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::procfs;

/// A process whose threads are all stopped, without a signal that the process could notice. They
/// continue when this is dropped.
pub(crate) struct StoppedProcess {
    /// The stopped threads by tid, each with the signal that was about to be delivered, or 0.
    threads: BTreeMap<i32, i32>,
}

impl StoppedProcess {
    /// Stops every thread of a process.
    pub fn stop(pid: i32) -> io::Result<StoppedProcess> {
        let mut stopped = StoppedProcess { threads: BTreeMap::new() };
        // A thread that still runs can start another one, so the list is read until it has no new
        // ones.
        loop {
            let before = stopped.threads.len();
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let tid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
                if let Some(tid) = tid.filter(|tid| !stopped.threads.contains_key(tid)) {
                    match stop_thread(tid) {
                        Ok(Some(signal)) => drop(stopped.threads.insert(tid, signal)),
                        Ok(None) => {}
                        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if stopped.threads.len() == before {
                return Ok(stopped);
            }
        }
    }
}

impl Drop for StoppedProcess {
    fn drop(&mut self) {
        for (&tid, &signal) in &self.threads {
            // Detaching fails if the thread was killed in the meantime.
            if ptrace(libc::PTRACE_DETACH, tid, signal as usize).is_err() {
                reap(tid);
            }
        }
    }
}

/// Stops a thread. Returns the signal that was about to be delivered to it, or 0; none if the
/// thread has exited.
fn stop_thread(tid: i32) -> io::Result<Option<i32>> {
    ptrace(libc::PTRACE_SEIZE, tid, 0)?;
    ptrace(libc::PTRACE_INTERRUPT, tid, 0)?;
    let has_stopped = loop {
        match wait_for_stop(tid) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            has_stopped => break has_stopped?,
        }
    };
    if !has_stopped {
        reap(tid);
        return Ok(None);
    }
    let mut status = 0;
    // SAFETY: the status is a live variable.
    if unsafe { libc::waitpid(tid, &mut status, libc::__WALL) } != tid {
        return Err(io::Error::last_os_error());
    }
    Ok(Some(match status >> 16 {
        0 => libc::WSTOPSIG(status),
        _ => 0,
    }))
}

/// Reaps a thread that exited while it was traced: the kernel notifies the parent only after that.
/// A child of the recorder is left alone, because its exit status is waited for elsewhere.
fn reap(tid: i32) {
    let number = |field| procfs::status_field(tid, field)?.parse().ok();
    let is_child = number("Tgid:") == Some(tid) && number("PPid:") == Some(std::process::id().cast_signed());
    if !is_child {
        // SAFETY: waitpid accepts a null pointer for the status.
        unsafe { libc::waitpid(tid, std::ptr::null_mut(), libc::__WALL) };
    }
}

/// Waits until a thread stops or exits; returns whether it has stopped. Its status remains to be
/// waited for.
fn wait_for_stop(tid: i32) -> io::Result<bool> {
    let flags = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all zeros is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the result is written to a live variable.
    match unsafe { libc::waitid(libc::P_PID, tid.unsigned_abs(), &mut info, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(matches!(info.si_code, libc::CLD_STOPPED | libc::CLD_TRAPPED)),
    }
}

fn ptrace(request: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: none of the requests that are passed here reads or writes memory of this process.
    match unsafe { libc::ptrace(request, tid, 0usize, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stopped_process_uses_no_cpu_and_continues_afterwards() {
        let mut child =
            Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell starts");
        let pid = child.id() as i32;
        let state_and_cpu_ticks = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process exists");
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            (fields[0].to_owned(), fields[11].parse::<u64>().expect("a number"))
        };
        let stopped = StoppedProcess::stop(pid).expect("a child may be traced");
        let (state, before) = state_and_cpu_ticks();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!((state.as_str(), state_and_cpu_ticks().1), ("t", before));
        drop(stopped);
        while state_and_cpu_ticks().1 == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().and_then(|()| child.wait()).expect("the child is killed");
    }

    #[test]
    fn the_parent_is_notified_of_a_process_that_was_killed_while_stopped() {
        let mut parent =
            Command::new("sh").args(["-c", "exec 2>&-; sleep 60; exit 7"]).spawn().expect("a shell starts");
        let children = format!("/proc/{0}/task/{0}/children", parent.id());
        let child: i32 = std::iter::repeat_with(|| std::thread::sleep(Duration::from_millis(5)))
            .find_map(|()| fs::read_to_string(&children).ok()?.trim().parse().ok())
            .expect("the shell starts sleep");
        let stopped = StoppedProcess::stop(child).expect("a descendant may be traced");
        // SAFETY: the pid is that of the shell's child, which has not been reaped.
        assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
        drop(stopped);
        assert_eq!(parent.wait().expect("the shell is a child").code(), Some(7));
    }

    #[test]
    fn the_exit_status_of_a_child_of_the_recorder_is_not_taken() {
        let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn().expect("a shell starts");
        let pid = child.id() as i32;
        while !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = StoppedProcess::stop(pid);
        assert_eq!(child.wait().expect("the shell is a child").code(), Some(7));
    }
}
