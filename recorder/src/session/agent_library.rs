//! The agent's shared library: embedded in the recorder, and unpacked for programs to load.

use std::fs::File;
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

/// The file name of the library.
pub(crate) const FILE_NAME: &str = "libpyrec_agent.so";

/// Unpacks the library into a private directory. Returns its path, and whether code can be loaded
/// from there.
pub(crate) fn unpack(directory: &Path) -> io::Result<(PathBuf, bool)> {
    let path = directory.join(FILE_NAME);
    let mut file = File::options().write(true).create_new(true).mode(0o500).open(&path)?;
    file.write_all(LIBRARY)?;
    let is_loadable = is_loadable(&File::open(&path)?);
    Ok((path, is_loadable))
}

/// Whether code can be mapped from a file. In containers, file systems are often mounted noexec.
fn is_loadable(file: &File) -> bool {
    // SAFETY: the mapping is dropped at once; its content is neither read nor executed.
    unsafe { MmapOptions::new().len(PAGE_BYTES).map_exec(file) }.is_ok()
}

/// The path of the library while its static markers are exposed to other tools. These refer to the
/// file by its path, so it is the same for every recording of a user.
pub(crate) fn exposed_path(user: Option<&User>) -> PathBuf {
    std::env::temp_dir().join(format!("pyrec-{}", uid_of(user))).join(FILE_NAME)
}

/// Unpacks the library to [`exposed_path`], with the filesystem credentials of that user. If the
/// file is there already, it is kept: tools that have attached to it see the next recording too.
///
/// Other users can write to the directory above, and the user to the directory of the library. So
/// every step is relative to an open directory.
pub(crate) fn expose(user: Option<&User>) -> io::Result<PathBuf> {
    let path = exposed_path(user);
    let directory = open_directory(path.parent().unwrap_or(Path::new("/")), user)?;
    let is_current = read(&directory).is_ok_and(|bytes| bytes == LIBRARY);
    if !is_current {
        replace(&directory)?;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, FILE_NAME, flags, Mode::empty())?;
    if !is_loadable(&File::from(file)) {
        return Err(io::Error::other("code cannot be loaded from there (it is mounted noexec)"));
    }
    Ok(path)
}

fn uid_of(user: Option<&User>) -> u32 {
    user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid)
}

/// Opens the directory of the exposed library, and creates it if needed. It must belong to the user
/// and be writable by no other user.
fn open_directory(path: &Path, user: Option<&User>) -> io::Result<OwnedFd> {
    let uid = uid_of(user);
    private_dir::check_ancestors(path.parent().unwrap_or(Path::new("/")), uid)?;
    match mkdir(path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())?;
    let status = fstat(&directory)?;
    if status.st_uid != uid || status.st_mode & 0o022 != 0 {
        return Err(io::Error::other("the directory exists, and other users can write to it; remove it"));
    }
    Ok(directory)
}

/// Reads the library that is in a directory.
fn read(directory: &OwnedFd) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, FILE_NAME, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    // A byte beyond the expected length suffices to see that the file is another one.
    file.take(LIBRARY.len() as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the library to a temporary name and renames it, because a program may be loading the
/// existing file.
fn replace(directory: &OwnedFd) -> io::Result<()> {
    let temporary = format!("{FILE_NAME}.{}", std::process::id());
    let _ = unlinkat(directory, temporary.as_str(), AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, temporary.as_str(), flags, Mode::RUSR | Mode::XUSR)?);
    file.write_all(LIBRARY)?;
    Ok(renameat(directory, temporary.as_str(), directory, FILE_NAME)?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn the_exposed_library_stays_the_same_file_for_the_next_recording() {
        let first = expose(None).expect("the library is unpacked");
        let inode = fs::metadata(&first).expect("the library exists").ino();
        let second = expose(None).expect("the library is kept");
        assert_eq!((&second, fs::metadata(&second).expect("the library exists").ino()), (&first, inode));
        assert_eq!(fs::read(&second).expect("the library can be read"), LIBRARY);
        assert_eq!(first, exposed_path(None));
    }

    #[test]
    fn addresses_of_code_are_file_offsets() {
        use object::{Object, ObjectSection};
        let library = object::File::parse(LIBRARY).expect("the library is an ELF file");
        let text = library.section_by_name(".text").expect("the library has code");
        assert_eq!(text.file_range().map(|(start, _)| start), Some(text.address()));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let directory = parent.path().join("pyrec");
        open_directory(&directory, None).expect("the directory is created");
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).expect("its mode is set");
        assert!(open_directory(&directory, None).is_err());
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).expect("the link is created");
        assert!(open_directory(&link, None).is_err());
    }
}
