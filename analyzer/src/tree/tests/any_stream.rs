//! Property tests on random, unbalanced rows: agreement with the reference implementation, and the
//! same tree wherever the rows are divided.

use proptest::prelude::*;
use pyrec_schema::{CodeId, Marker};

use super::super::thread_piece::{ThreadPiece, TimedOp};
use super::super::{Frame, Node, Nodes, ROOT, StackOp};
use super::{by_path, find, reference};
use crate::filter::TimeWindow;

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![9 => (1..5u32).prop_map(|code| Frame::Function(CodeId(code))), 1 => Just(Frame::Gc)]
}

/// Operations with about as many entries as returns, so that stacks grow, shrink and are
/// unbalanced.
fn op() -> impl Strategy<Value = StackOp> {
    prop_oneof![
        10 => frame().prop_map(StackOp::Enter),
        10 => frame().prop_map(StackOp::Leave),
        1 => (1..5u32).prop_map(|code| StackOp::Open(Frame::Function(CodeId(code)))),
        3 => Just(StackOp::Instant),
        1 => (0..20i64).prop_map(|ago_ns| StackOp::Lose { from_ns: ago_ns }),
        1 => Just(StackOp::Clear),
    ]
}

/// Up to 60 rows, some of which run backwards in time.
pub(crate) fn rows() -> impl Strategy<Value = Vec<TimedOp>> {
    let waits = prop_oneof![8 => 0..10i64, 1 => -10..0i64];
    prop::collection::vec((waits, op()), 0..60).prop_map(|ops| {
        let mut time_ns = 100;
        let mut row = |(wait_ns, op)| {
            time_ns += wait_ns;
            let op = match op {
                StackOp::Lose { from_ns: ago_ns } => StackOp::Lose { from_ns: time_ns - ago_ns },
                op => op,
            };
            TimedOp { time_ns, op }
        };
        ops.into_iter().map(&mut row).collect()
    })
}

/// Reads rows with [`ThreadPiece::push`] only.
fn read_one_by_one(mut piece: ThreadPiece, rows: &[TimedOp]) -> ThreadPiece {
    rows.iter().for_each(|&row| piece.push(row));
    piece
}

/// Reads rows as columns, with [`ThreadPiece::push_plain`] where that reads them.
fn read(mut piece: ThreadPiece, mut rows: &[TimedOp]) -> ThreadPiece {
    let times_ns: Vec<i64> = rows.iter().map(|row| row.time_ns).collect();
    let functions: Vec<(Marker, CodeId)> = rows
        .iter()
        .map(|row| match row.op {
            StackOp::Enter(Frame::Function(code)) => (Marker::FunctionEntry, code),
            StackOp::Leave(Frame::Function(code)) => (Marker::FunctionReturn, code),
            _ => (Marker::Source, CodeId::NONE),
        })
        .collect();
    let (markers, codes): (Vec<Marker>, Vec<CodeId>) = functions.into_iter().unzip();
    while !rows.is_empty() {
        let from = times_ns.len() - rows.len();
        rows = &rows[piece.push_plain(&times_ns[from..], &markers[from..], &codes[from..])..];
        if let Some((&row, rest)) = rows.split_first() {
            piece.push(row);
            rows = rest;
        }
    }
    piece
}

/// Joins neighbouring pieces in an order determined by `choices`.
fn join_all(mut pieces: Vec<ThreadPiece>, choices: &[usize]) -> ThreadPiece {
    let mut choices = choices.iter().cycle();
    while pieces.len() > 1 {
        let at = choices.next().map_or(0, |choice| choice % (pieces.len() - 1));
        let next = pieces.remove(at + 1);
        pieces[at].join(next);
    }
    pieces.remove(0)
}

