//! The clock of the session, and `CLOCK_MONOTONIC`.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyrec_wire::ClockSource;

/// Whether ticks are those of the processor's time stamp counter.
static USES_TSC: AtomicBool = AtomicBool::new(false);

/// Sets the clock source, a [`ClockSource`] as the session file holds it.
pub fn set_source(clock: u32) {
    USES_TSC.store(clock == ClockSource::Tsc as u32, Relaxed);
}

/// The current time, in ticks of the session's clock.
#[inline(always)]
pub fn ticks() -> u64 {
    if USES_TSC.load(Relaxed) {
        // SAFETY: the recorder chooses this clock only where the processor has the instruction.
        unsafe { core::arch::x86_64::_rdtsc() }
    } else {
        monotonic_ns()
    }
}

/// The current time of `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives until the call returns.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
