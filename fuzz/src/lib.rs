//! The targets, and a heap that knows its bound.

pub mod heap;
pub mod targets;

/// What a target may take in memory, whatever its bytes say: `docs/reference/format.md` has the bounds.
const MOST_BYTES: usize = 512 << 20;

/// Runs a target, and ends the process if it took more than it may.
pub fn run(target: targets::Target, bytes: &[u8]) {
    heap::measure(MOST_BYTES, || target(bytes));
}
