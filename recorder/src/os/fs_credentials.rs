//! Filesystem credentials of the current thread: the ids that the kernel checks when the thread
//! opens, creates or removes a file.
//!
//! A recorder that runs as root works in directories that another user, or everybody, can write to.
//! Any path there may be replaced by a symbolic link before it is opened. With the credentials of
//! that user, the recorder reaches no file through such a link that the user could not reach.

use std::io;
use std::marker::PhantomData;

use super::user::User;

/// Keeps the thread's filesystem credentials switched to a user, and restores the previous ones
/// when dropped.
///
/// Only file access changes: capabilities such as CAP_BPF and CAP_SYS_PTRACE stay. Files that the
/// thread creates belong to the user. A thread that is spawned while a guard exists inherits the
/// user's credentials and keeps them.
#[derive(Debug)]
pub(crate) struct FsCredentialsGuard {
    previous: FsCredentials,
    /// Credentials belong to a thread, so the guard must be dropped on the thread that made it.
    _not_send: PhantomData<*const ()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FsCredentials {
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

/// Switches the thread's filesystem credentials to a user. Without a user nothing changes, and
/// there is no guard.
///
/// # Errors
///
/// Fails if the process lacks the right to switch; the credentials are then as before.
pub(crate) fn switch_to(user: Option<&User>) -> io::Result<Option<FsCredentialsGuard>> {
    let Some(user) = user else { return Ok(None) };
    let previous = FsCredentials::current()?;
    // Exists before the switch, so that a partial switch is undone.
    let guard = FsCredentialsGuard { previous, _not_send: PhantomData };
    FsCredentials { uid: user.uid, gid: user.gid, groups: user.groups.clone() }.apply()?;
    Ok(Some(guard))
}

/// Runs a closure with the filesystem credentials of a user, if there is one.
pub(crate) fn as_user<T>(user: Option<&User>, work: impl FnOnce() -> T) -> io::Result<T> {
    let _guard = switch_to(user)?;
    Ok(work())
}

impl Drop for FsCredentialsGuard {
    fn drop(&mut self) {
        // The thread had these credentials before and has kept CAP_SETUID and CAP_SETGID.
        let _ = self.previous.apply();
    }
}

impl FsCredentials {
    fn current() -> io::Result<FsCredentials> {
        let groups = rustix::process::getgroups()?.into_iter().map(|group| group.as_raw()).collect();
        Ok(FsCredentials { uid: fsuid(), gid: fsgid(), groups })
    }

    /// Sets the supplementary groups, then fsgid, then fsuid. The order is the same in both
    /// directions: setgroups needs CAP_SETGID, which setfsuid does not drop (it drops and restores
    /// the capabilities for file access alone). The call that can be refused comes first, so a
    /// refusal leaves all three as they were.
    fn apply(&self) -> io::Result<()> {
        let FsCredentials { uid, gid, groups } = self;
        // SAFETY: the pointer and the length are those of a live slice, which the kernel only
        // reads. The raw system call changes this thread alone; libc's setgroups would change all
        // threads.
        let status = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the calls take plain numbers and touch no memory.
        unsafe {
            libc::setfsgid(*gid);
            libc::setfsuid(*uid);
        }
        // Neither call reports errors.
        if (fsuid(), fsgid()) == (*uid, *gid) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// The filesystem uid. setfsuid returns the previous uid, and an invalid argument changes nothing.
fn fsuid() -> libc::uid_t {
    // SAFETY: the call takes a plain number and touches no memory.
    unsafe { libc::setfsuid(libc::uid_t::MAX) as libc::uid_t }
}

/// The filesystem gid, by the same means as [`fsuid`].
fn fsgid() -> libc::gid_t {
    // SAFETY: the call takes a plain number and touches no memory.
    unsafe { libc::setfsgid(libc::gid_t::MAX) as libc::gid_t }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    const NOBODY: u32 = 65534;

    fn nobody(groups: Vec<u32>) -> User {
        let (name, home) = Default::default();
        User { uid: NOBODY, gid: NOBODY, groups, name, home }
    }

    fn is_root() -> bool {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            crate::test_support::skip("not root");
        }
        is_root
    }

    /// Removes CAP_SETGID from the effective capabilities of this thread: capget(2), capset(2).
    fn drop_cap_setgid() {
        const VERSION_3: u32 = 0x2008_0522;
        const CAP_SETGID: u32 = 6;
        let mut header = [VERSION_3, 0];
        // Effective, permitted, inheritable; the lower and the upper 32 bits.
        let mut sets = [[0_u32; 3]; 2];
        // SAFETY: both arrays have the layout that version 3 prescribes, and are live.
        let got = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
        sets[0][0] &= !(1 << CAP_SETGID);
        // SAFETY: as above.
        let set = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) };
        assert_eq!((got, set), (0, 0), "{}", io::Error::last_os_error());
    }

    #[test]
    fn uid_gid_and_groups_are_switched_and_restored() {
        if !is_root() {
            return;
        }
        let before = FsCredentials::current().expect("credentials can be read");
        let guard = switch_to(Some(&nobody(vec![1234, 1235]))).expect("root may switch");
        let during = FsCredentials::current().expect("credentials can be read");
        assert_eq!(during, FsCredentials { uid: NOBODY, gid: NOBODY, groups: vec![1234, 1235] });
        drop(guard);
        assert_eq!(FsCredentials::current().expect("credentials can be read"), before);
    }

    #[test]
    fn a_refused_switch_changes_nothing() {
        let refused = std::thread::spawn(|| {
            drop_cap_setgid();
            let before = FsCredentials::current().expect("credentials can be read");
            let error = switch_to(Some(&nobody(vec![]))).expect_err("CAP_SETGID is missing");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(FsCredentials::current().expect("credentials can be read"), before);
        });
        refused.join().expect("the thread does not panic");
    }

    #[test]
    fn files_are_accessed_with_the_rights_of_the_user_while_the_guard_exists() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = directory.path().join("open");
        fs::create_dir(&open).expect("the directory is created");
        for (path, mode) in [(directory.path(), 0o711), (open.as_path(), 0o777)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode is set");
        }
        let secret = open.join("secret");
        fs::write(&secret, "").expect("the file is written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode is set");
        {
            let _outer = switch_to(Some(&nobody(vec![]))).expect("root may switch");
            let _inner = switch_to(Some(&nobody(vec![]))).expect("guards can be nested");
            fs::write(open.join("created"), "").expect("the directory is open to all");
            assert!(fs::read(&secret).is_err() && fs::write(directory.path().join("x"), "").is_err());
            let link = open.join("link");
            std::os::unix::fs::symlink(&secret, &link).expect("the directory is open to all");
            assert!(fs::read(&link).is_err());
            let spawned = std::thread::spawn({
                let secret = secret.clone();
                move || fs::read(secret).is_err()
            });
            assert!(spawned.join().expect("the thread does not panic"));
        }
        assert_eq!(fs::metadata(open.join("created")).expect("the file exists").uid(), NOBODY);
        fs::read(&secret).expect("root may read it");
        fs::write(directory.path().join("x"), "").expect("root may write here");
        let spawned = std::thread::spawn(move || fs::read(secret).is_ok());
        assert!(spawned.join().expect("the thread does not panic"));
    }
}
