//! Tests of the rebuild: each rule by its script, and all of them against a reference
//! implementation.

pub(crate) mod any_stream;
mod reference;
mod rules;

use std::collections::BTreeMap;

use proptest::prelude::ProptestConfig;

use super::{Frame, NodeId, Nodes, Tally};

/// A configuration with at least that many cases, or more if PROPTEST_CASES is higher.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: cases.max(default.cases), ..default }
}

/// The tallies by path, so that trees compare equal regardless of the order of their nodes.
pub(crate) fn by_path(nodes: &Nodes) -> BTreeMap<Vec<Label>, Tally> {
    let mut paths: Vec<Vec<Label>> = Vec::new();
    let mut found: BTreeMap<Vec<Label>, Tally> = BTreeMap::new();
    for (id, node) in nodes.iter() {
        let mut path = if node.parent == id { vec![] } else { paths[node.parent as usize].clone() };
        if node.parent != id {
            path.push(Label::of(node.frame));
        }
        found.entry(path.clone()).or_insert(Tally::NONE).add(&node.tally);
        paths.push(path);
    }
    found
}

/// A sortable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label(u8, u32);

impl Label {
    pub(crate) fn of(frame: Frame) -> Label {
        match frame {
            Frame::Thread => Label(0, 0),
            Frame::Function(code) => Label(1, code.0),
            Frame::Cfunction(text) => Label(2, text.0),
            Frame::Gc => Label(3, 0),
            Frame::Lost => Label(4, 0),
        }
    }
}

/// The node with a path.
fn find(nodes: &Nodes, path: &[Frame]) -> Option<NodeId> {
    path.iter().try_fold(super::ROOT, |parent, &frame| {
        let is_child = |(id, node): &(NodeId, &super::Node)| {
            *id != parent && node.parent == parent && node.frame == frame
        };
        nodes.iter().find(is_child).map(|(id, _)| id)
    })
}
