//! Instances: which classes were called, from which lines, how long that took, and the finalizers that ran.

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

#[cfg(test)]
mod tests;

/// Instances by class, and finalizers.
#[derive(Clone, Debug, PartialEq)]
pub struct Instances {
    /// The class of which most were created first.
    pub classes: Vec<ClassInstances>,
    /// The finalizer that ran most often first.
    pub finalizers: Vec<Finalizer>,
    /// How many calls of classes the recording holds, whatever was asked for.
    pub recorded: u64,
    /// Whether functions were recorded, and so finalizers.
    pub has_functions: bool,
    /// How far to trust it.
    pub trust: Trust,
}

/// The calls of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassInstances {
    /// Module and qualified name.
    pub class: String,
    /// How often and how long.
    #[serde(flatten)]
    pub creations: Creations,
    /// From which lines, that from which most were created first.
    pub lines: Vec<CreatingLine>,
}

/// The calls of one class from one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreatingLine {
    /// The function and its line; none where the filters leave nobody.
    pub place: Option<SourceLocation>,
    /// How often and how long.
    #[serde(flatten)]
    pub creations: Creations,
}

/// How often a class was called, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Creations {
    /// Calls that gave an object.
    pub created: u64,
    /// Calls that raised.
    pub failed: u64,
    /// Calls whose end was not seen.
    pub unfinished: u64,
    /// Time from the calls to their ends. A call within another one of the same counts once.
    pub total_ns: u64,
    /// The mean of all calls whose time is known.
    pub mean_ns: Option<u64>,
    /// The longest of them.
    pub max_ns: Option<u64>,
}

/// A `__del__` that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finalizer {
    /// The function.
    pub place: SourceLocation,
    /// How often.
    pub calls: u64,
    /// Time in those calls that were measured.
    pub total_ns: u64,
    /// The mean of these.
    pub mean_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

/// What is added up: of a class, or of a class and a spot.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    created: u64,
    failed: u64,
    begun: u64,
    ended: u64,
    total_ns: u64,
    lengths: Lengths,
}

/// The mean and the longest of some lengths of time.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths {
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

/// A class, from a spot or from all of them.
type Key = (TextId, Option<FrameLocation>);

/// What is added up while reading.
struct Sums<'a> {
    names: &'a Names,
    frames: FrameFilter<'a>,
    patterns: &'a [Pattern],
    /// Whether a class is asked for.
    wanted: FxHashMap<TextId, bool>,
    executing: ExecutingLines,
    classes: FxHashMap<TextId, Sum>,
    spots: FxHashMap<(TextId, FrameLocation), Sum>,
    /// How often each ran, and how long.
    finalizers: FxHashMap<CodeId, (u64, Lengths)>,
    /// Whether a function is a finalizer.
    is_finalizer: FxHashMap<CodeId, bool>,
    threads: FxHashMap<ThreadId, Constructing>,
}

/// What is being constructed in a thread.
#[derive(Debug, Default)]
struct Constructing {
    open: Vec<Open>,
    /// How often each class and each of its spots is open.
    depths: FxHashMap<Key, u32>,
    losses: u32,
}

/// A call of a class that has begun.
#[derive(Clone, Copy, Debug)]
struct Open {
    class: TextId,
    spot: FrameLocation,
    /// Who calls, as the row says it.
    site: (CodeId, i32),
    since_ns: i64,
    losses: u32,
}

/// Where nothing is that the filters leave.
const NOWHERE: FrameLocation = FrameLocation { frame: Frame::Lost, line: 0 };

impl Instances {
    /// Reads the instances of the classes that match any of these patterns, or of all if there is no pattern.
    pub fn read(trace: &Trace, filter: &Filter, patterns: &[Pattern]) -> Result<Instances> {
        let names = trace.names();
        let mut sums = Sums::new(names, filter, patterns);
        // It is classes that must have taken some time, and not the calls that they were called in.
        let whole = filter.without_min_time();
        let columns = Columns { line: true, value: true, text: true };
        let seen = calls::read(trace, &whole, columns, &mut |moment, callers| {
            sums.see(moment, callers);
            Ok(())
        })?;
        let naming = FrameNames::new(names, trace.manifest());
        let min_time_ns = filter.min_time_ns();
        Ok(Instances {
            finalizers: sums.finalizers(&naming, min_time_ns),
            classes: sums.classes(&naming, min_time_ns),
            recorded: seen.counts.of(Marker::InstanceStart),
            has_functions: seen.counts.of(Marker::FunctionEntry) > 0,
            trust: Trust::of_seen(trace.manifest(), &seen),
        })
    }
}

