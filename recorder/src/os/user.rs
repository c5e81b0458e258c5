//! Users: the invoking user under `sudo`, and the user of a process.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::procfs::{effective_gid, effective_uid, supplementary_groups};

/// A user other than the one that the recorder runs as. Files for this user are accessed with its
/// filesystem credentials, and a launched program runs as it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Ids of all groups.
    pub groups: Vec<u32>,
    /// Name in the password database; empty for the user of a process.
    pub name: CString,
    /// Home directory; empty for the user of a process.
    pub home: CString,
}

impl User {
    /// The invoking user: the one who called `sudo`. None if the recorder does not run as root, or
    /// not under `sudo`.
    pub fn invoking() -> Option<User> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let uid: u32 = std::env::var("SUDO_UID").ok()?.parse().ok()?;
        (uid != 0).then(|| User::by_uid(uid)).flatten()
    }

    /// The user of a process; none if the recorder runs as that user.
    pub fn of_process(pid: i32) -> Option<User> {
        let (uid, gid) = (effective_uid(pid)?, effective_gid(pid)?);
        let is_own = uid == rustix::process::geteuid().as_raw();
        (!is_own).then(|| User {
            uid,
            gid,
            groups: supplementary_groups(pid),
            name: CString::default(),
            home: CString::default(),
        })
    }

    /// The user with whose rights to read files that a process names, such as its source files: the
    /// invoking user, else the user of the process. None if the recorder runs as that user.
    pub fn for_files_of(pid: i32) -> Option<User> {
        User::invoking().or_else(|| User::of_process(pid))
    }

    fn by_uid(uid: u32) -> Option<User> {
        let mut buffer = vec![0u8; 16 << 10];
        // SAFETY: an all-zero passwd is a valid value: integers and null pointers.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut result = std::ptr::null_mut();
        // SAFETY: all pointers are to live variables, and the length is that of the buffer.
        let status = unsafe {
            libc::getpwuid_r(uid, &mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &mut result)
        };
        if status != 0 || result.is_null() {
            return None;
        }
        // SAFETY: the call succeeded, so both point to NUL-terminated strings in `buffer`.
        let [name, home] = unsafe { [CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir)] };
        let groups = groups_in_database(name, entry.pw_gid);
        Some(User { uid, gid: entry.pw_gid, groups, name: name.to_owned(), home: home.to_owned() })
    }

    /// The environment variables that `sudo` sets to root's, with the values of this user.
    pub fn environment(&self) -> [(&'static str, OsString); 3] {
        let text = |string: &CString| OsString::from_vec(string.to_bytes().to_vec());
        [("HOME", text(&self.home)), ("USER", text(&self.name)), ("LOGNAME", text(&self.name))]
    }

    /// Switches the process to this user for good. May be called between fork and exec: it makes
    /// system calls and allocates nothing.
    pub fn switch_process(&self) -> io::Result<()> {
        let check = |status: i32| if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        // SAFETY: the pointer and the length are those of a live slice, which the kernel only
        // reads; the other calls take plain numbers.
        unsafe {
            check(libc::setgroups(self.groups.len(), self.groups.as_ptr()))?;
            check(libc::setgid(self.gid))?;
            check(libc::setuid(self.uid))
        }
    }
}

/// All groups of a user, by the group database.
fn groups_in_database(name: &CStr, gid: u32) -> Vec<u32> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the name is NUL-terminated, and the buffer has room for `count` groups.
        let status = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if status >= 0 {
            groups.truncate(count);
            return groups;
        }
        if count <= groups.len() {
            return vec![gid];
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_looked_up_by_uid() {
        let root = User::by_uid(0).expect("every system has root");
        assert_eq!((root.name.to_bytes(), root.gid), (b"root".as_slice(), 0));
        assert!(root.groups.contains(&0), "{root:?}");
        assert_eq!(User::by_uid(u32::MAX - 7), None);
    }
}
