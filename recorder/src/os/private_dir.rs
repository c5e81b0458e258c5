//! Directories whose content no other user can replace.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Mode bits that let the group or all users write.
const OTHERS_WRITE: u32 = 0o022;

/// In a directory with this bit all users may create files, but only the owner of a file and the
/// owner of the directory may replace it.
const STICKY: u32 = 0o1000;

/// Creates a directory that only its owner may enter.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Checks that no user except root and `uid` can replace a directory or anything on the way to it:
/// each ancestor belongs to one of the two, and is writable by its owner alone or sticky.
///
/// # Errors
///
/// The error names the first directory that fails the check.
pub(crate) fn check_ancestors(path: &Path, uid: u32) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let overflow_uid = overflow_uid();
    for directory in path.ancestors() {
        let metadata = fs::metadata(directory)?;
        let is_trusted = [0, uid].contains(&metadata.uid()) || Some(metadata.uid()) == overflow_uid;
        if !is_trusted || metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0 {
            let directory = directory.display();
            return Err(io::Error::other(format!("other users can replace the content of {directory}")));
        }
    }
    Ok(())
}

/// The uid that stands for every uid without a mapping, if root has none in this user namespace. In
/// such a container the system's own files appear to belong to it.
fn overflow_uid() -> Option<u32> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let maps_root = map.lines().any(|line| {
        let mut numbers = line.split_whitespace();
        (numbers.next(), numbers.next()) == (Some("0"), Some("0"))
    });
    if maps_root {
        None
    } else {
        fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_to_is_refused_unless_it_is_sticky() {
        let outer = tempfile::tempdir().expect("a temporary directory");
        let uid = rustix::process::geteuid().as_raw();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).expect("the directory is created");
        for (mode, is_private) in
            [(0o700, true), (0o755, true), (0o1777, true), (0o777, false), (0o770, false)]
        {
            fs::set_permissions(outer.path(), fs::Permissions::from_mode(mode)).expect("its mode is set");
            assert_eq!(check_ancestors(outer.path(), uid).is_ok(), is_private, "{mode:o}");
            // A directory in it can be replaced as a whole.
            assert_eq!(check_ancestors(&inner, uid).is_ok(), is_private, "{mode:o}");
        }
        let link = outer.path().join("link");
        std::os::unix::fs::symlink(&inner, &link).expect("the link is created");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).expect("its mode is set");
        assert!(check_ancestors(&link, uid).is_err());
        check_ancestors(Path::new("/dev/shm"), uid).expect("/dev/shm is sticky");
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        let outer = tempfile::tempdir().expect("a temporary directory");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(outer.path(), Some(65534), None).expect("root may change the owner");
            assert!(check_ancestors(outer.path(), 0).is_err());
            check_ancestors(outer.path(), 65534).expect("the directory belongs to that user");
        }
    }
}
