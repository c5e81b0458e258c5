//! The call stream and the call tree agree, on random rows and with any filter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use pyrec_schema::{Batch, CodeId, Columns, Event, LostEvents, Marker, Names, TextId};

use super::*;
use crate::filter::TimeWindow;
use crate::tree::tests::any_stream;
use crate::tree::tests::{Label, by_path};
use crate::tree::{
    CallTree, Frame, FrameFilter, NodeId, Nodes, ROOT, Repairs, StackOp, Tally, TimedOp, TracePiece,
    add_filtered,
};
use crate::{Filter, testing};

/// The call paths built from the events of a [`CallStream`], to be compared with a [`CallTree`].
#[derive(Default)]
struct CallSums {
    nodes: Nodes,
    /// The node of each call, by the id of the call.
    node_of: HashMap<u64, NodeId>,
    /// The open calls of each thread, to check that events are balanced.
    open: HashMap<(i32, i32), Vec<u64>>,
}

impl CallSums {
    fn of(batch: &Batch, names: &Names, filter: &Filter, window: TimeWindow) -> (CallSums, Repairs) {
        let mut sums = CallSums::default();
        let mut calls = CallStream::new(filter, names, window);
        let mut visit = |event: CallEvent, callers: Callers| {
            sums.add(event, callers);
            Ok(())
        };
        batch.iter().for_each(|event| calls.push(&event, &mut visit).expect("the visitor returns no error"));
        let repairs = calls.finish(&mut visit).expect("the visitor returns no error");
        assert!(sums.open.values().all(Vec::is_empty), "every call ends");
        (sums, repairs)
    }

    fn add(&mut self, event: CallEvent, callers: Callers) {
        match event {
            CallEvent::Enter(call) => {
                let open = self.open.entry((call.entry.pid, call.entry.tid)).or_default();
                assert_eq!(callers.innermost().map(|caller| caller.id), call.parent);
                assert!(
                    call.parent.is_none_or(|parent| open.contains(&parent)),
                    "a caller is entered before its callees"
                );
                open.push(call.id);
                let parent = call.parent.map_or(ROOT, |parent| self.node_of[&parent]);
                assert_eq!(call.depth as usize, callers.outwards().count());
                let is_new = self.node_of.insert(call.id, self.nodes.child(parent, call.frame)).is_none();
                assert!(is_new, "ids are unique");
            }
            CallEvent::Leave(call, end) => {
                let open =
                    self.open.get_mut(&(call.entry.pid, call.entry.tid)).expect("the call was entered");
                assert_eq!(open.pop(), Some(call.id), "calls end in reverse order");
                let tally = &mut self.nodes[self.node_of[&call.id]].tally;
                tally.self_ns += call.self_ns;
                tally.entries += u64::from(call.counts);
                tally.orphans += u64::from(call.counts && end.ending == Ending::NeverReturned);
                end.duration_ns.into_iter().for_each(|duration_ns| tally.measure(duration_ns));
            }
            CallEvent::UnmatchedReturn(..) | CallEvent::Instant(_) => {}
        }
    }

    /// The paths with calls or time.
    fn paths(&self) -> Vec<(Vec<Label>, Tally)> {
        non_empty_paths(&self.nodes)
    }
}

/// The paths with calls or time, without the root.
fn non_empty_paths(nodes: &Nodes) -> Vec<(Vec<Label>, Tally)> {
    let is_non_empty = |(path, tally): &(Vec<Label>, Tally)| !path.is_empty() && *tally != Tally::NONE;
    // `points` counts rows other than entries and returns. `CallSums` does not count these rows.
    let calls = by_path(nodes).into_iter().map(|(path, tally)| (path, Tally { points: 0, ..tally }));
    calls.filter(is_non_empty).collect()
}

/// The rows as a recorder writes them: seven consecutive rows of thread 1, then seven of thread 2,
/// and so on, starting again with thread 1 after the last thread.
pub(crate) fn batch(rows: &[TimedOp], threads: i32, names: &Names) -> Batch {
    rows.chunks(7)
        .zip((1..=threads).cycle())
        .flat_map(|(run, tid)| run.iter().map(move |row| event(row, tid, names)))
        .collect()
}

