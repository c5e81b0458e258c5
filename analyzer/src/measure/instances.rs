//! Instance creations by class and line, and finalizers.
//!
//! A creation is a call of a class, from its `instance__new__start` row to its
//! `instance__new__done` row.

use std::cmp::Reverse;

use pyrec_schema::{Code, CodeId, Columns, Event, Marker, Names, TextId, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::Trust;
use super::frame_names::FrameNames;
use super::source_location::{ExecutingLines, FrameLocation, MAX_CALLERS, SourceLocation};
use crate::calls::{self, Call, CallEnd, CallEvent, Callers, Ending};
use crate::filter::Pattern;
use crate::order::ThreadId;
use crate::tree::{Frame, FrameFilter};
use crate::{Filter, Result};

/// Instance creations by class, and finalizers.
#[derive(Clone, Debug, PartialEq)]
pub struct Instances {
    /// The classes, by descending number of instances.
    pub classes: Vec<ClassInstances>,
    /// The finalizers, by descending number of calls.
    pub finalizers: Vec<Finalizer>,
    /// The number of creations in the whole recording, before any filter.
    pub recorded: u64,
    /// Whether function calls were recorded, which finalizers are found by.
    pub has_functions: bool,
    /// The trust of the recording.
    pub trust: Trust,
}

/// The creations of instances of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassInstances {
    /// The module and qualified name of the class.
    pub class: String,
    /// Numbers and times.
    #[serde(flatten)]
    pub creations: Creations,
    /// The creating lines, by descending number of instances.
    pub lines: Vec<CreatingLine>,
}

/// The creations of instances of one class on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreatingLine {
    /// The function and its line; none where the filter selects no open call.
    pub place: Option<SourceLocation>,
    /// Numbers and times.
    #[serde(flatten)]
    pub creations: Creations,
}

/// Numbers and times of creations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Creations {
    /// Creations that returned an object.
    pub created: u64,
    /// Creations that raised an exception.
    pub failed: u64,
    /// Creations without a recorded end.
    pub unfinished: u64,
    /// Time from start to end. A creation inside another one of the same class is counted once.
    pub total_ns: u64,
    /// The mean duration of the creations that have a known one.
    pub mean_ns: Option<u64>,
    /// Their longest duration.
    pub max_ns: Option<u64>,
}

/// A `__del__` method that was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finalizer {
    /// The function.
    pub place: SourceLocation,
    /// The number of calls.
    pub calls: u64,
    /// Time in the calls that have a known duration.
    pub total_ns: u64,
    /// Their mean duration.
    pub mean_ns: Option<u64>,
    /// Their longest duration.
    pub max_ns: Option<u64>,
}

/// Sums of a class, or of a class and a line.
#[derive(Clone, Copy, Debug, Default)]
struct CreationSums {
    created: u64,
    failed: u64,
    started: u64,
    ended: u64,
    total_ns: u64,
    durations: DurationStats,
}

/// Mean and maximum of durations.
#[derive(Clone, Copy, Debug, Default)]
struct DurationStats {
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

/// A class, on one line or on all lines.
type CreationKey = (TextId, Option<FrameLocation>);

/// Sums while a trace is read.
struct InstanceCollector<'a> {
    names: &'a Names,
    frames: FrameFilter<'a>,
    patterns: &'a [Pattern],
    /// Whether the patterns match a class.
    matches: FxHashMap<TextId, bool>,
    lines: ExecutingLines,
    by_class: FxHashMap<TextId, CreationSums>,
    by_line: FxHashMap<(TextId, FrameLocation), CreationSums>,
    /// The number of calls and the durations of each finalizer.
    finalizers: FxHashMap<CodeId, (u64, DurationStats)>,
    /// Whether a function is a finalizer.
    is_finalizer: FxHashMap<CodeId, bool>,
    threads: FxHashMap<ThreadId, OpenCreations>,
}

/// The open creations of a thread.
#[derive(Debug, Default)]
struct OpenCreations {
    open: Vec<OpenCreation>,
    /// The number of open creations of each class, and of each class and line.
    depths: FxHashMap<CreationKey, u32>,
    /// The number of losses so far.
    losses: u32,
}

