//! The stretch of time that is measured.

/// The stretch of time that is measured, `CLOCK_MONOTONIC` nanoseconds. What happens outside it still moves the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first instant.
    pub from_ns: i64,
    /// The first instant after it.
    pub to_ns: i64,
}

impl Window {
    /// All of time.
    pub const ALL: Window = Window { from_ns: i64::MIN, to_ns: i64::MAX };

    /// Whether an instant is in it.
    #[inline]
    pub fn contains(&self, time_ns: i64) -> bool {
        self.from_ns <= time_ns && !self.is_over(time_ns)
    }

    /// Whether it has ended by that instant. A window without an end has the last instant of all in it, too.
    #[inline]
    pub fn is_over(&self, time_ns: i64) -> bool {
        time_ns >= self.to_ns && self.to_ns < i64::MAX
    }

    /// How much of the time between two instants is in it.
    #[inline]
    pub fn overlap_ns(&self, from_ns: i64, to_ns: i64) -> u64 {
        let (from_ns, to_ns) = (from_ns.max(self.from_ns), to_ns.min(self.to_ns));
        if to_ns > from_ns { to_ns.abs_diff(from_ns) } else { 0 }
    }
}
