//! A process that stands still, while its memory is changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Every thread of a process, stopped without a signal that anybody could see. They go on when this is dropped.
pub(crate) struct Stopped {
    /// By number, with the signal that was about to be delivered.
    threads: BTreeMap<i32, i32>,
}

impl Stopped {
    /// Stops the process.
    pub fn process(pid: i32) -> io::Result<Stopped> {
        let mut stopped = Stopped { threads: BTreeMap::new() };
        // A thread that still runs can start another one.
        loop {
            let before = stopped.threads.len();
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let tid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
                if let Some(tid) = tid.filter(|tid| !stopped.threads.contains_key(tid)) {
                    match stop(tid) {
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

impl Drop for Stopped {
    fn drop(&mut self) {
        for (&tid, &signal) in &self.threads {
            // It fails where the thread was killed meanwhile.
            if request(libc::PTRACE_DETACH, tid, signal as usize).is_err() {
                release(tid);
            }
        }
    }
}

/// Stops a thread. Gives the signal that was about to be delivered to it, or 0; none if the thread has ended.
fn stop(tid: i32) -> io::Result<Option<i32>> {
    request(libc::PTRACE_SEIZE, tid, 0)?;
    request(libc::PTRACE_INTERRUPT, tid, 0)?;
    let stopped = loop {
        match has_stopped(tid) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            stopped => break stopped?,
        }
    };
    if !stopped {
        release(tid);
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

/// Lets go of a thread that has ended, or is about to, while it was held: before that nobody tells its parent. A child of ours
/// is left to be asked how it ended.
fn release(tid: i32) {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let number = |name| status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    let is_child = number("Tgid:") == Some(tid) && number("PPid:") == Some(std::process::id().cast_signed());
    if !is_child {
        // SAFETY: it may leave out how the thread ended.
        unsafe { libc::waitpid(tid, std::ptr::null_mut(), libc::__WALL) };
    }
}

/// Waits until a thread stops or ends. How it ended is left for its parent to ask, which we may be.
fn has_stopped(tid: i32) -> io::Result<bool> {
    let flags = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all zeros is a valid value of it.
    let mut told: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: what is told goes to a live variable.
    match unsafe { libc::waitid(libc::P_PID, tid.unsigned_abs(), &mut told, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(matches!(told.si_code, libc::CLD_STOPPED | libc::CLD_TRAPPED)),
    }
}

fn request(request: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: these requests read and write no memory of ours.
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
    fn stands_still_and_goes_on() {
        let mut child =
            Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell starts");
        let pid = child.id() as i32;
        let used = || {
            let status = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
            let fields: Vec<&str> = status.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            (fields[0].to_owned(), fields[11].parse::<u64>().expect("a number"))
        };
        let stopped = Stopped::process(pid).expect("it is our child");
        let (state, before) = used();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!((state.as_str(), used().1), ("t", before));
        drop(stopped);
        while used().1 == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().and_then(|()| child.wait()).expect("it ends");
    }

    #[test]
    fn who_is_killed_meanwhile_is_told_to_its_parent() {
        let mut parent =
            Command::new("sh").args(["-c", "exec 2>&-; sleep 60; exit 7"]).spawn().expect("a shell starts");
        let children = format!("/proc/{0}/task/{0}/children", parent.id());
        let child: i32 = std::iter::repeat_with(|| std::thread::sleep(Duration::from_millis(5)))
            .find_map(|()| fs::read_to_string(&children).ok()?.trim().parse().ok())
            .expect("it starts sooner or later");
        let stopped = Stopped::process(child).expect("it may be looked into");
        // SAFETY: the number is that of our child's child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
        drop(stopped);
        assert_eq!(parent.wait().expect("it is our child").code(), Some(7));
    }

    #[test]
    fn how_a_child_ended_is_left_to_be_asked() {
        let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn().expect("a shell starts");
        let pid = child.id() as i32;
        while !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = Stopped::process(pid);
        assert_eq!(child.wait().expect("it is our child").code(), Some(7));
    }
}