/// A creation that has started.
#[derive(Clone, Copy, Debug)]
struct OpenCreation {
    class: TextId,
    location: FrameLocation,
    /// Code object and line in the start row. The done row has the same ones.
    site: (CodeId, i32),
    start_ns: i64,
    /// The number of losses in the thread before the start.
    losses: u32,
}

/// The location of creations outside any call that the filter selects.
const NO_LOCATION: FrameLocation = FrameLocation { frame: Frame::Lost, line: 0 };

impl Instances {
    /// Reads the creations of classes that match any of the patterns, or of all classes without a
    /// pattern.
    pub fn read(trace: &Trace, filter: &Filter, patterns: &[Pattern]) -> Result<Instances> {
        let names = trace.names();
        let mut collector = InstanceCollector::new(names, filter, patterns);
        // The minimum time applies to classes and finalizers, not to the calls around creations.
        let calls_filter = filter.without_min_time();
        let columns = Columns { line: true, value: true, text: true };
        let summary = calls::read(trace, &calls_filter, columns, &mut |event, callers| {
            collector.visit(event, callers);
            Ok(())
        })?;
        let frame_names = FrameNames::new(names, trace.manifest());
        let min_time_ns = filter.min_time_ns();
        Ok(Instances {
            finalizers: collector.finalizers(&frame_names, min_time_ns),
            classes: collector.classes(&frame_names, min_time_ns),
            recorded: summary.counts.of(Marker::InstanceStart),
            has_functions: summary.counts.of(Marker::FunctionEntry) > 0,
            trust: Trust::of_summary(trace.manifest(), &summary),
        })
    }
}

impl<'a> InstanceCollector<'a> {
    fn new(names: &'a Names, filter: &'a Filter, patterns: &'a [Pattern]) -> Self {
        let frames = FrameFilter::new(filter, names);
        let (matches, lines, by_class, by_line) = Default::default();
        let (finalizers, is_finalizer, threads) = Default::default();
        InstanceCollector {
            names,
            frames,
            patterns,
            matches,
            lines,
            by_class,
            by_line,
            finalizers,
            is_finalizer,
            threads,
        }
    }

    fn visit(&mut self, event: CallEvent, callers: Callers) {
        self.lines.update(event, callers);
        match event {
            CallEvent::Instant(event) => self.instant(event, callers),
            CallEvent::Leave(call, end) => self.leave(call, &end),
            _ => {}
        }
    }

    fn instant(&mut self, event: &Event, callers: Callers) {
        let thread = ThreadId::of(event);
        match event.marker {
            Marker::InstanceStart if self.is_wanted(event.text) => self.begin(thread, event, callers),
            Marker::InstanceDone if self.is_wanted(event.text) => self.end(thread, event, callers),
            Marker::Lost => self.threads.entry(thread).or_default().losses += 1,
            // Open creations of a thread that begins or ends have no recorded end.
            Marker::ThreadStart | Marker::ThreadExit | Marker::ProcessStart | Marker::ProcessExit => {
                self.threads.remove(&thread);
            }
            _ => {}
        }
    }

    fn begin(&mut self, thread: ThreadId, event: &Event, callers: Callers) {
        let location = self.location(event, callers);
        let class = event.text;
        self.by_class.entry(class).or_default().started += 1;
        self.by_line.entry((class, location)).or_default().started += 1;
        let creations = self.threads.entry(thread).or_default();
        for key in [(class, None), (class, Some(location))] {
            *creations.depths.entry(key).or_default() += 1;
        }
        let (site, losses) = ((event.code, event.line), creations.losses);
        creations.open.push(OpenCreation { class, location, site, start_ns: event.time_ns, losses });
    }

