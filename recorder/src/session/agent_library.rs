//! The agent's library, unpacked to where programs can load it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memmap2::MmapOptions;
use pyrec_wire::PAGE_BYTES;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, mkdir, openat, renameat, unlinkat};

use crate::os::private_dir;
use crate::os::user::User;

/// The library, built by this crate's build script.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libpyrec_agent.so"));

pub(crate) const NAME: &str = "libpyrec_agent.so";

/// Unpacks the library into a directory that only its user can enter. Gives its path, and whether it can be loaded
/// from there.
pub(crate) fn unpack(directory: &Path) -> io::Result<(PathBuf, bool)> {
    let path = directory.join(NAME);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o500).open(&path)?;
    file.write_all(LIBRARY)?;
    let loads = can_be_loaded(&File::open(&path)?);
    Ok((path, loads))
}

/// Containers often mount file systems so that nothing can be run from there.
fn can_be_loaded(file: &File) -> bool {
    // SAFETY: mapped and dropped at once; nothing reads or runs it.
    unsafe { MmapOptions::new().len(PAGE_BYTES).map_exec(file) }.is_ok()
}

/// Where the library lies while its static markers are exposed. Other tools name it, so it is the same for every
/// recording of the user's.
pub(crate) fn exposed_path(user: Option<&User>) -> PathBuf {
    std::env::temp_dir().join(format!("pyrec-{}", owner(user))).join(NAME)
}

/// Unpacks it there, acting as that user, unless it is there already: who listens to that file hears the next recording, too. Others may
/// write to the directory around it, and the user to its own, so each step is taken from the open directory.
pub(crate) fn expose(user: Option<&User>) -> io::Result<PathBuf> {
    let path = exposed_path(user);
    let directory = open_directory(path.parent().unwrap_or(Path::new("/")), user)?;
    let is_there = read(&directory).is_ok_and(|bytes| bytes == LIBRARY);
    if !is_there {
        replace(&directory)?;
    }
    let file = openat(&directory, NAME, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if !can_be_loaded(&File::from(file)) {
        return Err(io::Error::other("code may not be loaded from there (it is mounted noexec); set TMPDIR"));
    }
    Ok(path)
}

fn owner(user: Option<&User>) -> u32 {
    user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid)
}

/// The directory, the user's own and nobody else's to write to.
fn open_directory(path: &Path, user: Option<&User>) -> io::Result<OwnedFd> {
    let uid = owner(user);
    private_dir::check_ancestors(path.parent().unwrap_or(Path::new("/")), uid)?;
    match mkdir(path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())?;
    let status = fstat(&directory)?;
    if status.st_uid != uid || status.st_mode & 0o022 != 0 {
        return Err(io::Error::other("others can write to it; remove it, or set TMPDIR"));
    }
    Ok(directory)
}

fn read(directory: &OwnedFd) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, NAME, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    // A byte more than there should be is enough to see that it is another file.
    file.take(LIBRARY.len() as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Under another name first: a program may be loading the file that is there.
fn replace(directory: &OwnedFd) -> io::Result<()> {
    let fresh = format!("{NAME}.{}", std::process::id());
    let _ = unlinkat(directory, fresh.as_str(), AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, fresh.as_str(), flags, Mode::RUSR | Mode::XUSR)?);
    file.write_all(LIBRARY)?;
    Ok(renameat(directory, fresh.as_str(), directory, NAME)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn stays_the_same_file_from_one_recording_to_the_next() {
        let first = expose(None).expect("there is a temporary directory");
        let inode = std::fs::metadata(&first).expect("it is there").ino();
        let second = expose(None).expect("it is there already");
        assert_eq!((&second, std::fs::metadata(&second).expect("it is there").ino()), (&first, inode));
        assert_eq!(std::fs::read(&second).expect("it is there"), LIBRARY);
        assert_eq!(first, exposed_path(None));
    }

    #[test]
    fn addresses_are_places_in_the_file() {
        use object::{Object, ObjectSection};
        let library = object::File::parse(LIBRARY).expect("it is an ELF file");
        let text = library.section_by_name(".text").expect("it holds code");
        assert_eq!(text.file_range().map(|(start, _)| start), Some(text.address()));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().expect("a temporary directory");
        let directory = place.path().join("pyrec");
        open_directory(&directory, None).expect("it is made");
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
        assert!(open_directory(&directory, None).is_err());
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).expect("the place is ours");
        assert!(open_directory(&link, None).is_err());
    }
}
