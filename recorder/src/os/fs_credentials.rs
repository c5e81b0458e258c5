//! With whose rights this thread touches files.

use std::io;
use std::marker::PhantomData;

use super::user::User;
use crate::{Error, Result};

/// While this lives, the thread opens, makes and removes files as a user, and what it makes is that user's. All other
/// rights stay: to place probes, and to look into processes. A thread that is started meanwhile is that user, too, as
/// long as it lives.
///
/// A file in a folder of the user's, or in one for everybody, may be a link to another by the time that it is opened.
/// As this user we can do no more by it than the user can.
#[derive(Debug)]
pub(crate) struct Acting {
    before: Rights,
    /// They are this thread's.
    _thread: PhantomData<*const ()>,
}

/// What the kernel looks at where a file is touched.
#[derive(Debug)]
struct Rights {
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

/// Acts as a user, if there is one; else we are the user already.
pub(crate) fn act(user: Option<&User>) -> io::Result<Option<Acting>> {
    user.map(Acting::begin).transpose()
}

/// Does something as a user, if there is one.
pub(crate) fn as_user<T>(user: Option<&User>, work: impl FnOnce() -> T) -> Result<T> {
    let _acting = act(user).map_err(Error::system("act as the user that it is for"))?;
    Ok(work())
}

impl Acting {
    fn begin(user: &User) -> io::Result<Acting> {
        let groups = rustix::process::getgroups()?.into_iter().map(|group| group.as_raw()).collect();
        let before = Rights { uid: file_uid(), gid: file_gid(), groups };
        // Takes back what was done if not all can be.
        let acting = Acting { before, _thread: PhantomData };
        take(&Rights { uid: user.uid, gid: user.gid, groups: user.groups.clone() })?;
        Ok(acting)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // We had them before, and kept the right to have them again.
        let _ = take(&self.before);
    }
}

/// Takes rights on files. The groups go first and come back last, since that needs root's own rights no less, but who is
/// half another user shall have fewer rights and not more.
fn take(rights: &Rights) -> io::Result<()> {
    let Rights { uid, gid, groups } = rights;
    // SAFETY: plain system calls with numbers, and a list with its length. setgroups by its number is this thread's
    // alone, as the others are; by its name it would be that of all threads.
    let listed = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    if listed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    unsafe {
        libc::setfsgid(*gid);
        libc::setfsuid(*uid);
    }
    if (file_uid(), file_gid()) == (*uid, *gid) {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Asking for nobody's changes nothing, and tells whose they are.
fn file_uid() -> libc::uid_t {
    // SAFETY: a plain system call.
    unsafe { libc::setfsuid(libc::uid_t::MAX) as libc::uid_t }
}

fn file_gid() -> libc::gid_t {
    // SAFETY: a plain system call.
    unsafe { libc::setfsgid(libc::gid_t::MAX) as libc::gid_t }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    const NOBODY: u32 = 65534;

    fn nobody() -> User {
        let (name, home) = Default::default();
        User { uid: NOBODY, gid: NOBODY, groups: vec![], name, home }
    }

    #[test]
    fn files_are_touched_with_the_users_rights_and_then_with_ours_again() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: it needs root");
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let open = folder.path().join("open");
        fs::create_dir(&open).expect("it is made");
        for (path, mode) in [(folder.path(), 0o711), (open.as_path(), 0o777)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        let secret = open.join("secret");
        fs::write(&secret, "").expect("it is written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
        {
            let _outer = act(Some(&nobody())).expect("root may");
            let _inner = act(Some(&nobody())).expect("and once more");
            fs::write(open.join("theirs"), "").expect("everybody may");
            assert!(fs::read(&secret).is_err() && fs::write(folder.path().join("x"), "").is_err());
            let link = open.join("link");
            std::os::unix::fs::symlink(&secret, &link).expect("everybody may");
            assert!(fs::read(&link).is_err());
            let other = std::thread::spawn({
                let secret = secret.clone();
                move || fs::read(secret).is_err()
            });
            assert!(other.join().expect("it does not panic"));
        }
        assert_eq!(fs::metadata(open.join("theirs")).expect("it is there").uid(), NOBODY);
        fs::read(&secret).expect("we are root again");
        fs::write(folder.path().join("x"), "").expect("it is ours");
        let other = std::thread::spawn(move || fs::read(secret).is_ok());
        assert!(other.join().expect("it does not panic"));
    }
}