    fn end(&mut self, thread: ThreadId, event: &Event, callers: Callers) {
        let creations = self.threads.entry(thread).or_default();
        let (class, failed) = (event.text, event.value == Some(0));
        let Some(open) = creations.close(class, (event.code, event.line)) else {
            // The creation started before the recording did.
            let location = self.location(event, callers);
            self.by_class.entry(class).or_default().count(failed);
            self.by_line.entry((class, location)).or_default().count(failed);
            return;
        };
        let is_measured = open.losses == creations.losses;
        let duration_ns = u64::try_from(event.time_ns.saturating_sub(open.start_ns)).unwrap_or(0);
        let is_outermost = |key: CreationKey| !creations.depths.contains_key(&key);
        let outermost = [is_outermost((class, None)), is_outermost((class, Some(open.location)))];
        let sums = [self.by_class.get_mut(&class), self.by_line.get_mut(&(class, open.location))];
        for (sum, is_outermost) in sums.into_iter().zip(outermost) {
            let Some(sum) = sum else { continue };
            sum.count(failed);
            sum.ended += 1;
            if is_measured {
                sum.durations.add(duration_ns);
                sum.total_ns = sum.total_ns.saturating_add(if is_outermost { duration_ns } else { 0 });
            }
        }
    }

    /// Counts the call if it was a finalizer.
    fn leave(&mut self, call: &Call, end: &CallEnd) {
        let Frame::Function(code) = call.frame else { return };
        let names = self.names;
        let is_finalizer = self
            .is_finalizer
            .entry(code)
            .or_insert_with(|| Code::parse(&names.code_str(code)).name() == "__del__");
        if *is_finalizer && call.counts && end.ending != Ending::NeverReturned {
            let (calls, durations) = self.finalizers.entry(code).or_default();
            *calls += 1;
            end.duration_ns.into_iter().for_each(|duration_ns| durations.add(duration_ns));
        }
    }

    fn is_wanted(&mut self, class: TextId) -> bool {
        *self.matches.entry(class).or_insert_with(|| {
            let class = self.names.text_str(class).unwrap_or_default();
            self.patterns.is_empty() || self.patterns.iter().any(|pattern| matches_class(pattern, &class))
        })
    }

    /// The location of a creation. Its row has one even where calls were not recorded.
    fn location(&mut self, event: &Event, callers: Callers) -> FrameLocation {
        if self.frames.select_code(event.code).shown {
            return FrameLocation { frame: Frame::Function(event.code), line: event.line };
        }
        callers.innermost().map_or(NO_LOCATION, |call| self.lines.location(call))
    }

    fn classes(&self, frame_names: &FrameNames, min_time_ns: u64) -> Vec<ClassInstances> {
        let mut lines: FxHashMap<TextId, Vec<CreatingLine>> = FxHashMap::default();
        for (&(class, location), sum) in &self.by_line {
            let place = (location != NO_LOCATION).then(|| SourceLocation::of(location, frame_names));
            lines.entry(class).or_default().push(CreatingLine { place, creations: sum.creations() });
        }
        let classes = self.by_class.iter().filter(|(_, sum)| sum.total_ns >= min_time_ns);
        let mut classes: Vec<ClassInstances> = classes
            .map(|(class, sum)| {
                let mut lines = lines.remove(class).unwrap_or_default();
                lines.sort_by_cached_key(|line| (line.creations.rank(), line.place.as_ref().map(sort_key)));
                let class = self.names.text_str(*class).map_or("?".into(), |name| name.to_string());
                ClassInstances { class, creations: sum.creations(), lines }
            })
            .collect();
        classes.sort_by(|a, b| {
            let by_rank = a.creations.rank().cmp(&b.creations.rank());
            by_rank.then_with(|| a.class.cmp(&b.class))
        });
        classes
    }

    fn finalizers(&self, frame_names: &FrameNames, min_time_ns: u64) -> Vec<Finalizer> {
        let finalizers = self.finalizers.iter();
        let finalizers = finalizers.filter(|(_, (_, durations))| durations.sum_ns >= min_time_ns);
        let mut finalizers: Vec<Finalizer> = finalizers
            .map(|(&code, &(calls, durations))| Finalizer {
                place: SourceLocation::of(
                    FrameLocation { frame: Frame::Function(code), line: 0 },
                    frame_names,
                ),
                calls,
                total_ns: durations.sum_ns,
                mean_ns: durations.mean_ns(),
                max_ns: durations.max_ns(),
            })
            .collect();
        finalizers.sort_by_cached_key(|finalizer| (Reverse(finalizer.calls), sort_key(&finalizer.place)));
        finalizers
    }
}

