//! Another process's files: it may have a root directory of its own, as in a container.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A root directory.
#[derive(Debug)]
pub(crate) struct Root {
    /// Held open where it is not ours, since `/proc/PID/root` goes with the process.
    directory: Option<fs::File>,
}

impl Root {
    /// Ours.
    pub fn ours() -> Root {
        Root { directory: None }
    }

    /// That of a process.
    pub fn of(pid: i32) -> io::Result<Root> {
        let path = format!("/proc/{pid}/root");
        let identity = |process: &str| -> io::Result<_> {
            let root = fs::metadata(format!("/proc/{process}/root/"))?;
            let mounts = fs::read_link(format!("/proc/{process}/ns/mnt"))?;
            Ok((root.dev(), root.ino(), mounts))
        };
        if identity(&pid.to_string())? == identity("self")? {
            return Ok(Root::ours());
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(Root { directory: Some(directory) })
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        self.directory.is_none()
    }

    /// One of its absolute paths, for us.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        match &self.directory {
            None => inside.to_owned(),
            Some(_) => self.prefix().join(inside.strip_prefix("/").unwrap_or(inside)),
        }
    }

    /// One of our paths below it, for the process.
    pub fn inside(&self, outside: &Path) -> PathBuf {
        match outside.strip_prefix(self.prefix()) {
            Ok(below) => Path::new("/").join(below),
            Err(_) => outside.to_owned(),
        }
    }

    fn prefix(&self) -> PathBuf {
        match &self.directory {
            None => PathBuf::from("/"),
            Some(directory) => PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_root_changes_no_path() {
        let root = Root::of(std::process::id() as i32).expect("we are there");
        assert!(root.is_ours());
        let path = Path::new("/dev/shm/pyrec-x");
        assert_eq!((root.outside(path).as_path(), root.inside(path).as_path()), (path, path));
    }

    #[test]
    fn another_root_is_reached_by_a_descriptor() {
        let root = Root { directory: Some(fs::File::open("/usr").expect("it is there")) };
        let outside = root.outside(Path::new("/bin"));
        assert_eq!(
            fs::metadata(&outside).expect("it is there").ino(),
            fs::metadata("/usr/bin").expect("so").ino()
        );
        assert_eq!(root.inside(&outside), Path::new("/bin"));
    }
}
