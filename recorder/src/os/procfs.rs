//! Facts of processes, from `/proc`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A stretch of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Its first address.
    pub start: u64,
    /// Where in the file it begins.
    pub offset: u64,
    text: String,
}

impl Mapping {
    /// The file's path, as the process saw it when it opened it; none for memory of its own.
    pub fn path(&self) -> Option<&str> {
        let path = self.text.strip_suffix(" (deleted)").unwrap_or(&self.text);
        path.starts_with('/').then_some(path)
    }

    /// The last part of that path.
    pub fn file_name(&self) -> Option<&str> {
        self.path()?.rsplit('/').next()
    }
}

/// The mappings of a process.
pub(crate) fn mappings(pid: i32) -> io::Result<Vec<Mapping>> {
    let text = fs::read(format!("/proc/{pid}/maps"))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Lines such as `7f00-7f10 r-xp 00001000 08:01 1234   /usr/lib/libc.so.6`.
fn parse(text: &str) -> Vec<Mapping> {
    let mappings = text.lines().filter_map(|line| {
        let mut words = line.splitn(6, ' ');
        let (start, _) = words.next()?.split_once('-')?;
        let offset = words.nth(1)?;
        let text = words.nth(2).unwrap_or_default().trim_start().to_owned();
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Mapping { start: number(start)?, offset: number(offset)?, text })
    });
    mappings.collect()
}

/// Whom the process runs as.
pub(crate) fn user_of(pid: i32) -> Option<u32> {
    number_of(pid, "Uid:")
}

/// The group that it runs as.
pub(crate) fn group_of(pid: i32) -> Option<u32> {
    number_of(pid, "Gid:")
}

/// The effective one of the numbers in a line of `/proc/PID/status`.
fn number_of(pid: i32, what: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix(what))?;
    numbers.split_whitespace().nth(1)?.parse().ok()
}

/// The groups of a process.
pub(crate) fn groups_of(pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// What tells one file from another: its device and inode.
pub(crate) type FileId = (u64, u64);

/// Nothing where there is no such file.
pub(crate) fn id_of(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

/// Every process, by number.
pub(crate) fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_paths_with_blanks_and_none_at_all() {
        let mappings = parse(
            "00400000-00401000 r--p 00000000 08:01 11                         /usr/bin/my python3.14\n\
             00401000-00402000 r-xp 00001000 08:01 11                         /usr/bin/my python3.14\n\
             7f0000000000-7f0000001000 rw-s 00000000 00:17 4                  /dev/shm/pyrec-x/session (deleted)\n\
             7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 \n\
             7ffd10000000-7ffd10001000 rw-p 00000000 00:00 0                  [stack]\n",
        );
        let found: Vec<_> = mappings.iter().map(|m| (m.start, m.offset, m.path(), m.file_name())).collect();
        let python = Some("/usr/bin/my python3.14");
        let expected = [
            (0x400000, 0, python, Some("my python3.14")),
            (0x401000, 0x1000, python, Some("my python3.14")),
            (0x7f0000000000, 0, Some("/dev/shm/pyrec-x/session"), Some("session")),
            (0x7ffd00000000, 0, None, None),
            (0x7ffd10000000, 0, None, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_process_has_a_user_and_a_group() {
        let own = std::process::id() as i32;
        assert_eq!(user_of(own), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(group_of(own), Some(rustix::process::getegid().as_raw()));
    }
}
