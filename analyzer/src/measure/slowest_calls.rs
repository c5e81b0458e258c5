//! The slowest calls of a function, each with the call tree below it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use pyrec_schema::{Clock, Code, CodeId, Columns, Marker, Names, TextId, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::Trust;
use super::frame_names::FrameNames;
use super::source_location::{ExecutingLines, FrameLocation, SourceLocation};
use crate::calls::{self, Call, CallEnd, CallEvent, Callers, Ending, TraceSummary};
use crate::filter::Pattern;
use crate::order::ThreadId;
use crate::tree::{Frame, NodeId, Nodes, ROOT, WalkEvent};
use crate::{Filter, Result};

/// Rows of a call tree with less than this fraction (1/100) of the call's duration are left out.
const MIN_FRACTION: u64 = 100;

/// The slowest calls of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowestCalls {
    /// The calls, by descending duration.
    pub calls: Vec<SlowCall>,
    /// The number of calls among which these are the slowest.
    pub of: u64,
    /// The number of these that were open when their thread or the recording ended.
    pub still_open: u64,
    /// The trust of the recording.
    pub trust: Trust,
}

/// One of the slowest calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlowCall {
    /// The function.
    #[serde(flatten)]
    pub function: SourceLocation,
    /// The time of the entry, since the first event of the trace.
    pub start_ns: i64,
    /// The time of the entry in Unix time.
    pub start_unix_ns: Option<i64>,
    /// The duration. For an open call, the time to the end of its thread or the recording.
    pub duration_ns: u64,
    /// Whether the call was open when its thread or the recording ended.
    pub still_open: bool,
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
    /// The thread's name.
    pub thread: Option<String>,
    /// The open calls around it, the innermost first.
    pub callers: Vec<SourceLocation>,
    /// The merged call tree of the call, in preorder. The first row is the call itself.
    pub tree: Vec<CallTreeRow>,
}

/// A row of a merged call tree: the calls on one call path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallTreeRow {
    /// The depth of the path below the slow call.
    pub depth: usize,
    /// The function.
    #[serde(flatten)]
    pub function: SourceLocation,
    /// The number of calls.
    pub calls: u64,
    /// Total time.
    pub total_ns: u64,
    /// Self time.
    pub self_ns: u64,
}

impl SlowestCalls {
    /// Finds the `max_calls` slowest calls of the functions that match a pattern. The trace is read
    /// twice: to find the calls, and to build their call trees. Of a recursion, only the outermost
    /// call counts.
    pub fn read(
        trace: &Trace,
        filter: &Filter,
        function: &Pattern,
        max_calls: usize,
    ) -> Result<SlowestCalls> {
        let mut search = SlowCallSearch::new(trace.names(), function, max_calls);
        // The minimum time applies to the slow calls, not to the calls in them.
        let calls_filter = filter.without_min_time();
        let columns = Columns { line: true, value: true, text: true };
        let summary = calls::read(trace, &calls_filter, columns, &mut |event, _| {
            search.visit(event);
            Ok(())
        })?;
        let min_time_ns = filter.min_time_ns();
        let (of, still_open) = (search.count, search.still_open);
        let found = search.finish(min_time_ns);
        let mut details =
            DetailCollector { lines: ExecutingLines::default(), found, thread_names: FxHashMap::default() };
        if !details.found.is_empty() {
            calls::read(trace, &calls_filter, columns, &mut |event, callers| {
                details.visit(event, callers);
                Ok(())
            })?;
        }
        let frame_names = FrameNames::new(trace.names(), trace.manifest());
        let clock = &trace.manifest().clock;
        let calls = details.finish(&summary, clock, trace.names(), &frame_names);
        Ok(SlowestCalls { calls, of, still_open, trust: Trust::of_summary(trace.manifest(), &summary) })
    }
}