impl<'a> Sums<'a> {
    fn new(names: &'a Names, filter: &'a Filter, patterns: &'a [Pattern]) -> Self {
        let frames = FrameFilter::new(filter, names);
        let (wanted, executing, classes, spots) = Default::default();
        let (finalizers, is_finalizer, threads) = Default::default();
        Sums { names, frames, patterns, wanted, executing, classes, spots, finalizers, is_finalizer, threads }
    }

    fn see(&mut self, moment: CallEvent, callers: Callers) {
        self.executing.follow(moment, callers);
        match moment {
            CallEvent::Instant(event) => self.point(event, callers),
            CallEvent::Leave(call, end) => self.leave(call, &end),
            _ => {}
        }
    }

    fn point(&mut self, event: &Event, callers: Callers) {
        let thread = ThreadId::of(event);
        match event.marker {
            Marker::InstanceStart if self.is_wanted(event.text) => self.begin(thread, event, callers),
            Marker::InstanceDone if self.is_wanted(event.text) => self.end(thread, event, callers),
            Marker::Lost => self.threads.entry(thread).or_default().losses += 1,
            // What was open in a thread that begins or ends stays so.
            Marker::ThreadStart | Marker::ThreadExit | Marker::ProcessStart | Marker::ProcessExit => {
                self.threads.remove(&thread);
            }
            _ => {}
        }
    }

    fn begin(&mut self, thread: ThreadId, event: &Event, callers: Callers) {
        let spot = self.spot(event, callers);
        let class = event.text;
        self.classes.entry(class).or_default().begun += 1;
        self.spots.entry((class, spot)).or_default().begun += 1;
        let constructing = self.threads.entry(thread).or_default();
        for key in [(class, None), (class, Some(spot))] {
            *constructing.depths.entry(key).or_default() += 1;
        }
        let (site, losses) = ((event.code, event.line), constructing.losses);
        constructing.open.push(Open { class, spot, site, since_ns: event.time_ns, losses });
    }

    fn end(&mut self, thread: ThreadId, event: &Event, callers: Callers) {
        let constructing = self.threads.entry(thread).or_default();
        let (class, failed) = (event.text, event.value == Some(0));
        let Some(open) = constructing.close(class, (event.code, event.line)) else {
            // The tracer came in meanwhile.
            let spot = self.spot(event, callers);
            self.classes.entry(class).or_default().count(failed);
            self.spots.entry((class, spot)).or_default().count(failed);
            return;
        };
        let is_known = open.losses == constructing.losses;
        let length_ns = u64::try_from(event.time_ns.saturating_sub(open.since_ns)).unwrap_or(0);
        let is_outermost = |key: Key| !constructing.depths.contains_key(&key);
        let outermost = [is_outermost((class, None)), is_outermost((class, Some(open.spot)))];
        let sums = [self.classes.get_mut(&class), self.spots.get_mut(&(class, open.spot))];
        for (sum, is_outermost) in sums.into_iter().zip(outermost) {
            let Some(sum) = sum else { continue };
            sum.count(failed);
            sum.ended += 1;
            if is_known {
                sum.lengths.add(length_ns);
                sum.total_ns = sum.total_ns.saturating_add(if is_outermost { length_ns } else { 0 });
            }
        }
    }

    /// A call has ended: that of a finalizer, maybe.
    fn leave(&mut self, call: &Call, end: &CallEnd) {
        let Frame::Function(code) = call.frame else { return };
        let names = self.names;
        let is_finalizer = self
            .is_finalizer
            .entry(code)
            .or_insert_with(|| Code::parse(&names.code_str(code)).name() == "__del__");
        if *is_finalizer && call.counts && end.ending != Ending::NeverReturned {
            let (calls, lengths) = self.finalizers.entry(code).or_default();
            *calls += 1;
            end.duration_ns.into_iter().for_each(|duration_ns| lengths.add(duration_ns));
        }
    }