impl OpenCreations {
    /// Ends the innermost open creation of that class and site. Creations inside it have no
    /// recorded end. None if the [`MAX_CALLERS`] innermost ones have no such creation.
    fn close(&mut self, class: TextId, site: (CodeId, i32)) -> Option<OpenCreation> {
        let recent = self.open.len().saturating_sub(MAX_CALLERS);
        let is_start = |open: &OpenCreation| (open.class, open.site) == (class, site);
        let index = recent + self.open[recent..].iter().rposition(is_start)?;
        let mut ended = None;
        for open in self.open.drain(index..).rev() {
            for key in [(open.class, None), (open.class, Some(open.location))] {
                match self.depths.get_mut(&key) {
                    Some(depth) if *depth > 1 => *depth -= 1,
                    _ => drop(self.depths.remove(&key)),
                }
            }
            ended = Some(open);
        }
        ended
    }
}

impl CreationSums {
    fn count(&mut self, failed: bool) {
        *(if failed { &mut self.failed } else { &mut self.created }) += 1;
    }

    fn creations(&self) -> Creations {
        Creations {
            created: self.created,
            failed: self.failed,
            unfinished: self.started - self.ended,
            total_ns: self.total_ns,
            mean_ns: self.durations.mean_ns(),
            max_ns: self.durations.max_ns(),
        }
    }
}

impl DurationStats {
    fn add(&mut self, duration_ns: u64) {
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
    }

    fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.count)
    }

    fn max_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_ns)
    }
}

impl Creations {
    /// A sort key that puts larger numbers first.
    fn rank(&self) -> Reverse<[u64; 4]> {
        Reverse([self.created, self.total_ns, self.failed, self.unfinished])
    }
}

/// Whether a pattern matches the full name of a class, or the part after one of its dots.
fn matches_class(pattern: &Pattern, class: &str) -> bool {
    let suffixes = class.match_indices('.').map(|(dot, _)| &class[dot + 1..]);
    std::iter::once(class).chain(suffixes).any(|name| pattern.matches_name(name))
}

/// Orders rows with equal numbers.
fn sort_key(place: &SourceLocation) -> (String, Option<i32>) {
    (place.label.clone(), place.line)
}

#[cfg(test)]
mod tests {
    //! Creations by class and line, and finalizers.

    use super::*;
    use crate::testing;

    /// A Node creates two Nodes on one line, of which the second fails, and is finalized. Of three
    /// Drawers one was started before the recording, and one has no end.
    const SCRIPT: &str = "
        0    7/7  function__entry       /srv/run.py:1:main           1
        10   7/7  instance__new__start  /srv/run.py:1:main           2  -  __main__.Node
        12   7/7  function__entry       /srv/run.py:10:Node.__init__ 10
        20   7/7  instance__new__start  /srv/run.py:10:Node.__init__ 11 -  __main__.Node
        24   7/7  instance__new__done   /srv/run.py:10:Node.__init__ 11 1  __main__.Node
        30   7/7  instance__new__start  /srv/run.py:10:Node.__init__ 11 -  __main__.Node
        33   7/7  instance__new__done   /srv/run.py:10:Node.__init__ 11 0  __main__.Node
        40   7/7  function__return      /srv/run.py:10:Node.__init__ 12
        50   7/7  instance__new__done   /srv/run.py:1:main           2  1  __main__.Node
        60   7/7  function__entry       /srv/run.py:20:Node.__del__  20
        65   7/7  function__return      /srv/run.py:20:Node.__del__  21
        66   7/7  function__entry       /srv/run.py:20:Node.__del__  20
        69   7/7  function__return      /srv/run.py:20:Node.__del__  21
        70   7/7  instance__new__start  /srv/run.py:1:main           3  -  shop.Till.Drawer
        75   7/7  instance__new__done   /srv/run.py:1:main           3  1  shop.Till.Drawer
        76   7/8  instance__new__done   /srv/run.py:1:main           3  1  shop.Till.Drawer
        80   7/7  instance__new__start  /srv/run.py:1:main           3  -  shop.Till.Drawer
        90   7/7  function__return      /srv/run.py:1:main           4
    ";