/// The first pass: finds the slowest calls.
struct SlowCallSearch<'a> {
    names: &'a Names,
    function: &'a Pattern,
    max_calls: usize,
    /// Whether the pattern matches a frame.
    matches: FxHashMap<Frame, bool>,
    /// The number of open calls of each matching frame in each thread.
    open: FxHashMap<(ThreadId, Frame), u32>,
    count: u64,
    still_open: u64,
    /// The slowest calls so far, the fastest of these on top.
    slowest: BinaryHeap<Reverse<Candidate>>,
}

/// A call, ordered by duration. Among equal durations, the earlier call is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    duration_ns: u64,
    id: Reverse<u64>,
    is_open: bool,
}

impl<'a> SlowCallSearch<'a> {
    fn new(names: &'a Names, function: &'a Pattern, max_calls: usize) -> Self {
        let (matches, open, slowest) = Default::default();
        SlowCallSearch { names, function, max_calls, matches, open, count: 0, still_open: 0, slowest }
    }

    fn visit(&mut self, event: CallEvent) {
        match event {
            CallEvent::Enter(call) if self.is_match(call.frame) => *self.open_calls(call) += 1,
            CallEvent::Leave(call, end) if self.is_match(call.frame) => {
                let open = self.open_calls(call);
                *open -= 1;
                if *open == 0 {
                    self.count(call, &end);
                }
            }
            _ => {}
        }
    }

    fn is_match(&mut self, frame: Frame) -> bool {
        let (names, function) = (self.names, self.function);
        *self.matches.entry(frame).or_insert_with(|| match frame {
            Frame::Function(code) => function.matches_function(&Code::parse(&names.code_str(code))),
            Frame::Cfunction(name) => names.text_str(name).is_some_and(|name| function.matches_name(&name)),
            Frame::Thread | Frame::Gc | Frame::Lost => false,
        })
    }

    fn open_calls(&mut self, call: &Call) -> &mut u32 {
        let thread = ThreadId { pid: call.entry.pid, tid: call.entry.tid };
        self.open.entry((thread, call.frame)).or_insert(0)
    }

    fn count(&mut self, call: &Call, end: &CallEnd) {
        let is_open = end.ending == Ending::StillOpen;
        let elapsed_ns = || u64::try_from(end.time_ns.saturating_sub(call.entry.time_ns)).unwrap_or(0);
        let Some(duration_ns) = end.duration_ns.or_else(|| (is_open && call.counts).then(elapsed_ns)) else {
            return;
        };
        self.count += 1;
        self.still_open += u64::from(is_open);
        self.slowest.push(Reverse(Candidate { duration_ns, id: Reverse(call.id), is_open }));
        if self.slowest.len() > self.max_calls {
            self.slowest.pop();
        }
    }

    /// The slowest calls by call id, without those below the minimum time.
    fn finish(self, min_time_ns: u64) -> FxHashMap<u64, FoundCall> {
        let found = self.slowest.into_iter().map(|Reverse(candidate)| candidate);
        let found = found.filter(|candidate| candidate.duration_ns >= min_time_ns);
        found.map(|candidate| (candidate.id.0, FoundCall::new(candidate))).collect()
    }
}

/// The second pass: builds the call trees of the calls that were found.
struct DetailCollector {
    lines: ExecutingLines,
    found: FxHashMap<u64, FoundCall>,
    thread_names: FxHashMap<ThreadId, TextId>,
}

/// A call that was found, with its call tree.
struct FoundCall {
    candidate: Candidate,
    /// None until the second pass reaches its entry.
    call: Option<Call>,
    callers: Vec<FrameLocation>,
    nodes: Nodes,
    /// The node of each open call in it, by call id.
    open: FxHashMap<u64, NodeId>,
}

impl FoundCall {
    fn new(candidate: Candidate) -> FoundCall {
        FoundCall {
            candidate,
            call: None,
            callers: vec![],
            nodes: Nodes::default(),
            open: FxHashMap::default(),
        }
    }
}

