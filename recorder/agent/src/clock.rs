//! The session's clock.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyrec_wire::ClockSource;

static TSC: AtomicBool = AtomicBool::new(false);

/// Chooses the clock that the session asks for.
pub fn choose(clock: u32) {
    TSC.store(clock == ClockSource::Tsc as u32, Relaxed);
}

/// The time, in the session's ticks.
#[inline(always)]
pub fn ticks() -> u64 {
    if TSC.load(Relaxed) {
        // SAFETY: the recorder asks for it where the processor has it.
        unsafe { core::arch::x86_64::_rdtsc() }
    } else {
        monotonic_ns()
    }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is on the stack.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
