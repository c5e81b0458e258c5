//! Another process's files: it may have a root directory of its own, as in a container.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// A root directory.
#[derive(Debug)]
pub(crate) struct Root {
    /// Held open where it is not ours, since `/proc/PID/root` goes with the process.
    directory: Option<fs::File>,
    /// Held open, too: a namespace's mounts go with the last process in it.
    _mounts: Option<fs::File>,
}

/// What tells one root from another: a directory, and which mounts are below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    directory: (u64, u64),
    mounts: PathBuf,
}

impl Identity {
    /// That of our root.
    pub fn ours() -> io::Result<Identity> {
        Identity::at("self")
    }

    /// That of a process's root.
    pub fn of(pid: i32) -> io::Result<Identity> {
        Identity::at(&pid.to_string())
    }

    fn at(process: &str) -> io::Result<Identity> {
        let root = fs::metadata(format!("/proc/{process}/root/"))?;
        let mounts = fs::read_link(format!("/proc/{process}/ns/mnt"))?;
        Ok(Identity { directory: (root.dev(), root.ino()), mounts })
    }
}

impl Root {
    /// Ours.
    pub fn ours() -> Root {
        Root { directory: None, _mounts: None }
    }

    /// That of a process.
    pub fn of(pid: i32) -> io::Result<Root> {
        let path = format!("/proc/{pid}/root");
        if Identity::of(pid)? == Identity::ours()? {
            return Ok(Root::ours());
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let mounts = fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
        Ok(Root { directory: Some(directory), _mounts: Some(mounts) })
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        self.directory.is_none()
    }

    /// Opens one of its files for reading. Links lead where they lead the process.
    pub fn open(&self, inside: &Path) -> io::Result<fs::File> {
        let Some(directory) = &self.directory else {
            return fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(inside);
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let below = inside.strip_prefix("/").unwrap_or(inside);
        let file = openat2(directory, below, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        Ok(file.into())
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
        let root = Root { directory: Some(fs::File::open("/usr").expect("it is there")), _mounts: None };
        let outside = root.outside(Path::new("/bin"));
        assert_eq!(
            fs::metadata(&outside).expect("it is there").ino(),
            fs::metadata("/usr/bin").expect("so").ino()
        );
        assert_eq!(root.inside(&outside), Path::new("/bin"));
    }

    #[test]
    fn a_link_leads_where_it_leads_within() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let inner = folder.path().join("etc/passwd");
        fs::create_dir(folder.path().join("etc"))
            .and_then(|()| fs::write(&inner, "inner"))
            .expect("it is written");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("it is made");
        let root =
            Root { directory: Some(fs::File::open(folder.path()).expect("it is there")), _mounts: None };
        let mut text = String::new();
        let mut file = root.open(Path::new("/link")).expect("it is there");
        io::Read::read_to_string(&mut file, &mut text).expect("it is text");
        assert_eq!(text, "inner");
    }
}
