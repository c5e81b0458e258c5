//! The rules by their scripts: `testdata/scripts/NAME.script` gives the tree in `NAME.tree`,
//! wherever its rows are divided.

use std::fmt::Write;
use std::sync::Arc;

use pyrec_schema::{Batch, Names};

use super::super::{CallTree, Frame, NodeId, Nodes, ROOT, TracePiece, read};
use crate::filter::TimeWindow;
use crate::{Filter, testing};

#[test]
fn every_script_gives_its_tree() {
    let trees = testing::all("tree");
    let scripts = testing::all("script");
    assert!(scripts.len() >= 15);
    assert!(
        scripts.iter().map(|(name, _)| name).eq(trees.iter().map(|(name, _)| name)),
        "every script has a tree"
    );
    for ((name, script), (_, tree)) in scripts.iter().zip(&trees) {
        let (names, batch) = read(script);
        assert_eq!(&draw(&whole(&batch, &names)), tree, "{name}");
    }
}

#[test]
fn every_script_gives_its_tree_wherever_it_is_divided() {
    for (name, script) in testing::all("script") {
        let (names, batch) = read(&script);
        let undivided = draw(&whole(&batch, &names));
        for first in 0..=batch.len() {
            for second in first..=batch.len() {
                let joined = join_pieces(&batch, &names, &[first, second]);
                assert_eq!(draw(&joined), undivided, "{name} divided at rows {first} and {second}");
            }
        }
    }
}

/// Every script as a file with row groups of three rows, read by one worker and by several.
#[test]
fn every_script_gives_its_tree_from_a_file() {
    for ((name, script), (_, tree)) in testing::all("script").into_iter().zip(testing::all("tree")) {
        let (trace, _directory) = testing::trace(&script, 3);
        for workers in 1..4 {
            let piece = read::rebuild_with(workers, &trace, TimeWindow::ALL).expect("the trace is valid");
            let manifest = testing::manifest(&[], &[]);
            let calls = CallTree::of(piece, &Filter::default(), trace.names().clone(), manifest, 0);
            assert_eq!(draw(&calls), tree, "{name} by {workers} workers");
        }
        let calls = CallTree::read(&trace, &Filter::default()).expect("the trace is valid");
        assert_eq!(draw(&calls), tree, "{name}");
    }
}

#[test]
fn a_filter_hides_frames_and_keeps_their_time() {
    let (names, batch) = read(
        "0   7/7  function__entry   m.py:1:a  1
         1   7/7  function__entry   n.py:5:b  5
         3   7/7  function__entry   m.py:9:c  9
         6   7/7  function__return  m.py:9:c  9
         10  7/7  function__return  n.py:5:b  6
         15  7/7  function__return  m.py:1:a  2",
    );
    let only = |filter: Filter| draw(&tree(TracePiece::first(TimeWindow::ALL), &batch, &names, &filter));
    let pattern = |text: &str| text.parse().expect("a valid pattern");

    assert_eq!(
        only(Filter { exclude: vec![pattern("b")], ..Filter::default() }),
        "a  calls 1  self 12  total 15  measured 1 min 15 max 15\n\
        \x20 c  calls 1  self 3  total 3  measured 1 min 3 max 3\noutside 0\n"
    );
    assert_eq!(
        only(Filter { include: vec![pattern("n.py")], ..Filter::default() }),
        "b  calls 1  self 9  total 9  measured 1 min 9 max 9\noutside 6\n"
    );
    assert_eq!(
        only(Filter { root: Some(pattern("b")), ..Filter::default() }),
        "b  calls 1  self 6  total 9  measured 1 min 9 max 9\n\
        \x20 c  calls 1  self 3  total 3  measured 1 min 3 max 3\noutside 0\n"
    );
    assert_eq!(
        only(Filter { root: Some(pattern("b")), exclude: vec![pattern("b")], ..Filter::default() }),
        "c  calls 1  self 3  total 3  measured 1 min 3 max 3\noutside 6\n"
    );
    assert_eq!(only(Filter { tids: vec![8], ..Filter::default() }), "outside 0\n");
}

