//! Conversion of the ticks in records into nanoseconds of `CLOCK_MONOTONIC`.
//!
//! Reading the time stamp counter takes a third of the time of reading the clock. So the agent
//! reads the counter, where the kernel trusts it, and the recorder converts. It reads both clocks
//! in every drain, and interpolates linearly between these anchors:
//!
//! ```text
//! ns ▲              ╱ anchor 3
//!    │       ╱─────╱
//!    │   ╱──╱ anchor 2      The function is monotonic: within a thread time never decreases,
//!    │  ╱ anchor 1          however the rate of the clock is adjusted (adjtimex(2)).
//!    └──────────────────▶ ticks
//! ```

use std::collections::VecDeque;

use pyrec_wire::ClockSource;

use crate::os::clock::monotonic_ns;

/// Anchors that are kept. A record is converted in the drain after it was written, or a few later.
const MAX_ANCHORS: usize = 64;

/// How often both clocks are read for an anchor. The reading that took the shortest time is used.
const READINGS: usize = 5;

/// The cheapest clock that is correct on this machine: the time stamp counter if the kernel uses
/// it. The kernel does so only if its rate is constant and all processors have the same value.
pub(crate) fn best_source() -> ClockSource {
    let kernel_source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    match std::fs::read_to_string(kernel_source) {
        Ok(source) if cfg!(target_arch = "x86_64") && source.trim() == "tsc" => ClockSource::Tsc,
        _ => ClockSource::Monotonic,
    }
}

/// A reading of both clocks at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    ticks: u64,
    ns: i64,
}

/// Converts the ticks of a recording.
#[derive(Debug)]
pub(crate) struct TickClock {
    source: ClockSource,
    /// Ascending in both clocks; never empty.
    anchors: VecDeque<Anchor>,
}

impl TickClock {
    /// A clock that converts ticks from now on.
    pub fn new(source: ClockSource) -> Self {
        let mut clock = TickClock { source, anchors: VecDeque::with_capacity(MAX_ANCHORS + 1) };
        clock.anchors.push_back(clock.read());
        clock
    }

    /// A clock that converts ticks since a reading of another process: ticks and nanoseconds.
    pub fn since(source: ClockSource, (ticks, ns): (u64, i64)) -> Self {
        let mut clock = TickClock { source, anchors: VecDeque::from([Anchor { ticks, ns }]) };
        clock.anchor();
        clock
    }

    /// The last reading of both clocks: ticks and nanoseconds.
    pub fn last_reading(&self) -> (u64, i64) {
        let Anchor { ticks, ns } = self.last();
        (ticks, ns)
    }

    /// The name of the clock in the manifest.
    pub fn name(&self) -> &'static str {
        match self.source {
            ClockSource::Tsc => "tsc",
            ClockSource::Monotonic => "monotonic",
        }
    }

    /// Adds an anchor. To be called after the heads of the rings are read, and before the records
    /// are converted: then every record is between two anchors.
    pub fn anchor(&mut self) {
        if self.source == ClockSource::Tsc {
            let anchor = self.read();
            self.add(anchor);
        }
    }

    fn add(&mut self, anchor: Anchor) {
        let last = self.last();
        if anchor.ticks > last.ticks && anchor.ns > last.ns {
            self.anchors.push_back(anchor);
        }
        while self.anchors.len() > MAX_ANCHORS {
            self.anchors.pop_front();
        }
    }

    fn last(&self) -> Anchor {
        *self.anchors.back().unwrap_or(&Anchor { ticks: 0, ns: 0 })
    }

    /// Converts ticks to nanoseconds, by the anchors around them or else the nearest two.
    pub fn to_ns(&self, ticks: u64) -> i64 {
        match self.source {
            ClockSource::Monotonic => ticks as i64,
            ClockSource::Tsc => self.segment(ticks).to_ns(ticks),
        }
    }

    /// The segment for these ticks.
    fn segment(&self, ticks: u64) -> Segment {
        let after = self.anchors.partition_point(|anchor| anchor.ticks <= ticks);
        let last = self.anchors.len().saturating_sub(1);
        let to = after.clamp(1.min(last), last);
        Segment::between(self.anchors[to.saturating_sub(1)], self.anchors[to])
    }

    /// A converter for many ticks in a row.
    pub fn converter(&self) -> TickConverter<'_> {
        let last = self.last();
        TickConverter { clock: self, segment: self.segment(last.ticks) }
    }

    fn read(&self) -> Anchor {
        match self.source {
            ClockSource::Monotonic => Anchor { ticks: 0, ns: 0 },
            ClockSource::Tsc => (0..READINGS)
                .map(|_| {
                    let before = ticks();
                    let ns = monotonic_ns();
                    let duration = ticks().saturating_sub(before);
                    (duration, Anchor { ticks: before + duration / 2, ns })
                })
                .min_by_key(|&(duration, _)| duration)
                .map_or(Anchor { ticks: 0, ns: 0 }, |(_, anchor)| anchor),
        }
    }
}