fn event(row: &TimedOp, tid: i32, names: &Names) -> Event {
    let code = |code: CodeId| names.code(&format!("m.py:{0}:f{0}", code.0));
    let (marker, code) = match row.op {
        StackOp::Enter(Frame::Function(id)) => (Marker::FunctionEntry, code(id)),
        StackOp::Leave(Frame::Function(id)) => (Marker::FunctionReturn, code(id)),
        StackOp::Open(Frame::Function(id)) => (Marker::FunctionOpen, code(id)),
        StackOp::Enter(_) | StackOp::Open(_) => (Marker::GcStart, CodeId::NONE),
        StackOp::Leave(_) => (Marker::GcDone, CodeId::NONE),
        StackOp::Instant => (Marker::Audit, CodeId::NONE),
        StackOp::Clear => (Marker::ThreadExit, CodeId::NONE),
        StackOp::Lose { from_ns } => {
            return LostEvents { pid: 7, tid, count: 1, from_ns, to_ns: row.time_ns }.to_event(names);
        }
        StackOp::Ignore => (Marker::Source, CodeId::NONE),
    };
    let (time_ns, text) = (row.time_ns, TextId::NONE);
    Event { time_ns, pid: 7, tid, marker, code, line: 0, value: None, text }
}

fn tree(batch: &Batch, names: &Arc<Names>, filter: &Filter, window: TimeWindow) -> CallTree {
    let mut piece = TracePiece::first(window);
    piece.push(batch, names);
    CallTree::of(piece, filter, names.clone(), testing::manifest(&[], &[]), 0)
}

/// Generates time windows. A window is either all of time, or starts between 80 and 159 ns and is
/// at most 79 ns long. The rows of `any_stream` start near 100 ns.
pub(crate) fn windows() -> impl Strategy<Value = TimeWindow> {
    let within = (80..160i64, 0..80i64);
    let within = within.prop_map(|(from_ns, length_ns)| TimeWindow { from_ns, to_ns: from_ns + length_ns });
    prop_oneof![Just(TimeWindow::ALL), within]
}