/// A window from 2 to 8: a and b are open at its start, and c is called in it.
#[test]
fn only_what_is_in_the_window_is_measured() {
    let (names, batch) = read(
        "0   7/7  function__entry   m.py:1:a  1
         1   7/7  function__entry   n.py:5:b  5
         3   7/7  function__entry   m.py:9:c  9
         6   7/7  function__return  m.py:9:c  9
         10  7/7  function__return  n.py:5:b  6
         12  7/7  function__entry   n.py:5:b  5
         13  7/7  function__return  n.py:5:b  6
         15  7/7  function__return  m.py:1:a  2",
    );
    let piece = TracePiece::first(TimeWindow { from_ns: 2, to_ns: 8 });
    assert_eq!(
        draw(&tree(piece, &batch, &names, &Filter::default())),
        "a  calls 0  self 0  total 6  measured 0\n\
        \x20 b  calls 0  self 3  total 6  measured 0\n\
        \x20   c  calls 1  self 3  total 3  measured 1 min 3 max 3\noutside 0\n"
    );
}

fn read(script: &str) -> (Arc<Names>, Batch) {
    let names = Arc::new(Names::new());
    let batch = testing::rows(script, &names);
    (names, batch)
}

fn whole(batch: &Batch, names: &Arc<Names>) -> CallTree {
    tree(TracePiece::first(TimeWindow::ALL), batch, names, &Filter::default())
}

fn tree(mut piece: TracePiece, batch: &Batch, names: &Arc<Names>, filter: &Filter) -> CallTree {
    piece.push(batch, names);
    CallTree::of(piece, filter, names.clone(), testing::manifest(&[], &[]), 0)
}

fn join_pieces(batch: &Batch, names: &Arc<Names>, cuts: &[usize]) -> CallTree {
    let mut rows: Vec<_> = batch.iter().collect();
    let mut piece = TracePiece::first(TimeWindow::ALL);
    for &cut in cuts.iter().rev() {
        let mut middle = TracePiece::middle(TimeWindow::ALL);
        middle.push(&rows.split_off(cut).into_iter().collect(), names);
        // Joins from the right: first + (second + third).
        middle.join(std::mem::replace(&mut piece, TracePiece::middle(TimeWindow::ALL)));
        piece = middle;
    }
    let mut first = TracePiece::first(TimeWindow::ALL);
    first.push(&rows.into_iter().collect(), names);
    first.join(piece);
    CallTree::of(first, &Filter::default(), names.clone(), testing::manifest(&[], &[]), 0)
}

/// A tree in the form of the `.tree` files: siblings sorted by name, times in nanoseconds.
fn draw(calls: &CallTree) -> String {
    let mut text = String::new();
    let totals = calls.nodes.subtree_sums(|node| node.tally.self_ns);
    draw_below(calls, &totals, ROOT, 0, &mut text);
    let _ = writeln!(text, "outside {}", calls.nodes[ROOT].tally.self_ns);
    if calls.counts.lost > 0 {
        let _ = writeln!(text, "lost {}", calls.counts.lost);
    }
    for (kind, count) in calls.repairs().kinds().into_iter().filter(|&(_, count)| count > 0) {
        let _ = writeln!(text, "repaired {kind} {count}");
    }
    text
}

fn draw_below(calls: &CallTree, totals: &[u64], parent: NodeId, level: usize, text: &mut String) {
    let mut children: Vec<_> = children(&calls.nodes, parent)
        .map(|id| {
            let name = match calls.nodes[id].frame {
                Frame::Function(code) => {
                    pyrec_schema::Code::parse(&calls.names.code_str(code)).qualname.to_owned()
                }
                Frame::Cfunction(name) => calls.names.text_str(name).unwrap_or_default().to_string(),
                Frame::Gc => "(gc)".into(),
                Frame::Lost => "(lost)".into(),
                Frame::Thread => "(thread)".into(),
            };
            (name, id)
        })
        .collect();
    children.sort();
    for (name, id) in children {
        let (tally, total) = (calls.nodes[id].tally, totals[id as usize]);
        let _ = write!(text, "{:1$}{name}", "", 2 * level);
        let _ = write!(text, "  calls {}  self {}  total {total}", tally.calls(), tally.self_ns);
        let _ = write!(text, "  measured {}", tally.measured);
        if tally.measured > 0 {
            let _ = write!(text, " min {} max {}", tally.min_ns, tally.max_ns);
        }
        text.push('\n');
        draw_below(calls, totals, id, level + 1, text);
    }
}

fn children(nodes: &Nodes, parent: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    nodes.iter().filter(move |&(id, node)| id != parent && node.parent == parent).map(|(id, _)| id)
}
