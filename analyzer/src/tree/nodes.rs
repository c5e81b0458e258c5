//! The nodes of a call tree: distinct call paths, each with its measurements.

use rustc_hash::FxHashMap;

use super::child_index::ChildIndex;
use super::{DurationHistogram, Frame};

/// The index of a node in its [`Nodes`].
pub type NodeId = u32;

/// The node below every call: what runs in no recorded function.
pub const ROOT: NodeId = 0;

/// Distinct call paths in a flat vector, in which callers come before what they call.
#[derive(Clone, Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    children: ChildIndex,
    /// The durations of single calls by frame: a histogram for each path would take too much
    /// memory.
    durations: Vec<DurationHistogram>,
    /// Indices in `durations`.
    histogram_of: FxHashMap<Frame, u32>,
}

/// One step of [`Nodes::walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEvent {
    /// A node is visited, before its children.
    Enter(NodeId),
    /// All children of a node have been visited.
    Leave(NodeId),
}

/// A call path with its measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The last frame of the path.
    pub frame: Frame,
    /// The path without its last frame. A root is its own parent.
    pub parent: NodeId,
    /// The index of the histogram of the frame.
    durations: u32,
    /// The measurements.
    pub tally: Tally,
}

/// Counts and times of a call path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Self time of the last frame, in nanoseconds.
    pub self_ns: u64,
    /// Rows other than entries and returns: lines, imports, audit events.
    pub points: u64,
    /// Entries of the last frame.
    pub entries: u64,
    /// Entries without a return although a caller returned, so that they do not count as calls.
    pub orphans: u64,
    /// Calls whose duration is known from entry to return.
    pub measured: u64,
    /// The sum of their durations, which include what they called.
    pub measured_ns: u64,
    /// The shortest of their durations.
    pub min_ns: u64,
    /// The longest of their durations.
    pub max_ns: u64,
}

impl Tally {
    /// No rows.
    pub const NONE: Tally = Tally {
        self_ns: 0,
        points: 0,
        entries: 0,
        orphans: 0,
        measured: 0,
        measured_ns: 0,
        min_ns: u64::MAX,
        max_ns: 0,
    };

