//! The slowest calls of one function, each with what it called.

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

/// What is shorter than this part of a call is not told of it.
const SHORTEST: u64 = 100;

/// The slowest calls of one function, each with what it called.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowestCalls {
    /// The slowest first.
    pub calls: Vec<SlowCall>,
    /// How many there were to choose from.
    pub of: u64,
    /// How many of those had not ended when their thread or the recording did.
    pub still_open: u64,
    /// How far to trust it.
    pub trust: Trust,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlowCall {
    /// What was called.
    #[serde(flatten)]
    pub function: SourceLocation,
    /// When, since the first event of the trace.
    pub start_ns: i64,
    /// When, in Unix time.
    pub start_unix_ns: Option<i64>,
    /// How long it took. Of a call that is still open: how long at least.
    pub duration_ns: u64,
    /// Whether it had not ended when its thread or the recording did.
    pub still_open: bool,
    /// Its process.
    pub pid: i32,
    /// Its thread.
    pub tid: i32,
    /// Its thread's name.
    pub thread: Option<String>,
    /// The functions that it lies in, the innermost first.
    pub callers: Vec<SourceLocation>,
    /// What it called, itself first: each function once for every path, callers before what they call.
    pub tree: Vec<CallTreeRow>,
}

/// What was called on one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallTreeRow {
    /// How many calls it lies in.
    pub depth: usize,
    /// What was called.
    #[serde(flatten)]
    pub function: SourceLocation,
    /// How often.
    pub calls: u64,
    /// Time with what it called.
    pub total_ns: u64,
    /// Time without.
    pub self_ns: u64,
}

impl SlowestCalls {
    /// Reads the trace twice: to find the slowest calls, and to see what is in them. Of a function that calls itself
    /// only the outermost call is one: the others lie in it.
    pub fn read(trace: &Trace, filter: &Filter, function: &Pattern, calls: usize) -> Result<SlowestCalls> {
        let mut search = Search::new(trace.names(), function, calls);
        // Short calls are parts of a slow one, so the least time is that of the slow ones.
        let whole = filter.without_min_time();
        let columns = Columns { line: true, value: true, text: true };
        let seen = calls::read(trace, &whole, columns, &mut |moment, callers| {
            search.see(moment, callers);
            Ok(())
        })?;
        let min_time_ns = filter.min_time_ns();
        let (of, still_open) = (search.count, search.still_open);
        let found = search.finish(min_time_ns);
        let mut look = Look { executing: ExecutingLines::default(), found, names: FxHashMap::default() };
        if !look.found.is_empty() {
            calls::read(trace, &whole, columns, &mut |moment, callers| {
                look.see(moment, callers);
                Ok(())
            })?;
        }
        let naming = FrameNames::new(trace.names(), trace.manifest());
        let clock = &trace.manifest().clock;
        let calls = look.tell(&seen, clock, trace.names(), &naming);
        Ok(SlowestCalls { calls, of, still_open, trust: Trust::of_seen(trace.manifest(), &seen) })
    }
}

/// The search for the slowest calls.
struct Search<'a> {
    names: &'a Names,
    function: &'a Pattern,
    most: usize,
    /// Whether a frame is of the function.
    matches: FxHashMap<Frame, bool>,
    /// How many calls of each such frame are open in each thread.
    open: FxHashMap<(ThreadId, Frame), u32>,
    count: u64,
    still_open: u64,
    /// The slowest so far, the fastest of them on top.
    slowest: BinaryHeap<Reverse<Slow>>,
}

/// A call by its length; of equally long ones the first is slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slow {
    duration_ns: u64,
    id: Reverse<u64>,
    is_open: bool,
}

impl<'a> Search<'a> {
    fn new(names: &'a Names, function: &'a Pattern, most: usize) -> Self {
        let (matches, open, slowest) = Default::default();
        Search { names, function, most, matches, open, count: 0, still_open: 0, slowest }
    }

