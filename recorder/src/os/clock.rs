//! Readings of the system's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` now, in nanoseconds.
pub(crate) fn monotonic_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The same instant on `CLOCK_MONOTONIC` and in Unix time, both in nanoseconds.
pub(crate) fn wall_anchor() -> (i64, i64) {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (monotonic_ns(), i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX))
}