    /// Counts a call with a known duration.
    #[inline]
    pub fn measure(&mut self, duration_ns: u64) {
        self.measured += 1;
        self.measured_ns = self.measured_ns.saturating_add(duration_ns);
        self.min_ns = self.min_ns.min(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
    }

    /// Adds the counts and times of another tally.
    pub fn add(&mut self, other: &Tally) {
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
        self.points = self.points.saturating_add(other.points);
        self.entries = self.entries.saturating_add(other.entries);
        self.orphans = self.orphans.saturating_add(other.orphans);
        self.measured = self.measured.saturating_add(other.measured);
        self.measured_ns = self.measured_ns.saturating_add(other.measured_ns);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Entries that count as calls.
    pub fn calls(&self) -> u64 {
        self.entries - self.orphans
    }

    /// Recorded rows, assuming that every entry that counts as a call has a return.
    pub fn rows(&self) -> u64 {
        self.entries.saturating_add(self.calls()).saturating_add(self.points)
    }
}

impl Default for Nodes {
    fn default() -> Self {
        let mut nodes = Nodes {
            nodes: Vec::new(),
            children: ChildIndex::default(),
            durations: Vec::new(),
            histogram_of: FxHashMap::default(),
        };
        nodes.add_root();
        nodes
    }
}

impl Nodes {
    /// Adds a root, at which call paths begin.
    pub fn add_root(&mut self) -> NodeId {
        self.push(Frame::Thread, self.next_id())
    }

    /// The child of a node with that frame, which is added if it is new.
    #[inline]
    pub fn child(&mut self, parent: NodeId, frame: Frame) -> NodeId {
        match self.children.find(parent, frame, key_of(&self.nodes)) {
            Ok(child) => child,
            Err(slot) => self.new_child(parent, frame, slot),
        }
    }

    #[cold]
    fn new_child(&mut self, parent: NodeId, frame: Frame, slot: usize) -> NodeId {
        let child = self.push(frame, parent);
        self.children.insert(child, slot, key_of(&self.nodes));
        child
    }

    fn push(&mut self, frame: Frame, parent: NodeId) -> NodeId {
        let id = self.next_id();
        let durations = *self.histogram_of.entry(frame).or_insert_with(|| {
            self.durations.push(DurationHistogram::default());
            self.durations.len() as u32 - 1
        });
        self.nodes.push(Node { frame, parent, durations, tally: Tally::NONE });
        id
    }

    /// Counts a call with a known duration.
    #[inline]
    pub fn measure(&mut self, id: NodeId, duration_ns: u64) {
        let node = &mut self.nodes[id as usize];
        node.tally.measure(duration_ns);
        self.durations[node.durations as usize].record(duration_ns);
    }

    /// The durations of the calls of a frame on all paths.
    pub fn durations(&self, frame: Frame) -> Option<&DurationHistogram> {
        self.histogram_of.get(&frame).map(|&histogram| &self.durations[histogram as usize])
    }

    /// All frames with the durations of their calls, in no particular order.
    pub fn all_durations(&self) -> impl Iterator<Item = (Frame, &DurationHistogram)> {
        self.histogram_of.iter().map(|(&frame, &histogram)| (frame, &self.durations[histogram as usize]))
    }

    /// The durations of the calls of a frame, to add to. None if the frame is on no path.
    pub fn durations_mut(&mut self, frame: Frame) -> Option<&mut DurationHistogram> {
        self.histogram_of.get(&frame).map(|&histogram| &mut self.durations[histogram as usize])
    }

    /// Moves the durations of a frame's calls from another tree to this one. The histogram in the
    /// other tree is empty afterwards, so calling this once for each path of the frame adds them
    /// once.
    pub fn take_durations(&mut self, id: NodeId, from: &mut Nodes, from_id: NodeId) {
        let durations = std::mem::take(&mut from.durations[from.nodes[from_id as usize].durations as usize]);
        self.durations[self.nodes[id as usize].durations as usize].join(durations);
    }

    fn next_id(&self) -> NodeId {
        NodeId::try_from(self.nodes.len()).expect("2^32 distinct call paths do not fit in memory")
    }

    /// The number of nodes, roots included. Ids run from 0.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// All nodes with their ids, callers before what they call.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator {
        self.nodes.iter().enumerate().map(|(id, node)| (id as NodeId, node))
    }

    /// Visits all nodes depth first: enters each node, then visits its children, then leaves it.
    pub fn walk(&self, mut visit: impl FnMut(WalkEvent)) {
        let mut last_child: Vec<NodeId> = (0..self.next_id()).collect();
        let mut sibling = last_child.clone();
        let mut pending = Vec::new();
        for (id, node) in self.iter() {
            if node.parent == id {
                pending.push(WalkEvent::Enter(id));
            } else {
                let before = std::mem::replace(&mut last_child[node.parent as usize], id);
                sibling[id as usize] = if before == node.parent { id } else { before };
            }
        }
        while let Some(step) = pending.pop() {
            visit(step);
            if let WalkEvent::Enter(id) = step {
                pending.push(WalkEvent::Leave(id));
                let mut child = last_child[id as usize];
                let mut is_last = child == id;
                while !is_last {
                    pending.push(WalkEvent::Enter(child));
                    is_last = sibling[child as usize] == child;
                    child = sibling[child as usize];
                }
            }
        }
    }

    /// For each node, the sum of a quantity over the node and all nodes below it.
    pub fn subtree_sums(&self, quantity: impl Fn(&Node) -> u64) -> Vec<u64> {
        let mut sums: Vec<u64> = self.nodes.iter().map(quantity).collect();
        for (id, node) in self.iter().rev() {
            if node.parent != id {
                let below = sums[id as usize];
                let sum = &mut sums[node.parent as usize];
                *sum = sum.saturating_add(below);
            }
        }
        sums
    }
}

/// Looks up the parent and the frame of a node, which identify it.
#[inline]
fn key_of(nodes: &[Node]) -> impl Fn(NodeId) -> (NodeId, Frame) + '_ {
    |id| {
        let node = &nodes[id as usize];
        (node.parent, node.frame)
    }
}

impl std::ops::Index<NodeId> for Nodes {
    type Output = Node;

    #[inline]
    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }
}

impl std::ops::IndexMut<NodeId> for Nodes {
    #[inline]
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }
}

#[cfg(test)]
mod tests {
    //! Nodes with many children, and deep paths.

    use pyrec_schema::{CodeId, TextId};

    use super::*;

    /// With as many probes for each child as it has siblings, this would take minutes.
    #[test]
    fn a_hundred_thousand_children_of_one_node() {
        let mut nodes = Nodes::default();
        let frame = |number: u32| match number % 2 {
            0 => Frame::Function(CodeId(number)),
            _ => Frame::Cfunction(TextId(number)),
        };
        let children: Vec<_> = (0..100_000).map(|number| nodes.child(ROOT, frame(number))).collect();
        let again: Vec<_> = (0..100_000).map(|number| nodes.child(ROOT, frame(number))).collect();
        assert_eq!(children, again);
        assert_eq!(nodes.len(), 100_001);
    }

    #[test]
    fn a_frame_with_many_parents() {
        let mut nodes = Nodes::default();
        let down = |nodes: &mut Nodes| (0..1_000).fold(ROOT, |parent, _| nodes.child(parent, Frame::Gc));
        assert_eq!(down(&mut nodes), 1_000);
        assert_eq!(down(&mut nodes), 1_000);
    }
}
