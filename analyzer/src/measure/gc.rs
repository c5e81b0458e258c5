//! Pauses of the garbage collector, by generation and by interrupted line.

use pyrec_schema::{Columns, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::frame_names::FrameNames;
use super::source_location::{ExecutingLines, FrameLocation, SourceLocation};
use super::{Log2Histogram, Trust};
use crate::calls::{self, Call, CallEnd, CallEvent, Callers};
use crate::order;
use crate::tree::{self, Frame};
use crate::{Filter, Result};

/// Pauses of the garbage collector.
#[derive(Clone, Debug, PartialEq)]
pub struct GcPauses {
    /// The generations, the youngest first.
    pub generations: Vec<GcGeneration>,
    /// The interrupted locations, by descending time.
    pub interrupted: Vec<InterruptedLocation>,
    /// Time in pauses with a known duration.
    pub total_ns: u64,
    /// The time from the first event to the last within the time window.
    pub run_ns: u64,
    /// The trust of the recording.
    pub trust: Trust,
}

/// The pauses of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcGeneration {
    /// The generation; none where it was not recorded.
    pub generation: Option<i64>,
    /// The number of pauses.
    pub pauses: u64,
    /// The durations of the pauses with a recorded end.
    pub lengths: Log2Histogram,
    /// Objects that were collected or found to be uncollectable.
    pub found: u64,
}

/// A location that was interrupted by pauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterruptedLocation {
    /// The location; none where no call was open.
    pub place: Option<SourceLocation>,
    /// The number of pauses.
    pub pauses: u64,
    /// Time in pauses.
    pub total_ns: u64,
    /// The longest pause.
    pub max_ns: u64,
}

/// Sums while a trace is read.
#[derive(Default)]
struct PauseCollector {
    lines: ExecutingLines,
    /// The interrupted location of each open pause, by its call id.
    open: FxHashMap<u64, Option<FrameLocation>>,
    generations: FxHashMap<Option<i64>, GcGeneration>,
    interrupted: FxHashMap<Option<FrameLocation>, InterruptedLocation>,
}

impl GcPauses {
    /// Reads the pauses that the filter selects. A pause in a function that the filter hides counts
    /// for its caller.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<GcPauses> {
        let mut collector = PauseCollector::default();
        let columns = Columns { line: true, value: true, text: true };
        let summary = calls::read(trace, filter, columns, &mut |event, callers| {
            collector.visit(event, callers);
            Ok(())
        })?;
        let window = order::time_window(trace, filter)?;
        let mut generations: Vec<GcGeneration> = collector.generations.into_values().collect();
        generations.sort_by_key(|generation| generation.generation);
        let frame_names = FrameNames::new(trace.names(), trace.manifest());
        let named =
            |(location, interrupted): (Option<FrameLocation>, InterruptedLocation)| InterruptedLocation {
                place: location.map(|location| SourceLocation::of(location, &frame_names)),
                ..interrupted
            };
        let mut interrupted: Vec<InterruptedLocation> =
            collector.interrupted.into_iter().map(named).collect();
        interrupted.sort_by(|a, b| {
            let label = |interrupted: &InterruptedLocation| {
                interrupted.place.as_ref().map(|place| place.label.clone())
            };
            b.total_ns.cmp(&a.total_ns).then_with(|| label(a).cmp(&label(b)))
        });
        Ok(GcPauses {
            total_ns: tree::saturating_sum(generations.iter().map(|generation| generation.lengths.total())),
            run_ns: window.overlap_ns(summary.counts.first_ns, summary.counts.last_ns),
            generations,
            interrupted,
            trust: Trust::of_summary(trace.manifest(), &summary),
        })
    }
}

impl PauseCollector {
    fn visit(&mut self, event: CallEvent, callers: Callers) {
        self.lines.update(event, callers);
        match event {
            CallEvent::Enter(call) if call.frame == Frame::Gc => {
                let location = callers.innermost().map(|caller| self.lines.location(caller));
                self.open.insert(call.id, location);
            }
            CallEvent::Leave(call, end) if call.frame == Frame::Gc && call.counts => self.add(call, &end),
            _ => {}
        }
    }