fn filters() -> impl Strategy<Value = Filter> {
    let pattern = |name: &str| name.parse().expect("a valid pattern");
    (0..3u8, 0..3u8, 0..3u8).prop_map(move |(exclude, root, tid)| Filter {
        exclude: if exclude == 0 { vec![pattern("f2")] } else { vec![] },
        root: (root == 0).then(|| pattern("f1")),
        tids: if tid == 0 { vec![1] } else { vec![] },
        ..Filter::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn call_events_add_up_to_the_tree(rows in any_stream::rows(), window in windows()) {
        let names = Arc::new(Names::new());
        let batch = batch(&rows, 1, &names);
        let (mut sums, repairs) = CallSums::of(&batch, &names, &Filter::default(), window);
        // `CallTree` leaves out a path if all of its entries are orphan entries. `add_filtered`
        // applies the same rule to the sums.
        let mut gathered = Nodes::default();
        let filter = Filter::default();
        add_filtered(&mut sums.nodes, &mut FrameFilter::new(&filter, &names), &mut gathered);
        let tree = tree(&batch, &names, &filter, window);
        prop_assert_eq!(non_empty_paths(&gathered), non_empty_paths(&tree.nodes));
        prop_assert_eq!(repairs, tree.repairs());
    }

    #[test]
    fn filtered_call_events_add_up_to_the_filtered_tree(rows in any_stream::rows(), window in windows(), filter in filters()) {
        let names = Arc::new(Names::new());
        let batch = batch(&rows, 2, &names);
        let (sums, repairs) = CallSums::of(&batch, &names, &filter, window);
        let tree = tree(&batch, &names, &filter, window);
        // With orphan entries, the two can differ. The tree leaves out a path with only orphan
        // entries, and separates paths by all their calls, including hidden ones. The call events
        // give only the path without hidden calls.
        if repairs.orphan_entries == 0 {
            prop_assert_eq!(sums.paths(), non_empty_paths(&tree.nodes));
        }
        prop_assert_eq!(repairs, tree.repairs());
    }
}

/// The call events of a script except entries, one line each, in the order of the stream.
///
/// - The end of a call: depth, name, start, end, self time and ending. The name `?` stands for lost
///   events.
/// - An unmatched return: name and time.
/// - An instant event: marker and open calls, innermost first.
fn draw(script: &str, filter: &Filter) -> Vec<String> {
    let (trace, _directory) = testing::trace(script, 3);
    let names = trace.names().clone();
    let name = |frame| match frame {
        Frame::Function(code) => pyrec_schema::Code::parse(&names.code_str(code)).qualname.to_owned(),
        Frame::Gc => "gc".into(),
        _ => "?".into(),
    };
    let mut lines = Vec::new();
    let mut visit = |event: CallEvent, callers: Callers| {
        let path: Vec<String> = callers.outwards().map(|caller| name(caller.frame)).collect();
        match event {
            CallEvent::Enter(_) => {}
            CallEvent::Leave(call, end) => {
                let Call { depth, self_ns, entry, .. } = call;
                let (name, from_ns, to_ns) = (name(call.frame), entry.time_ns, end.time_ns);
                lines.push(format!("{depth} {name} {from_ns}-{to_ns} self {self_ns} {:?}", end.ending));
            }
            CallEvent::UnmatchedReturn(frame, event) => {
                lines.push(format!("  {} -{}", name(frame), event.time_ns))
            }
            CallEvent::Instant(event) => lines.push(format!("  {} in [{}]", event.marker, path.join(" "))),
        }
        Ok(())
    };
    read(&trace, filter, Columns::ALL, &mut visit).expect("the trace is valid");
    lines
}

fn draw_named(name: &str) -> Vec<String> {
    let scripts = testing::all("script");
    let (_, script) = scripts.iter().find(|(found, _)| found == name).expect("the script exists");
    draw(script, &Filter::default())
}

#[test]
fn every_ending_occurs() {
    assert_eq!(
        draw_named("lost"),
        [
            "  lost in [b a main]",
            "1 c 14-16 self 2 Returned",
            "0 ? 13-16 self 1 InLoss",
            "2 b 2-3 self 1 InLoss",
            "1 a 1-17 self 2 AcrossLoss",
            "1 d 18-19 self 1 Returned",
            "0 main 0-20 self 3 AcrossLoss",
        ]
    );
    assert_eq!(
        draw_named("never_returned"),
        [
            "1 b 1-2 self 1 Returned",
            "2 c 4-5 self 1 Returned",
            "1 b 3-5 self 1 NeverReturned",
            "0 a 0-9 self 6 Returned"
        ]
    );
    assert_eq!(
        draw_named("killed"),
        ["  line in [b a]", "  line in [b a]", "1 b 2-7 self 5 StillOpen", "0 a 0-7 self 2 StillOpen"]
    );
    assert_eq!(
        draw_named("attach"),
        ["  line in []", "  c -1", "0 d 3-5 self 2 Returned", "  b -6", "  a -8"]
    );
    assert_eq!(
        draw_named("reused_thread"),
        [
            "  line in [a]",
            "0 a 0-2 self 2 StillOpen",
            "  thread__exit in []",
            "  thread__start in []",
            "0 b 10-11 self 1 Returned"
        ]
    );
    assert_eq!(
        draw_named("gc"),
        ["2 del 3-6 self 3 Returned", "1 gc 2-7 self 2 Returned", "0 a 0-9 self 4 Returned"]
    );
}

/// `a` (100 ns) calls `b` (40 ns) and `c` (5 ns). `b` calls `c` (2 ns), which has an audit event.
const NESTED: &str = "
    0    7/7  function__entry   m.py:1:a  1
    20   7/7  function__entry   m.py:5:b  5
    30   7/7  function__entry   m.py:9:c  9
    31   7/7  audit             -         0  -  open
    32   7/7  function__return  m.py:9:c  9
    60   7/7  function__return  m.py:5:b  6
    70   7/7  function__entry   m.py:9:c  9
    75   7/7  function__return  m.py:9:c  9
    100  7/7  function__return  m.py:1:a  2
";

#[test]
fn the_time_of_a_call_below_the_minimum_is_charged_to_its_caller() {
    let filter = |min_time| Filter { min_time: Duration::from_nanos(min_time), ..Filter::default() };
    assert_eq!(
        draw(NESTED, &filter(5)),
        ["1 b 20-60 self 40 Returned", "1 c 70-75 self 5 Returned", "0 a 0-100 self 55 Returned"]
    );
    assert_eq!(draw(NESTED, &filter(101)), [""; 0]);
}

/// A call that overlaps the time window is visited with its whole duration, but only the self time
/// inside the window.
#[test]
fn calls_that_overlap_the_time_window_are_visited() {
    let time = Some("30ns-60ns".parse().expect("a valid time range"));
    assert_eq!(
        draw(NESTED, &Filter { time, ..Filter::default() }),
        [
            "  audit in [c b a]",
            "2 c 30-32 self 2 Returned",
            "1 b 20-60 self 28 Returned",
            "0 a 0-100 self 0 Returned"
        ]
    );
    let time = Some("61ns-69ns".parse().expect("a valid time range"));
    assert_eq!(draw(NESTED, &Filter { time, ..Filter::default() }), ["0 a 0-100 self 8 Returned"]);
}

#[test]
fn threads_have_separate_stacks() {
    let script = "
        0  7/8  function__entry   m.py:1:a  1
        1  7/9  function__entry   m.py:1:a  1
        2  7/8  function__return  m.py:1:a  1
        4  7/9  function__return  m.py:1:a  1
    ";
    assert_eq!(draw(script, &Filter::default()), ["0 a 0-2 self 2 Returned", "0 a 1-4 self 3 Returned"]);
    assert_eq!(draw(script, &Filter { tids: vec![9], ..Filter::default() }), ["0 a 1-4 self 3 Returned"]);
}
