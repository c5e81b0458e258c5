//! Named uprobes in tracefs.
//!
//! Child processes inherit only perf events on probes that are defined in tracefs. The names are
//! removed when the probes are detached. Names that a killed recorder has left are inactive, and
//! the next recorder removes them.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The usual mount points of tracefs.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Prefix of probe groups; the recorder's pid and the number of the recording follow.
const PREFIX: &str = "pyrec_";

/// Number of recordings of this process, for unique group names.
static RECORDINGS: AtomicU32 = AtomicU32::new(0);

/// The kernel's list of named probes.
pub struct Tracefs {
    root: PathBuf,
    /// A detached mount, if tracefs is not mounted.
    _mount: Option<OwnedFd>,
    group: String,
    names: u32,
}

impl Tracefs {
    /// Opens tracefs.
    ///
    /// # Errors
    /// It cannot be mounted or `uprobe_events` cannot be written to.
    pub fn open() -> io::Result<Tracefs> {
        let (root, mount) = match PLACES.map(PathBuf::from).into_iter().find(|place| list(place).is_ok()) {
            Some(root) => (root, None),
            None => {
                let mount = private_mount()?;
                (format!("/proc/self/fd/{}", mount.as_raw_fd()).into(), Some(mount))
            }
        };
        list(&root)?;
        let recording = RECORDINGS.fetch_add(1, Ordering::Relaxed);
        let group = format!("{PREFIX}{}_{recording}", std::process::id());
        let tracefs = Tracefs { root, _mount: mount, group, names: 0 };
        tracefs.remove_dead();
        Ok(tracefs)
    }

    /// Defines a uprobe at a file offset, with the offset of its semaphore. Returns its event id.
    pub fn define(&mut self, file: BorrowedFd<'_>, offset: u64, semaphore: Option<u64>) -> io::Result<u64> {
        let name = format!("{}/m{}", self.group, self.names);
        // By its descriptor, a file has a path wherever it is, and if it has been deleted.
        let file = format!("/proc/self/fd/{}", file.as_raw_fd());
        let counter = semaphore.map_or(String::new(), |counter| format!("(0x{counter:x})"));
        say(&self.root, &format!("p:{name} {file}:0x{offset:x}{counter}\n"))?;
        self.names += 1;
        self.number_of(&name)
    }

    /// The event id of a defined uprobe or of a kernel trace point.
    pub fn number_of(&self, name: &str) -> io::Result<u64> {
        let number = fs::read_to_string(self.root.join("events").join(name).join("id"))?;
        number.trim().parse().map_err(io::Error::other)
    }

    /// Removes the probes of recorders that no longer run. Failures are left for the next recorder.
    fn remove_dead(&self) {
        for group in names_in(&self.root.join("events")) {
            let pid = group.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                for name in names_in(&self.root.join("events").join(&group)) {
                    let _ = say(&self.root, &format!("-:{group}/{name}\n"));
                }
            }
        }
    }
}

impl Drop for Tracefs {
    /// Removes the definitions. The perf events on them must be closed.
    fn drop(&mut self) {
        for name in 0..self.names {
            // If this fails, the next recorder removes it.
            let _ = say(&self.root, &format!("-:{}/m{name}\n", self.group));
        }
    }
}

fn list(root: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(root.join("uprobe_events"))
}

fn say(root: &Path, line: &str) -> io::Result<()> {
    list(root)?.write_all(line.as_bytes())
}

/// The folders in a folder. (There are files, too: the switches of all events in it.)
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Creates a detached mount that is reachable only by the descriptor.
fn private_mount() -> io::Result<OwnedFd> {
    let name: &CStr = c"tracefs";
    let null = std::ptr::null::<u8>();
    // SAFETY: a system call with a string that ends in a zero, and a flag.
    let context = made(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), libc::FSOPEN_CLOEXEC) })?;
    let fd = context.as_raw_fd();
    // SAFETY: a system call on our descriptor; this command takes neither key nor value.
    let created = unsafe { libc::syscall(libc::SYS_fsconfig, fd, libc::FSCONFIG_CMD_CREATE, null, null, 0) };
    if created != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a system call on our descriptor, with flags.
    made(unsafe { libc::syscall(libc::SYS_fsmount, fd, libc::FSMOUNT_CLOEXEC, 0) })
}

/// Converts the result of a system call that creates a descriptor.
pub(super) fn made(result: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: the kernel has just created the descriptor, so nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
