//! Ticks to `CLOCK_MONOTONIC`.
//!
//! Reading the processor's counter costs a third of reading the clock, so the agent does that where the kernel itself
//! trusts the counter, and the recorder turns ticks into nanoseconds. It reads both clocks at every drain and draws a
//! straight line from each such anchor to the next:
//!
//! ```text
//! ns ▲              ╱ anchor 3
//!    │       ╱─────╱
//!    │   ╱──╱ anchor 2      The line never falls, so time rises within a thread,
//!    │  ╱ anchor 1          whatever the clock's rate is adjusted to (adjtimex(2)).
//!    └──────────────────▶ ticks
//! ```

use std::collections::VecDeque;

use pyrec_wire::ClockSource;

use crate::os::clock::monotonic_ns;

/// Anchors kept: a record is converted in the drain after it was made, or a few later.
const ANCHORS: usize = 64;

/// The cheapest clock that is right on this machine: the time stamp counter where the kernel keeps time by it,
/// which it does only if it is invariant and in step on all processors.
pub(crate) fn best_source() -> ClockSource {
    let kernel_source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    match std::fs::read_to_string(kernel_source) {
        Ok(source) if cfg!(target_arch = "x86_64") && source.trim() == "tsc" => ClockSource::Tsc,
        _ => ClockSource::Monotonic,
    }
}

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    ticks: u64,
    ns: i64,
}

/// Converts the ticks of one recording.
#[derive(Debug)]
pub(crate) struct Clock {
    source: ClockSource,
    /// At least one, rising in both clocks.
    anchors: VecDeque<Anchor>,
}

impl Clock {
    /// A clock that can convert ticks from now on.
    pub fn new(source: ClockSource) -> Self {
        let mut clock = Clock { source, anchors: VecDeque::with_capacity(ANCHORS + 1) };
        clock.anchors.push_back(clock.read());
        clock
    }

    /// A clock that can convert ticks since a reading that somebody else has taken.
    pub fn since(source: ClockSource, (ticks, ns): (u64, i64)) -> Self {
        let mut clock = Clock { source, anchors: VecDeque::from([Anchor { ticks, ns }]) };
        clock.anchor();
        clock
    }

    /// The last reading of both clocks: ticks and nanoseconds.
    pub fn reading(&self) -> (u64, i64) {
        let Anchor { ticks, ns } = self.last();
        (ticks, ns)
    }

    /// Its name in the manifest.
    pub fn name(&self) -> &'static str {
        match self.source {
            ClockSource::Tsc => "tsc",
            ClockSource::Monotonic => "monotonic",
        }
    }

    /// Takes an anchor. To be called after the heads of the rings are read and before their records are converted:
    /// then each record lies between two anchors.
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
        while self.anchors.len() > ANCHORS {
            self.anchors.pop_front();
        }
    }

    fn last(&self) -> Anchor {
        *self.anchors.back().unwrap_or(&Anchor { ticks: 0, ns: 0 })
    }

    /// Nanoseconds of these ticks, by the two anchors around them, or the two nearest ones.
    pub fn to_ns(&self, ticks: u64) -> i64 {
        match self.source {
            ClockSource::Monotonic => ticks as i64,
            ClockSource::Tsc => self.segment(ticks).to_ns(ticks),
        }
    }

    /// The line on which these ticks lie, and others near them.
    fn segment(&self, ticks: u64) -> Segment {
        let after = self.anchors.partition_point(|anchor| anchor.ticks <= ticks);
        let last = self.anchors.len().saturating_sub(1);
        let to = after.clamp(1.min(last), last);
        Segment::between(self.anchors[to.saturating_sub(1)], self.anchors[to])
    }

    /// A converter that remembers the line of the last ticks: nearly all of the next ones lie on it too.
    pub fn converter(&self) -> Converter<'_> {
        let last = self.last();
        Converter { clock: self, segment: self.segment(last.ticks) }
    }

    /// Both clocks at once, or nearly: of five tries the one that took the shortest.
    fn read(&self) -> Anchor {
        match self.source {
            ClockSource::Monotonic => Anchor { ticks: 0, ns: 0 },
            ClockSource::Tsc => (0..5)
                .map(|_| {
                    let before = ticks();
                    let ns = monotonic_ns();
                    let took = ticks().saturating_sub(before);
                    (took, Anchor { ticks: before + took / 2, ns })
                })
                .min_by_key(|&(took, _)| took)
                .map_or(Anchor { ticks: 0, ns: 0 }, |(_, anchor)| anchor),
        }
    }
}

