//! The pid namespace of the recorder.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The inode of the initial pid namespace.
const INITIAL_NAMESPACE_INODE: u64 = 0xeffffffc;

/// The identity of a pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// The device in the kernel's encoding, which differs from that of `stat`.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// The namespace of the recorder; `None` for the initial one, whose pids are those of the kernel.
pub fn current_if_nested() -> Option<PidNamespace> {
    let it = fs::metadata("/proc/self/ns/pid").ok()?;
    let device = u64::from(libc::major(it.dev())) << 20 | u64::from(libc::minor(it.dev()));
    (it.ino() != INITIAL_NAMESPACE_INODE).then_some(PidNamespace { device, inode: it.ino() })
}