    fn add(&mut self, call: &Call, end: &CallEnd) {
        let generation = self.generations.entry(call.entry.value).or_default();
        generation.generation = call.entry.value;
        generation.pauses += 1;
        let found = end.event.and_then(|event| event.value).and_then(|found| u64::try_from(found).ok());
        generation.found = generation.found.saturating_add(found.unwrap_or(0));
        let location = self.open.remove(&call.id).flatten();
        let empty = || InterruptedLocation { place: None, pauses: 0, total_ns: 0, max_ns: 0 };
        let interrupted = self.interrupted.entry(location).or_insert_with(empty);
        interrupted.pauses += 1;
        if let Some(duration_ns) = end.duration_ns {
            generation.lengths.add(duration_ns);
            interrupted.total_ns = interrupted.total_ns.saturating_add(duration_ns);
            interrupted.max_ns = interrupted.max_ns.max(duration_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Pauses of small traces, with numbers that can be added up by hand.

    use super::*;
    use crate::testing;

    /// ```text
    /// 0    100    164 200   300    301 400  500    1524 2000   2100
    /// ├─a──┼─gc 0─┼─a─┼──b──┼─gc 0─┼─b─┼─a──┼─gc 2─┼──a──┤     ├─gc 1 ┄
    /// ```
    const SCRIPT: &str = "
        0     7/7  function__entry   /srv/run.py:1:a  1
        50    7/7  line              /srv/run.py:1:a  3
        100   7/7  gc__start         -                0  0
        164   7/7  gc__done          -                0  5
        200   7/7  function__entry   /srv/run.py:9:b  9
        300   7/7  gc__start         -                0  0
        301   7/7  gc__done          -                0  2
        400   7/7  function__return  /srv/run.py:9:b  9
        500   7/7  gc__start         -                0  2
        1524  7/7  gc__done          -                0  0
        2000  7/7  function__return  /srv/run.py:1:a  4
        2100  7/7  gc__start         -                0  1
    ";

    fn gc(filter: &Filter) -> GcPauses {
        let (trace, _directory) = testing::trace(SCRIPT, 4);
        GcPauses::read(&trace, filter).expect("the trace is valid")
    }

    fn interrupted(gc: &GcPauses) -> Vec<(Option<&str>, u64, u64, u64)> {
        gc.interrupted
            .iter()
            .map(|interrupted| {
                let label = interrupted.place.as_ref().map(|place| place.label.as_str());
                (label, interrupted.pauses, interrupted.total_ns, interrupted.max_ns)
            })
            .collect()
    }

    #[test]
    fn pauses_count_for_a_generation_and_a_line() {
        let gc = gc(&Filter::default());
        let generations: Vec<_> = gc
            .generations
            .iter()
            .map(|generation| {
                (generation.generation, generation.pauses, generation.lengths.total(), generation.found)
            })
            .collect();
        // The last pause has no end.
        assert_eq!(generations, [(Some(0), 2, 65, 7), (Some(1), 1, 0, 0), (Some(2), 1, 1024, 0)]);
        assert_eq!(
            interrupted(&gc),
            [
                (Some("a (__main__:1), line 3"), 2, 1088, 1024),
                (Some("b (__main__:9)"), 1, 1, 1),
                (None, 1, 0, 0)
            ]
        );
        assert_eq!((gc.total_ns, gc.run_ns), (1089, 2100));
    }

    #[test]
    fn a_pause_in_a_hidden_function_counts_for_its_caller() {
        let without_b =
            gc(&Filter { exclude: vec!["b".parse().expect("the pattern is valid")], ..Filter::default() });
        assert_eq!(interrupted(&without_b)[0], (Some("a (__main__:1), line 3"), 3, 1089, 1024));
        let in_b =
            gc(&Filter { root: Some("b".parse().expect("the pattern is valid")), ..Filter::default() });
        assert_eq!(interrupted(&in_b), [(Some("b (__main__:9)"), 1, 1, 1)]);
        let long = gc(&Filter { min_time: std::time::Duration::from_nanos(64), ..Filter::default() });
        assert_eq!(long.generations.iter().map(|generation| generation.pauses).sum::<u64>(), 2);
    }

    #[test]
    fn pauses_outside_the_time_window_are_left_out() {
        let gc = gc(&Filter {
            time: Some("150ns-450ns".parse().expect("the range is valid")),
            ..Filter::default()
        });
        assert_eq!((gc.total_ns, gc.run_ns, gc.generations.len()), (1, 300, 1));
    }
}