/// A line from one anchor to the next.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: Anchor,
    to_ticks: u64,
    ns_per_tick: f64,
}

impl Segment {
    /// The line between two anchors; flat where they are one.
    fn between(from: Anchor, to: Anchor) -> Segment {
        let run = to.ticks - from.ticks;
        let ns_per_tick = if run == 0 { 0.0 } else { (to.ns - from.ns) as f64 / run as f64 };
        Segment { from, to_ticks: to.ticks, ns_per_tick }
    }

    fn holds(&self, ticks: u64) -> bool {
        self.from.ticks <= ticks && ticks < self.to_ticks
    }

    /// Cuts the fraction off, so that no point of the line lies above its end. (`floor` would be a call: the processors
    /// that this is built for need not have an instruction for it.)
    fn to_ns(self, ticks: u64) -> i64 {
        let along = ticks.wrapping_sub(self.from.ticks) as i64;
        self.from.ns.saturating_add((along as f64 * self.ns_per_tick) as i64)
    }
}

/// Converts many ticks in a row.
#[derive(Debug)]
pub(crate) struct Converter<'a> {
    clock: &'a Clock,
    segment: Segment,
}

impl Converter<'_> {
    /// As [`Clock::to_ns`].
    #[inline]
    pub fn convert(&mut self, ticks: u64) -> i64 {
        if self.clock.source == ClockSource::Monotonic {
            return ticks as i64;
        }
        if !self.segment.holds(ticks) {
            self.segment = self.clock.segment(ticks);
        }
        self.segment.to_ns(ticks)
    }
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; a kernel that forbids it (PR_SET_TSC) does so per process,
    // and nobody asked it to for this one.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    unreachable!("only x86-64 is given ClockSource::Tsc")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(anchors: &[(u64, i64)]) -> Clock {
        let anchors = anchors.iter().map(|&(ticks, ns)| Anchor { ticks, ns }).collect();
        Clock { source: ClockSource::Tsc, anchors }
    }

    #[test]
    fn ticks_lie_on_the_line_between_their_anchors() {
        let clock = clock(&[(100, 1000), (200, 1200), (400, 1300)]);
        let cases = [(100, 1000), (150, 1100), (200, 1200), (300, 1250), (400, 1300), (500, 1350), (50, 900)];
        for (ticks, ns) in cases {
            assert_eq!(clock.to_ns(ticks), ns, "{ticks} ticks");
            assert_eq!(clock.converter().convert(ticks), ns, "{ticks} ticks, converted");
        }
    }

    #[test]
    fn one_anchor_is_an_instant() {
        assert_eq!(clock(&[(100, 1000)]).to_ns(70), 1000);
    }

    #[test]
    fn time_never_falls_and_the_oldest_anchors_go() {
        let mut clock = clock(&[(0, 0)]);
        // The clock's rate changes from anchor to anchor, and two readings are out of order.
        (1..200u64).for_each(|n| clock.add(Anchor { ticks: n * 1000, ns: (n * 900 + n % 7 * 40) as i64 }));
        clock.add(Anchor { ticks: 150_000, ns: 1 });
        assert_eq!(clock.anchors.len(), ANCHORS);
        let mut converter = clock.converter();
        let times: Vec<i64> = (0..210_000).step_by(13).map(|ticks| converter.convert(ticks)).collect();
        assert!(times.is_sorted());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn agrees_with_the_clock_itself() {
        let mut clock = Clock::new(ClockSource::Tsc);
        std::thread::sleep(std::time::Duration::from_millis(2));
        let (before, now, after) = (monotonic_ns(), ticks(), monotonic_ns());
        clock.anchor();
        let error_ns = 2_000;
        let ns = clock.to_ns(now);
        assert!((before - error_ns..=after + error_ns).contains(&ns), "{before} ≤ {ns} ≤ {after}");
    }
}