    fn is_wanted(&mut self, class: TextId) -> bool {
        *self.wanted.entry(class).or_insert_with(|| {
            let class = self.names.text_str(class).unwrap_or_default();
            self.patterns.is_empty() || self.patterns.iter().any(|pattern| is_class(pattern, &class))
        })
    }

    /// Who calls: the row knows it even where calls were not recorded.
    fn spot(&mut self, event: &Event, callers: Callers) -> FrameLocation {
        if self.frames.select_code(event.code).shown {
            return FrameLocation { frame: Frame::Function(event.code), line: event.line };
        }
        callers.innermost().map_or(NOWHERE, |call| self.executing.spot(call))
    }

    fn classes(&self, naming: &FrameNames, min_time_ns: u64) -> Vec<ClassInstances> {
        let mut lines: FxHashMap<TextId, Vec<CreatingLine>> = FxHashMap::default();
        for (&(class, spot), sum) in &self.spots {
            let place = (spot != NOWHERE).then(|| SourceLocation::of(spot, naming));
            lines.entry(class).or_default().push(CreatingLine { place, creations: sum.creations() });
        }
        let classes = self.classes.iter().filter(|(_, sum)| sum.total_ns >= min_time_ns);
        let mut classes: Vec<ClassInstances> = classes
            .map(|(class, sum)| {
                let mut lines = lines.remove(class).unwrap_or_default();
                lines.sort_by_cached_key(|line| (line.creations.rank(), line.place.as_ref().map(sorting)));
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

    fn finalizers(&self, naming: &FrameNames, min_time_ns: u64) -> Vec<Finalizer> {
        let ran = self.finalizers.iter().filter(|(_, (_, lengths))| lengths.sum_ns >= min_time_ns);
        let mut finalizers: Vec<Finalizer> = ran
            .map(|(&code, &(calls, lengths))| Finalizer {
                place: SourceLocation::of(FrameLocation { frame: Frame::Function(code), line: 0 }, naming),
                calls,
                total_ns: lengths.sum_ns,
                mean_ns: lengths.mean_ns(),
                max_ns: lengths.longest_ns(),
            })
            .collect();
        finalizers.sort_by_cached_key(|finalizer| (Reverse(finalizer.calls), sorting(&finalizer.place)));
        finalizers
    }
}

impl Constructing {
    /// Ends the innermost call of that class from there; calls within it, whose ends were not seen, stay unfinished.
    fn close(&mut self, class: TextId, site: (CodeId, i32)) -> Option<Open> {
        // An end whose start was not seen ends nothing.
        let recent = self.open.len().saturating_sub(MAX_CALLERS);
        let is_its = |open: &Open| (open.class, open.site) == (class, site);
        let at = recent + self.open[recent..].iter().rposition(is_its)?;
        let mut ended = None;
        for open in self.open.drain(at..).rev() {
            for key in [(open.class, None), (open.class, Some(open.spot))] {
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

impl Sum {
    fn count(&mut self, failed: bool) {
        *(if failed { &mut self.failed } else { &mut self.created }) += 1;
    }

    fn creations(&self) -> Creations {
        Creations {
            created: self.created,
            failed: self.failed,
            unfinished: self.begun - self.ended,
            total_ns: self.total_ns,
            mean_ns: self.lengths.mean_ns(),
            max_ns: self.lengths.longest_ns(),
        }
    }
}

impl Lengths {
    fn add(&mut self, length_ns: u64) {
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(length_ns);
        self.max_ns = self.max_ns.max(length_ns);
    }

    fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.count)
    }

    fn longest_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_ns)
    }
}

impl Creations {
    /// The more of them, the earlier.
    fn rank(&self) -> Reverse<[u64; 4]> {
        Reverse([self.created, self.total_ns, self.failed, self.unfinished])
    }
}

/// Whether a pattern matches a class: by its whole name, or what stands behind one of the dots in it.
fn is_class(pattern: &Pattern, class: &str) -> bool {
    let behind_dots = class.match_indices('.').map(|(at, _)| &class[at + 1..]);
    std::iter::once(class).chain(behind_dots).any(|name| pattern.matches_name(name))
}

/// What puts equal rows in an order.
fn sorting(place: &SourceLocation) -> (String, Option<i32>) {
    (place.label.clone(), place.line)
}
