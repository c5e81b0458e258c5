//! Whose recording it is.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStringExt;

use super::procfs::{group_of, groups_of, user_of};

/// The user who called `sudo`: the program runs as that user, and the trace is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// User id.
    pub uid: u32,
    /// Id of the first group.
    pub gid: u32,
    /// Ids of all groups.
    pub groups: Vec<u32>,
    /// Name in the password database.
    pub name: CString,
    /// Home directory.
    pub home: CString,
}

impl User {
    /// The invoking user under `sudo`; none where we are not root, or root from the start.
    pub fn invoking() -> Option<User> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let uid: u32 = std::env::var("SUDO_UID").ok()?.parse().ok()?;
        (uid != 0).then(|| User::by_id(uid)).flatten()
    }

    /// The user of a process that is not ours.
    pub fn of(pid: i32) -> Option<User> {
        let (uid, gid) = (user_of(pid)?, group_of(pid)?);
        let is_ours = uid == rustix::process::geteuid().as_raw();
        (!is_ours).then(|| User {
            uid,
            gid,
            groups: groups_of(pid),
            name: CString::default(),
            home: CString::default(),
        })
    }

    /// With whose rights to read the files that a process says it runs: those of the user who called `sudo`, else of the
    /// process. None where those are ours.
    pub fn reading_for(pid: i32) -> Option<User> {
        User::invoking().or_else(|| User::of(pid))
    }

    fn by_id(uid: u32) -> Option<User> {
        let mut buffer = vec![0u8; 16 << 10];
        // SAFETY: an all-zero passwd is a valid value: integers and null pointers.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are to live variables, and the length is the buffer's.
        let status = unsafe {
            libc::getpwuid_r(uid, &mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &mut found)
        };
        if status != 0 || found.is_null() {
            return None;
        }
        // SAFETY: found, so its strings point into `buffer` and end in a NUL byte.
        let [name, home] = unsafe { [CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir)] };
        let groups = listed_groups(name, entry.pw_gid);
        Some(User { uid, gid: entry.pw_gid, groups, name: name.to_owned(), home: home.to_owned() })
    }

    /// Variables of the environment that `sudo` had set to root's.
    pub fn environment(&self) -> [(&'static str, std::ffi::OsString); 3] {
        let text = |string: &CString| std::ffi::OsString::from_vec(string.to_bytes().to_vec());
        [("HOME", text(&self.home)), ("USER", text(&self.name)), ("LOGNAME", text(&self.name))]
    }

    /// Becomes that user, for good. Only calls what may be called between fork and exec.
    pub fn become_it(&self) -> std::io::Result<()> {
        let done = |status: i32| if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
        // SAFETY: plain system calls but for initgroups, which reads the group database; the caller is single-threaded
        // after a fork.
        unsafe {
            done(libc::initgroups(self.name.as_ptr(), self.gid))?;
            done(libc::setgid(self.gid))?;
            done(libc::setuid(self.uid))
        }
    }
}

/// The groups of a user, by the group database.
fn listed_groups(name: &CStr, gid: u32) -> Vec<u32> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the name ends in a NUL byte, and there is room for so many groups.
        let found = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if found >= 0 {
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
    fn a_user_is_looked_up_by_number() {
        let root = User::by_id(0).expect("every system has root");
        assert_eq!((root.name.to_bytes(), root.gid), (b"root".as_slice(), 0));
        assert!(root.groups.contains(&0), "{root:?}");
        assert_eq!(User::by_id(u32::MAX - 7), None);
    }
}