    fn see(&mut self, moment: CallEvent, _: Callers) {
        match moment {
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
        let so_far_ns = || u64::try_from(end.time_ns.saturating_sub(call.entry.time_ns)).unwrap_or(0);
        let Some(duration_ns) = end.duration_ns.or_else(|| (is_open && call.counts).then(so_far_ns)) else {
            return;
        };
        self.count += 1;
        self.still_open += u64::from(is_open);
        self.slowest.push(Reverse(Slow { duration_ns, id: Reverse(call.id), is_open }));
        if self.slowest.len() > self.most {
            self.slowest.pop();
        }
    }

    /// The slowest calls.
    fn finish(self, min_time_ns: u64) -> FxHashMap<u64, Found> {
        let slow = self.slowest.into_iter().map(|Reverse(slow)| slow);
        let slow = slow.filter(|slow| slow.duration_ns >= min_time_ns);
        slow.map(|slow| (slow.id.0, Found::new(slow))).collect()
    }
}

/// The second look: what is in the calls that were found.
struct Look {
    executing: ExecutingLines,
    found: FxHashMap<u64, Found>,
    names: FxHashMap<ThreadId, TextId>,
}

/// A call that was found.
struct Found {
    slow: Slow,
    call: Option<Call>,
    callers: Vec<FrameLocation>,
    nodes: Nodes,
    /// The node of each call in it that is open, by its number.
    open: FxHashMap<u64, NodeId>,
}

impl Found {
    fn new(slow: Slow) -> Found {
        Found { slow, call: None, callers: vec![], nodes: Nodes::default(), open: FxHashMap::default() }
    }
}

impl Look {
    fn see(&mut self, moment: CallEvent, callers: Callers) {
        self.executing.follow(moment, callers);
        match moment {
            CallEvent::Enter(call) => self.enter(call, callers),
            CallEvent::Leave(call, end) => self.leave(call, &end),
            CallEvent::Instant(event)
                if event.marker == Marker::ThreadStart && event.text != TextId::NONE =>
            {
                self.names.insert(ThreadId::of(event), event.text);
            }
            _ => {}
        }
    }

