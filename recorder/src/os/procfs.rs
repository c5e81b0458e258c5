//! Facts about processes, read from `/proc`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Identifies a file whatever its path: device and inode.
pub(crate) type FileId = (u64, u64);

/// The id of the file at a path, following links; none if it cannot be read.
pub(crate) fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether a process exists. True if that cannot be determined.
pub(crate) fn exists(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}

/// The pids of all processes, ascending.
pub(crate) fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// The effective uid of a process.
pub(crate) fn effective_uid(pid: i32) -> Option<u32> {
    effective_id(pid, "Uid:")
}

/// The effective gid of a process.
pub(crate) fn effective_gid(pid: i32) -> Option<u32> {
    effective_id(pid, "Gid:")
}

/// The second number of a line of `/proc/PID/status`: real, effective, saved, filesystem id.
fn effective_id(pid: i32, field: &str) -> Option<u32> {
    status_field(pid, field)?.split_whitespace().nth(1)?.parse().ok()
}

/// The supplementary groups of a process.
pub(crate) fn supplementary_groups(pid: i32) -> Vec<u32> {
    let groups = status_field(pid, "Groups:").unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// How many pid namespaces a process has a pid in. It is 1 for processes of the recorder's own pid
/// namespace, and more for those of a namespace below it.
pub(crate) fn pid_namespace_depth(pid: i32) -> Option<usize> {
    status_field(pid, "NSpid:").map(|pids| pids.split_whitespace().count())
}

/// What follows the name of a field, colon included, in `/proc/PID/status`.
pub(crate) fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(|text| text.trim().to_owned())
}

/// A mapping in the address space of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First address.
    pub start: u64,
    /// Offset in the file that is mapped to `start`, in bytes.
    pub offset: u64,
    name: String,
}

impl Mapping {
    /// The path of the mapped file, as it was when the process opened it; none for an anonymous
    /// mapping.
    pub fn path(&self) -> Option<&str> {
        let path = self.name.strip_suffix(" (deleted)").unwrap_or(&self.name);
        path.starts_with('/').then_some(path)
    }

    /// The last component of [`Mapping::path`].
    pub fn file_name(&self) -> Option<&str> {
        self.path()?.rsplit('/').next()
    }
}

/// The mappings of a process, by `/proc/PID/maps`.
pub(crate) fn mappings(pid: i32) -> io::Result<Vec<Mapping>> {
    let text = fs::read(format!("/proc/{pid}/maps"))?;
    Ok(parse_maps(&String::from_utf8_lossy(&text)))
}

/// Parses lines such as `7f00-7f10 r-xp 00001000 08:01 1234   /usr/lib/libc.so.6`.
fn parse_maps(text: &str) -> Vec<Mapping> {
    let mappings = text.lines().filter_map(|line| {
        let mut words = line.splitn(6, ' ');
        let (start, _) = words.next()?.split_once('-')?;
        let offset = words.nth(1)?;
        let name = words.nth(2).unwrap_or_default().trim_start().to_owned();
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Mapping { start: number(start)?, offset: number(offset)?, name })
    });
    mappings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_parsed_with_blanks_in_paths_and_without_paths() {
        let mappings = parse_maps(
            "00400000-00401000 r--p 00000000 08:01 11                         /usr/bin/my python3.14\n\
             00401000-00402000 r-xp 00001000 08:01 11                         /usr/bin/my python3.14\n\
             7f0000000000-7f0000001000 rw-s 00000000 00:17 4                  /dev/shm/pyrec-x/session (deleted)\n\
             7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 \n\
             7ffd10000000-7ffd10001000 rw-p 00000000 00:00 0                  [stack]\n",
        );
        let parsed: Vec<_> = mappings.iter().map(|m| (m.start, m.offset, m.path(), m.file_name())).collect();
        let python = Some("/usr/bin/my python3.14");
        let expected = [
            (0x400000, 0, python, Some("my python3.14")),
            (0x401000, 0x1000, python, Some("my python3.14")),
            (0x7f0000000000, 0, Some("/dev/shm/pyrec-x/session"), Some("session")),
            (0x7ffd00000000, 0, None, None),
            (0x7ffd10000000, 0, None, None),
        ];
        assert_eq!(parsed, expected);
    }

    #[test]
    fn ids_of_this_process_agree_with_the_system_calls() {
        let own = std::process::id() as i32;
        assert_eq!(effective_uid(own), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(effective_gid(own), Some(rustix::process::getegid().as_raw()));
        assert!(pid_namespace_depth(own).is_some_and(|depth| depth >= 1));
        assert!(exists(own) && all_pids().contains(&own));
    }
}