    fn read(script: &str, filter: &Filter, patterns: &[&str]) -> Instances {
        let (trace, _directory) = testing::trace(script, 4);
        let patterns: Vec<Pattern> =
            patterns.iter().map(|text| text.parse().expect("the pattern is valid")).collect();
        Instances::read(&trace, filter, &patterns).expect("the trace is valid")
    }

    fn creations(created: u64, failed: u64, unfinished: u64, times_ns: [u64; 3]) -> Creations {
        let [total_ns, mean_ns, max_ns] = times_ns;
        Creations { created, failed, unfinished, total_ns, mean_ns: Some(mean_ns), max_ns: Some(max_ns) }
    }

    /// The creating lines of a class: label, created, failed, total.
    fn lines(class: &ClassInstances) -> Vec<(&str, u64, u64, u64)> {
        let mut rows = Vec::new();
        for CreatingLine { place, creations } in &class.lines {
            let label = place.as_ref().map_or("(no function)", |place| place.label.as_str());
            rows.push((label, creations.created, creations.failed, creations.total_ns));
        }
        rows
    }

    #[test]
    fn creations_are_counted_by_class_and_line_and_nested_time_once() {
        let all = read(SCRIPT, &Filter::default(), &[]);
        assert_eq!((all.recorded, all.has_functions), (5, true));
        let [node, drawer] = &all.classes[..] else { panic!("{:?}", all.classes) };
        assert_eq!(
            (node.class.as_str(), node.creations),
            ("__main__.Node", creations(2, 1, 0, [40, 15, 40]))
        );
        assert_eq!(
            lines(node),
            [("main (__main__:1), line 2", 1, 0, 40), ("Node.__init__ (__main__:10), line 11", 1, 1, 7)]
        );
        // One started before the recording, one is unfinished.
        assert_eq!(
            (drawer.class.as_str(), drawer.creations),
            ("shop.Till.Drawer", creations(2, 0, 1, [5, 5, 5]))
        );
        let [finalizer] = &all.finalizers[..] else { panic!("{:?}", all.finalizers) };
        assert_eq!(finalizer.place.label, "Node.__del__ (__main__:20)");
        assert_eq!(
            (finalizer.calls, finalizer.total_ns, finalizer.mean_ns, finalizer.max_ns),
            (2, 8, Some(4), Some(5))
        );
    }

    #[test]
    fn patterns_and_filters_select_classes_and_calls() {
        let classes = |filter: Filter, patterns: &[&str]| {
            let classes = read(SCRIPT, &filter, patterns).classes;
            classes.into_iter().map(|class| (class.class, class.creations.created)).collect::<Vec<_>>()
        };
        let row = |class: &str, created| (class.to_owned(), created);
        for pattern in ["Drawer", "Till.*", "shop.*", "shop.Till.Drawer"] {
            assert_eq!(classes(Filter::default(), &[pattern]), [row("shop.Till.Drawer", 2)], "{pattern}");
        }
        assert_eq!(classes(Filter::default(), &["ill.Drawer", "Nod"]), []);
        let inside =
            Filter { root: Some("__init__".parse().expect("the pattern is valid")), ..Filter::default() };
        assert_eq!(classes(inside, &[]), [row("__main__.Node", 1)]);
        let slow = Filter { min_time: std::time::Duration::from_nanos(6), ..Filter::default() };
        assert_eq!(classes(slow, &[]), [row("__main__.Node", 2)]);
        // The creations of a filtered function are charged to its caller.
        let without =
            Filter { exclude: vec!["__init__".parse().expect("the pattern is valid")], ..Filter::default() };
        let node = &read(SCRIPT, &without, &["Node"]).classes[0];
        assert_eq!(lines(node), [("main (__main__:1), line 2", 1, 0, 40), ("main (__main__:1)", 1, 1, 7)]);
    }

    #[test]
    fn durations_are_not_measured_across_a_loss() {
        let script = "
            10   7/7  instance__new__start  /srv/run.py:1:main  2  -  C
            30   7/7  lost                  -                   0  9  20
            50   7/7  instance__new__done   /srv/run.py:1:main  2  1  C
        ";
        let class = &read(script, &Filter::default(), &[]).classes[0];
        let expected = Creations { created: 1, ..Creations::default() };
        assert_eq!(class.creations, expected);
    }
}