    fn enter(&mut self, call: &Call, callers: Callers) {
        for found in self.found.values_mut() {
            let parent = call.parent.and_then(|parent| found.open.get(&parent)).copied();
            if found.slow.id.0 == call.id {
                found.call = Some(*call);
                found.callers = self.executing.stack(callers, CodeId::NONE, 0);
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

    fn tell(self, seen: &TraceSummary, clock: &Clock, names: &Names, naming: &FrameNames) -> Vec<SlowCall> {
        let mut found: Vec<Found> = self.found.into_values().collect();
        found.sort_by_key(|found| Reverse(found.slow));
        let tell = |found: Found| -> Option<SlowCall> {
            let call = found.call?;
            let place = |spot| SourceLocation::of(spot, naming);
            let thread = ThreadId { pid: call.entry.pid, tid: call.entry.tid };
            let time_ns = call.entry.time_ns;
            Some(SlowCall {
                function: place(FrameLocation { frame: call.frame, line: 0 }),
                start_ns: time_ns.saturating_sub(seen.counts.first_ns),
                start_unix_ns: clock.unix_ns(time_ns),
                duration_ns: found.slow.duration_ns,
                still_open: found.slow.is_open,
                pid: thread.pid,
                tid: thread.tid,
                thread: self
                    .names
                    .get(&thread)
                    .and_then(|&name| names.text_str(name))
                    .map(|name| name.to_string()),
                callers: found.callers.iter().copied().map(place).collect(),
                tree: branches(&found.nodes, found.slow.duration_ns / SHORTEST, naming),
            })
        };
        found.into_iter().filter_map(tell).collect()
    }
}

/// The paths that took long enough, callers before what they call.
fn branches(nodes: &Nodes, shortest_ns: u64, naming: &FrameNames) -> Vec<CallTreeRow> {
    let totals = nodes.subtree_sums(|node| node.tally.self_ns);
    let mut branches = Vec::new();
    let mut depth = 0;
    nodes.walk(|step| match step {
        WalkEvent::Enter(ROOT) | WalkEvent::Leave(ROOT) => {}
        WalkEvent::Leave(_) => depth -= 1,
        WalkEvent::Enter(id) => {
            let (node, total_ns) = (&nodes[id], totals[id as usize]);
            if total_ns >= shortest_ns {
                let function = SourceLocation::of(FrameLocation { frame: node.frame, line: 0 }, naming);
                let (calls, self_ns) = (node.tally.entries, node.tally.self_ns);
                branches.push(CallTreeRow { depth, function, calls, total_ns, self_ns });
            }
            depth += 1;
        }
    });
    branches
}

#[cfg(test)]
mod tests {
    //! Calls by their length, and what is in them.

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

    fn worst(filter: &Filter, function: &str, calls: usize) -> SlowestCalls {
        let (trace, _directory) = testing::trace(SCRIPT, 4);
        SlowestCalls::read(&trace, filter, &function.parse().expect("a pattern"), calls)
            .expect("a whole trace")
    }

    /// Each call: start, duration, whether open.
    fn calls(worst: &SlowestCalls) -> Vec<(i64, u64, bool)> {
        worst.calls.iter().map(|call| (call.start_ns, call.duration_ns, call.still_open)).collect()
    }

    #[test]
    fn the_slowest_come_first_and_recursion_is_one_call() {
        let worst = worst(&Filter::default(), "f", 2);
        assert_eq!(
            (worst.of, worst.still_open, calls(&worst)),
            (3, 1, vec![(10, 90, false), (150, 50, false)])
        );
        let first = &worst.calls[0];
        assert_eq!((first.pid, first.tid, first.thread.as_deref()), (7, 7, Some("MainThread")));
        assert_eq!(
            first.callers.iter().map(|place| place.label.as_str()).collect::<Vec<_>>(),
            ["main (__main__:1)"]
        );
        let tree = |call: &SlowCall| -> Vec<(usize, String, u64, u64, u64)> {
            let row = |branch: &CallTreeRow| {
                let CallTreeRow { depth, function, calls, total_ns, self_ns } = branch;
                (*depth, function.qualname.clone(), *calls, *total_ns, *self_ns)
            };
            call.tree.iter().map(row).collect()
        };
        assert_eq!(tree(first), [(0, "f".into(), 1, 90, 80), (1, "C.g".into(), 1, 10, 10)]);
        assert_eq!(tree(&worst.calls[1]), [(0, "f".into(), 1, 50, 40), (1, "f".into(), 1, 10, 10)]);
    }

    #[test]
    fn a_call_that_is_still_open_took_that_long_at_least() {
        assert_eq!(calls(&worst(&Filter::default(), "main", 9)), [(0, 320, true)]);
        assert_eq!(calls(&worst(&Filter::default(), "f", 9))[2], (300, 20, true));
    }

    #[test]
    fn filters_choose_among_the_calls() {
        let long = Filter { min_time: std::time::Duration::from_nanos(60), ..Filter::default() };
        assert_eq!(calls(&worst(&long, "f", 9)), [(10, 90, false)]);
        let late = Filter { time: Some("140ns-".parse().expect("a range")), ..Filter::default() };
        assert_eq!(calls(&worst(&late, "f", 9)), [(150, 50, false), (300, 20, true)]);
        let inside = Filter { root: Some("f".parse().expect("a pattern")), ..Filter::default() };
        assert_eq!(calls(&worst(&inside, "C.*", 9)), [(20, 10, false), (310, 10, false)]);
        assert_eq!(calls(&worst(&Filter::default(), "nobody", 9)), []);
    }

    #[test]
    fn wall_clock_time_is_that_of_the_anchor() {
        // The clock of the test's manifest stood at 0 in 1970.
        assert_eq!(worst(&Filter::default(), "f", 1).calls[0].start_unix_ns, Some(10));
    }
}