proptest! {
    #![proptest_config(super::cases(2_000))]

    #[test]
    fn the_tree_agrees_with_the_reference_implementation(rows in rows()) {
        let finished = read(ThreadPiece::first(TimeWindow::ALL), &rows).finish();
        let expected = reference::rebuild(&rows);
        prop_assert_eq!(by_path(&finished.nodes), expected.paths);
        prop_assert_eq!(finished.repairs, expected.repairs);
    }

    #[test]
    fn push_plain_has_the_effect_of_push(rows in rows()) {
        let plain = read(ThreadPiece::first(TimeWindow::ALL), &rows).finish();
        let all = read_one_by_one(ThreadPiece::first(TimeWindow::ALL), &rows).finish();
        prop_assert_eq!(by_path(&plain.nodes), by_path(&all.nodes));
        prop_assert_eq!(plain.repairs, all.repairs);
    }

    #[test]
    fn the_tree_does_not_depend_on_where_rows_are_divided(
        rows in rows(),
        mut cuts in prop::collection::vec(0..60usize, 1..6),
        choices in prop::collection::vec(0..6usize, 1..6),
        from_ns in 80..160i64,
        length_ns in prop_oneof![0..80i64, Just(i64::MAX / 2)],
    ) {
        let window = TimeWindow { from_ns, to_ns: from_ns + length_ns };
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(rows.len()));
        cuts.sort_unstable();
        let bounds: Vec<usize> = [0].into_iter().chain(cuts).chain([rows.len()]).collect();
        let pieces = bounds.windows(2).enumerate().map(|(number, bound)| {
            let empty = if number == 0 { ThreadPiece::first(window) } else { ThreadPiece::middle(window) };
            read(empty, &rows[bound[0]..bound[1]])
        });
        let joined = join_all(pieces.collect(), &choices).finish();
        let whole = read(ThreadPiece::first(window), &rows).finish();
        prop_assert_eq!(by_path(&joined.nodes), by_path(&whole.nodes));
        prop_assert_eq!(joined.repairs, whole.repairs);
        for frame in (1..5u32).map(|code| Frame::Function(CodeId(code))).chain([Frame::Gc]) {
            let quantile_ns = |nodes: &Nodes| nodes.durations(frame).and_then(|durations| durations.quantile_ns(0.9));
            prop_assert_eq!(quantile_ns(&joined.nodes), quantile_ns(&whole.nodes));
        }
    }

    #[test]
    fn no_time_and_no_entry_is_lost(rows in rows()) {
        let finished = read(ThreadPiece::first(TimeWindow::ALL), &rows).finish();
        let all = |quantity: fn(&Node) -> u64| finished.nodes.subtree_sums(quantity)[ROOT as usize];

        let entries = rows.iter().filter(|row| matches!(row.op, StackOp::Enter(_) | StackOp::Open(_))).count() as u64;
        prop_assert_eq!(all(|node| node.tally.entries), entries);

        let measured_ns: i64 = rows.windows(2).map(|pair| {
            let until_ns = match pair[1].op {
                StackOp::Lose { from_ns } => from_ns.min(pair[1].time_ns),
                _ => pair[1].time_ns,
            };
            (until_ns - pair[0].time_ns).max(0)
        }).sum();
        prop_assert_eq!(all(|node| node.tally.self_ns), measured_ns as u64);
    }
}

/// A hundred times Python's recursion limit, divided in the middle: no stack overflow, and linear
/// time.
#[test]
fn a_hundred_thousand_nested_calls() {
    let depth = 100_000;
    let frame = |level: u32| Frame::Function(CodeId(1 + level % 3));
    let down = (0..depth).map(|level| TimedOp { time_ns: level.into(), op: StackOp::Enter(frame(level)) });
    let up = (0..depth).map(|level| TimedOp {
        time_ns: (depth + level).into(),
        op: StackOp::Leave(frame(depth - 1 - level)),
    });
    let rows: Vec<TimedOp> = down.chain(up).collect();

    let mut first = read(ThreadPiece::first(TimeWindow::ALL), &rows[..150_000]);
    first.join(read(ThreadPiece::middle(TimeWindow::ALL), &rows[150_000..]));
    let finished = first.finish();

    assert_eq!(finished.nodes.len(), depth as usize + 1);
    assert_eq!(finished.repairs.total(), 0);
    let top = find(&finished.nodes, &[frame(0)]).expect("the outermost call has a node");
    assert_eq!(finished.nodes[top].tally.measured_ns, 2 * u64::from(depth) - 1);
}

/// A hundred thousand unmatched returns while a hundred thousand calls are open: each takes
/// constant time.
#[test]
fn an_unmatched_return_takes_constant_time() {
    let open =
        (0..100_000).map(|time_ns| TimedOp { time_ns, op: StackOp::Enter(Frame::Function(CodeId(1))) });
    let stray = (100_000..200_000).map(|time_ns| TimedOp { time_ns, op: StackOp::Leave(Frame::Gc) });
    let rows: Vec<TimedOp> = open.chain(stray).collect();
    let finished = read(ThreadPiece::first(TimeWindow::ALL), &rows).finish();
    assert_eq!(finished.repairs.unmatched_returns, 100_000);
    assert_eq!(finished.repairs.still_open, 100_000);
}