impl DetailCollector {
    fn visit(&mut self, event: CallEvent, callers: Callers) {
        self.lines.update(event, callers);
        match event {
            CallEvent::Enter(call) => self.enter(call, callers),
            CallEvent::Leave(call, end) => self.leave(call, &end),
            CallEvent::Instant(event)
                if event.marker == Marker::ThreadStart && event.text != TextId::NONE =>
            {
                self.thread_names.insert(ThreadId::of(event), event.text);
            }
            _ => {}
        }
    }

    fn enter(&mut self, call: &Call, callers: Callers) {
        for found in self.found.values_mut() {
            let parent = call.parent.and_then(|parent| found.open.get(&parent)).copied();
            if found.candidate.id.0 == call.id {
                found.call = Some(*call);
                found.callers = self.lines.stack(callers, CodeId::NONE, 0);
            } else if parent.is_none() {
                continue;
            }
            let node = found.nodes.child(parent.unwrap_or(ROOT), call.frame);
            found.open.insert(call.id, node);
        }
    }

    fn leave(&mut self, call: &Call, end: &CallEnd) {
        for found in self.found.values_mut() {
            if let Some(node) = found.open.remove(&call.id) {
                let tally = &mut found.nodes[node].tally;
                tally.entries += u64::from(call.counts && end.ending != Ending::NeverReturned);
                tally.self_ns = tally.self_ns.saturating_add(call.self_ns);
            }
        }
    }

    fn finish(
        self,
        summary: &TraceSummary,
        clock: &Clock,
        names: &Names,
        frame_names: &FrameNames,
    ) -> Vec<SlowCall> {
        let mut found: Vec<FoundCall> = self.found.into_values().collect();
        found.sort_by_key(|found| Reverse(found.candidate));
        let slow_call = |found: FoundCall| -> Option<SlowCall> {
            let call = found.call?;
            let location = |location| SourceLocation::of(location, frame_names);
            let thread = ThreadId { pid: call.entry.pid, tid: call.entry.tid };
            let time_ns = call.entry.time_ns;
            Some(SlowCall {
                function: location(FrameLocation { frame: call.frame, line: 0 }),
                start_ns: time_ns.saturating_sub(summary.counts.first_ns),
                start_unix_ns: clock.unix_ns(time_ns),
                duration_ns: found.candidate.duration_ns,
                still_open: found.candidate.is_open,
                pid: thread.pid,
                tid: thread.tid,
                thread: self
                    .thread_names
                    .get(&thread)
                    .and_then(|&name| names.text_str(name))
                    .map(|name| name.to_string()),
                callers: found.callers.iter().copied().map(location).collect(),
                tree: tree_rows(&found.nodes, found.candidate.duration_ns / MIN_FRACTION, frame_names),
            })
        };
        found.into_iter().filter_map(slow_call).collect()
    }
}

/// The call paths with at least that total time, in preorder.
fn tree_rows(nodes: &Nodes, min_total_ns: u64, frame_names: &FrameNames) -> Vec<CallTreeRow> {
    let totals = nodes.subtree_sums(|node| node.tally.self_ns);
    let mut rows = Vec::new();
    let mut depth = 0;
    nodes.walk(|step| match step {
        WalkEvent::Enter(ROOT) | WalkEvent::Leave(ROOT) => {}
        WalkEvent::Leave(_) => depth -= 1,
        WalkEvent::Enter(id) => {
            let (node, total_ns) = (&nodes[id], totals[id as usize]);
            if total_ns >= min_total_ns {
                let function = SourceLocation::of(FrameLocation { frame: node.frame, line: 0 }, frame_names);
                let (calls, self_ns) = (node.tally.entries, node.tally.self_ns);
                rows.push(CallTreeRow { depth, function, calls, total_ns, self_ns });
            }
            depth += 1;
        }
    });
    rows
}

#[cfg(test)]
mod tests {
    //! The order of calls, and their call trees.

    use super::*;
    use crate::testing;

