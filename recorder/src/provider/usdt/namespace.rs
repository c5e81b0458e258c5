//! The pid namespace that we are in.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The number that the kernel gives to the namespace it starts with.
const FIRST: u64 = 0xeffffffc;

/// A namespace, as the kernel tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The device, as the kernel packs its numbers, which is not how programs are told them.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// Ours, where that is not the first one, in which everybody has the number that the kernel has for them.
pub fn nested() -> Option<Namespace> {
    let it = fs::metadata("/proc/self/ns/pid").ok()?;
    let device = u64::from(libc::major(it.dev())) << 20 | u64::from(libc::minor(it.dev()));
    (it.ino() != FIRST).then_some(Namespace { device, inode: it.ino() })
}