/// The line from an anchor to the next one.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: Anchor,
    to_ticks: u64,
    ns_per_tick: f64,
}

impl Segment {
    /// The line between two anchors; constant if both are the same.
    fn between(from: Anchor, to: Anchor) -> Segment {
        let run = to.ticks - from.ticks;
        let ns_per_tick = if run == 0 { 0.0 } else { (to.ns - from.ns) as f64 / run as f64 };
        Segment { from, to_ticks: to.ticks, ns_per_tick }
    }

    fn contains(&self, ticks: u64) -> bool {
        self.from.ticks <= ticks && ticks < self.to_ticks
    }

    /// Truncates, so that no point of the line is above its end. (`floor` would be a function call:
    /// the baseline processor has no instruction for it.)
    fn to_ns(self, ticks: u64) -> i64 {
        let run = ticks.wrapping_sub(self.from.ticks) as i64;
        self.from.ns.saturating_add((run as f64 * self.ns_per_tick) as i64)
    }
}

/// Converts many ticks in a row. It keeps the last segment, which nearly always fits the next
/// ticks.
#[derive(Debug)]
pub(crate) struct TickConverter<'a> {
    clock: &'a TickClock,
    segment: Segment,
}

impl TickConverter<'_> {
    /// Converts as [`TickClock::to_ns`] does.
    #[inline]
    pub fn convert(&mut self, ticks: u64) -> i64 {
        if self.clock.source == ClockSource::Monotonic {
            return ticks as i64;
        }
        if !self.segment.contains(ticks) {
            self.segment = self.clock.segment(ticks);
        }
        self.segment.to_ns(ticks)
    }
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction. It traps only if the process has disabled
    // it with prctl(PR_SET_TSC), which this one does not.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    unreachable!("ClockSource::Tsc is used on x86-64 only")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(anchors: &[(u64, i64)]) -> TickClock {
        let anchors = anchors.iter().map(|&(ticks, ns)| Anchor { ticks, ns }).collect();
        TickClock { source: ClockSource::Tsc, anchors }
    }

    #[test]
    fn ticks_are_interpolated_between_anchors_and_extrapolated_outside() {
        let clock = clock(&[(100, 1000), (200, 1200), (400, 1300)]);
        let cases = [(100, 1000), (150, 1100), (200, 1200), (300, 1250), (400, 1300), (500, 1350), (50, 900)];
        for (ticks, ns) in cases {
            assert_eq!(clock.to_ns(ticks), ns, "{ticks} ticks");
            assert_eq!(clock.converter().convert(ticks), ns, "{ticks} ticks, converted");
        }
    }

    #[test]
    fn a_single_anchor_is_the_time_of_all_ticks() {
        assert_eq!(clock(&[(100, 1000)]).to_ns(70), 1000);
    }

    #[test]
    fn time_never_decreases_and_old_anchors_are_dropped() {
        let mut clock = clock(&[(0, 0)]);
        // The rate of the clock changes from anchor to anchor, and one reading is out of order.
        (1..200u64).for_each(|n| clock.add(Anchor { ticks: n * 1000, ns: (n * 900 + n % 7 * 40) as i64 }));
        clock.add(Anchor { ticks: 150_000, ns: 1 });
        assert_eq!(clock.anchors.len(), MAX_ANCHORS);
        let mut converter = clock.converter();
        let times: Vec<i64> = (0..210_000).step_by(13).map(|ticks| converter.convert(ticks)).collect();
        assert!(times.is_sorted());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn converted_ticks_agree_with_the_clock() {
        let mut clock = TickClock::new(ClockSource::Tsc);
        std::thread::sleep(std::time::Duration::from_millis(2));
        let (before, now, after) = (monotonic_ns(), ticks(), monotonic_ns());
        clock.anchor();
        let error_ns = 2_000;
        let ns = clock.to_ns(now);
        assert!((before - error_ns..=after + error_ns).contains(&ns), "{before} ≤ {ns} ≤ {after}");
    }
}
