//! The pid namespace that we are in.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The number that the kernel gives to the namespace it starts with.
const INITIAL_NAMESPACE_INODE: u64 = 0xeffffffc;

/// A namespace, as the kernel tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// The device, as the kernel packs its numbers, which is not how programs are told them.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// Ours, where that is not the first one, in which everybody has the number that the kernel has for them.
pub fn current_if_nested() -> Option<PidNamespace> {
    let it = fs::metadata("/proc/self/ns/pid").ok()?;
    let device = u64::from(libc::major(it.dev())) << 20 | u64::from(libc::minor(it.dev()));
    (it.ino() != INITIAL_NAMESPACE_INODE).then_some(PidNamespace { device, inode: it.ino() })
}
