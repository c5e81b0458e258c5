//! Root directories of processes. A process in a container has another root than the recorder, so a
//! path means another file to it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// A root directory, in which absolute paths of a process can be resolved.
#[derive(Debug)]
pub(crate) struct ProcessRoot {
    /// None for the recorder's own root. Held open, because `/proc/PID/root` vanishes with the
    /// process.
    directory: Option<fs::File>,
    /// The mount namespace, held open because its mounts vanish with the last process in it.
    _mount_namespace: Option<fs::File>,
}

/// Identifies a root: the directory, and the mount namespace in which it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootId {
    /// Device and inode.
    directory: (u64, u64),
    /// Target of `/proc/PID/ns/mnt`, such as `mnt:[4026531841]`.
    mount_namespace: PathBuf,
}

impl RootId {
    /// The recorder's own root.
    pub fn own() -> io::Result<RootId> {
        RootId::at("self")
    }

    /// The root of a process.
    pub fn of(pid: i32) -> io::Result<RootId> {
        RootId::at(&pid.to_string())
    }

    fn at(process: &str) -> io::Result<RootId> {
        let root = fs::metadata(format!("/proc/{process}/root/"))?;
        let mount_namespace = fs::read_link(format!("/proc/{process}/ns/mnt"))?;
        Ok(RootId { directory: (root.dev(), root.ino()), mount_namespace })
    }
}

impl ProcessRoot {
    /// The recorder's own root.
    pub fn own() -> ProcessRoot {
        ProcessRoot { directory: None, _mount_namespace: None }
    }

    /// The root of a process.
    pub fn of(pid: i32) -> io::Result<ProcessRoot> {
        if RootId::of(pid)? == RootId::own()? {
            return Ok(ProcessRoot::own());
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory =
            fs::OpenOptions::new().read(true).custom_flags(flags).open(format!("/proc/{pid}/root"))?;
        let mount_namespace = fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
        Ok(ProcessRoot { directory: Some(directory), _mount_namespace: Some(mount_namespace) })
    }

    /// Whether it is the recorder's own root.
    pub fn is_own(&self) -> bool {
        self.directory.is_none()
    }

    /// Opens a file for reading by a path of the process. Symbolic links are resolved within the
    /// root, as they are for the process. Opening a FIFO does not block.
    pub fn open(&self, path: &Path) -> io::Result<fs::File> {
        let Some(directory) = &self.directory else {
            return fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let relative = path.strip_prefix("/").unwrap_or(path);
        let file = openat2(directory, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        Ok(file.into())
    }

    /// Translates an absolute path of the process into one that the recorder can use.
    pub fn to_own_path(&self, path: &Path) -> PathBuf {
        match &self.directory {
            None => path.to_owned(),
            Some(_) => self.prefix().join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// Translates a path that the recorder uses, below this root, into one of the process.
    pub fn to_process_path(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(self.prefix()) {
            Ok(relative) => Path::new("/").join(relative),
            Err(_) => path.to_owned(),
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
    fn the_own_root_changes_no_path() {
        let root = ProcessRoot::of(std::process::id() as i32).expect("this process exists");
        assert!(root.is_own());
        let path = Path::new("/dev/shm/pyrec-x");
        assert_eq!((root.to_own_path(path).as_path(), root.to_process_path(path).as_path()), (path, path));
    }

    #[test]
    fn another_root_is_reached_by_a_descriptor() {
        let directory = Some(fs::File::open("/usr").expect("/usr exists"));
        let root = ProcessRoot { directory, _mount_namespace: None };
        let path = root.to_own_path(Path::new("/bin"));
        assert_eq!(
            fs::metadata(&path).expect("the path can be used").ino(),
            fs::metadata("/usr/bin").expect("/usr/bin exists").ino()
        );
        assert_eq!(root.to_process_path(&path), Path::new("/bin"));
    }

    #[test]
    fn symbolic_links_are_resolved_within_the_root() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(folder.path().join("etc")).expect("the directory is created");
        fs::write(folder.path().join("etc/passwd"), "inner").expect("the file is written");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("the link is created");
        let directory = Some(fs::File::open(folder.path()).expect("the directory exists"));
        let root = ProcessRoot { directory, _mount_namespace: None };
        let mut text = String::new();
        let mut file = root.open(Path::new("/link")).expect("the link leads to a file");
        io::Read::read_to_string(&mut file, &mut text).expect("the file is UTF-8");
        assert_eq!(text, "inner");
    }
}
