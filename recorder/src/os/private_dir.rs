//! Folders in which nobody else can replace what is ours.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

const OTHERS_WRITE: u32 = 0o022;

/// In a folder with this bit everybody may make files, but only their owner, and that of the folder, may replace them.
const STICKY: u32 = 0o1000;

/// That every folder on the way to a path belongs to root or this user, and that others cannot move what is in it.
pub(crate) fn check(path: &Path, uid: u32) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let unmapped = unmapped_uid();
    for folder in path.ancestors() {
        let status = fs::metadata(folder)?;
        let is_trusted = [0, uid].contains(&status.uid()) || Some(status.uid()) == unmapped;
        if !is_trusted || status.mode() & OTHERS_WRITE != 0 && status.mode() & STICKY == 0 {
            let folder = folder.display();
            return Err(io::Error::other(format!("others can replace what is in {folder}; set TMPDIR")));
        }
    }
    Ok(())
}

/// A directory that nobody else may enter.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// As whose files those of the system are seen from within a container that knows no root.
fn unmapped_uid() -> Option<u32> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let has_root = map.lines().any(|line| {
        let mut numbers = line.split_whitespace();
        (numbers.next(), numbers.next()) == (Some("0"), Some("0"))
    });
    if has_root { None } else { fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_others_write_to_is_no_shelter_unless_it_is_sticky() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let uid = rustix::process::geteuid().as_raw();
        let inner = place.path().join("inner");
        fs::create_dir(&inner).expect("it is made");
        for (mode, is_shelter) in
            [(0o700, true), (0o755, true), (0o1777, true), (0o777, false), (0o770, false)]
        {
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(check(place.path(), uid).is_ok(), is_shelter, "{mode:o}");
            // What lies in it can be moved away with it.
            assert_eq!(check(&inner, uid).is_ok(), is_shelter, "{mode:o}");
        }
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&inner, &link).expect("the place is ours");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).expect("it is ours");
        assert!(check(&link, uid).is_err());
        check(Path::new("/dev/shm"), uid).expect("every system has one that is");
    }

    #[test]
    fn somebody_elses_folder_is_none() {
        let place = tempfile::tempdir().expect("a temporary directory");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(place.path(), Some(65534), None).expect("root may");
            assert!(check(place.path(), 0).is_err());
            check(place.path(), 65534).expect("it is theirs");
        }
    }
}
