//! The fuzz targets, and an allocator with a limit.

pub mod heap;
pub mod targets;

/// The maximum memory of a target, whatever its input claims. `docs/design/trust.md` lists the
/// limits.
const MAX_BYTES: usize = 512 << 20;

/// Runs a target. Ends the process if it exceeds the memory limit.
pub fn run(target: targets::Target, bytes: &[u8]) {
    heap::with_limit(MAX_BYTES, || target(bytes));
}