    /// ```text
    /// 0     10  20 30     100  150  180   200   300  310 320
    /// ├─main┼─f─┼g─┼──f───┤main├─f──┼──f──┼main─┼─f──┼─g─┼main┄
    /// ```
    const SCRIPT: &str = "
        0    7/7  thread__start     -                0  -  MainThread
        0    7/7  function__entry   /srv/run.py:1:main  1
        10   7/7  function__entry   /srv/run.py:3:f  3
        20   7/7  function__entry   /srv/run.py:9:C.g  9
        30   7/7  function__return  /srv/run.py:9:C.g  9
        100  7/7  function__return  /srv/run.py:3:f  3
        150  7/7  function__entry   /srv/run.py:3:f  3
        170  7/7  function__entry   /srv/run.py:3:f  3
        180  7/7  function__return  /srv/run.py:3:f  3
        200  7/7  function__return  /srv/run.py:3:f  3
        300  7/7  function__entry   /srv/run.py:3:f  3
        310  7/7  function__entry   /srv/run.py:9:C.g  9
        320  7/7  function__return  /srv/run.py:9:C.g  9
    ";

    fn slowest(filter: &Filter, function: &str, calls: usize) -> SlowestCalls {
        let (trace, _directory) = testing::trace(SCRIPT, 4);
        SlowestCalls::read(&trace, filter, &function.parse().expect("the pattern is valid"), calls)
            .expect("the trace is valid")
    }

    /// Each call as start, duration and whether it is open.
    fn calls(result: &SlowestCalls) -> Vec<(i64, u64, bool)> {
        result.calls.iter().map(|call| (call.start_ns, call.duration_ns, call.still_open)).collect()
    }

    #[test]
    fn calls_are_sorted_by_duration_and_a_recursion_counts_once() {
        let result = slowest(&Filter::default(), "f", 2);
        assert_eq!(
            (result.of, result.still_open, calls(&result)),
            (3, 1, vec![(10, 90, false), (150, 50, false)])
        );
        let first = &result.calls[0];
        assert_eq!((first.pid, first.tid, first.thread.as_deref()), (7, 7, Some("MainThread")));
        assert_eq!(
            first.callers.iter().map(|place| place.label.as_str()).collect::<Vec<_>>(),
            ["main (__main__:1)"]
        );
        let tree = |call: &SlowCall| -> Vec<(usize, String, u64, u64, u64)> {
            let row = |row: &CallTreeRow| {
                let CallTreeRow { depth, function, calls, total_ns, self_ns } = row;
                (*depth, function.qualname.clone(), *calls, *total_ns, *self_ns)
            };
            call.tree.iter().map(row).collect()
        };
        assert_eq!(tree(first), [(0, "f".into(), 1, 90, 80), (1, "C.g".into(), 1, 10, 10)]);
        assert_eq!(tree(&result.calls[1]), [(0, "f".into(), 1, 50, 40), (1, "f".into(), 1, 10, 10)]);
    }

    #[test]
    fn an_open_call_lasts_to_the_end_of_the_recording() {
        assert_eq!(calls(&slowest(&Filter::default(), "main", 9)), [(0, 320, true)]);
        assert_eq!(calls(&slowest(&Filter::default(), "f", 9))[2], (300, 20, true));
    }

    #[test]
    fn filters_select_calls() {
        let long = Filter { min_time: std::time::Duration::from_nanos(60), ..Filter::default() };
        assert_eq!(calls(&slowest(&long, "f", 9)), [(10, 90, false)]);
        let late = Filter { time: Some("140ns-".parse().expect("the range is valid")), ..Filter::default() };
        assert_eq!(calls(&slowest(&late, "f", 9)), [(150, 50, false), (300, 20, true)]);
        let inside = Filter { root: Some("f".parse().expect("the pattern is valid")), ..Filter::default() };
        assert_eq!(calls(&slowest(&inside, "C.*", 9)), [(20, 10, false), (310, 10, false)]);
        assert_eq!(calls(&slowest(&Filter::default(), "unknown", 9)), []);
    }

    #[test]
    fn unix_time_is_computed_from_the_clock_anchor() {
        // The anchor of the test manifest maps 0 to the Unix epoch.
        assert_eq!(slowest(&Filter::default(), "f", 1).calls[0].start_unix_ns, Some(10));
    }
}
