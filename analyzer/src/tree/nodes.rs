//! Distinct call paths, each once.

use rustc_hash::FxHashMap;

use super::children::Children;
use super::{Durations, Frame};

/// Where a node is in its [`Nodes`].
pub type NodeId = u32;

/// Below every call: what runs in no recorded function.
pub const ROOT: NodeId = 0;

/// A sum that stops at the largest number: time that a stranger's file tells of may have been nowhere.
pub(crate) fn sum(quantities: impl Iterator<Item = u64>) -> u64 {
    quantities.fold(0, u64::saturating_add)
}

/// Distinct call paths in one flat vector, callers before what they call.
#[derive(Clone, Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    children: Children,
    /// How long single calls took. Kept per frame and not per path, since it takes more memory than a path.
    durations: Vec<Durations>,
    places: FxHashMap<Frame, u32>,
}

/// A step of a walk over all call paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// From a caller to what it calls.
    Down(NodeId),
    /// Back.
    Up(NodeId),
}

/// A call path, with what was counted and measured on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The last frame of the path.
    pub frame: Frame,
    /// The path without its last frame; the node itself where the path begins.
    pub parent: NodeId,
    /// Where the durations of the frame's calls are.
    durations: u32,
    /// What was counted and measured.
    pub tally: Tally,
}

/// What was counted and measured on a call path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Time in the last frame itself.
    pub self_ns: u64,
    /// Rows beside entries and returns: lines, imports, audit events.
    pub points: u64,
    /// Entries.
    pub entries: u64,
    /// Those of the entries whose return never came, so that they are no calls.
    pub orphans: u64,
    /// Calls that were measured from entry to return.
    pub measured: u64,
    /// Their time in all, with that of what they called.
    pub measured_ns: u64,
    /// The shortest of them.
    pub min_ns: u64,
    /// The longest of them.
    pub max_ns: u64,
}

impl Tally {
    /// Nothing yet.
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

    /// Counts a call that was measured from entry to return.
    #[inline]
    pub fn measure(&mut self, duration_ns: u64) {
        self.measured += 1;
        self.measured_ns = self.measured_ns.saturating_add(duration_ns);
        self.min_ns = self.min_ns.min(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Tally) {
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
        self.points += other.points;
        self.entries += other.entries;
        self.orphans += other.orphans;
        self.measured += other.measured;
        self.measured_ns = self.measured_ns.saturating_add(other.measured_ns);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Entries that were calls.
    pub fn calls(&self) -> u64 {
        self.entries - self.orphans
    }

    /// Rows that were recorded, taken that every entry which is a call has its return.
    pub fn rows(&self) -> u64 {
        self.entries + self.calls() + self.points
    }
}

impl Default for Nodes {
    fn default() -> Self {
        let mut nodes = Nodes {
            nodes: Vec::new(),
            children: Children::default(),
            durations: Vec::new(),
            places: FxHashMap::default(),
        };
        nodes.begin();
        nodes
    }
}

impl Nodes {
    /// A place where call paths begin.
    pub fn begin(&mut self) -> NodeId {
        self.push(Frame::Thread, self.next_id())
    }

    /// The path that is one frame longer.
    #[inline]
    pub fn child(&mut self, parent: NodeId, frame: Frame) -> NodeId {
        match self.children.find(&self.nodes, parent, frame) {
            Ok(child) => child,
            Err(slot) => self.new_child(parent, frame, slot),
        }
    }

    #[cold]
    fn new_child(&mut self, parent: NodeId, frame: Frame, slot: usize) -> NodeId {
        let child = self.push(frame, parent);
        self.children.insert(&self.nodes, slot);
        child
    }

    fn push(&mut self, frame: Frame, parent: NodeId) -> NodeId {
        let id = self.next_id();
        let durations = *self.places.entry(frame).or_insert_with(|| {
            self.durations.push(Durations::default());
            self.durations.len() as u32 - 1
        });
        self.nodes.push(Node { frame, parent, durations, tally: Tally::NONE });
        id
    }

    /// Takes note of a call that was measured from entry to return.
    #[inline]
    pub fn measure(&mut self, id: NodeId, duration_ns: u64) {
        let node = &mut self.nodes[id as usize];
        node.tally.measure(duration_ns);
        self.durations[node.durations as usize].record(duration_ns);
    }

    /// How long the calls of a frame took, on whichever path.
    pub fn durations(&self, frame: Frame) -> Option<&Durations> {
        self.places.get(&frame).map(|&place| &self.durations[place as usize])
    }

    /// The frames that there are, with how long their calls took, on whichever path. In no order.
    pub fn all_durations(&self) -> impl Iterator<Item = (Frame, &Durations)> {
        self.places.iter().map(|(&frame, &place)| (frame, &self.durations[place as usize]))
    }

    /// The same of one frame, to be added to. None where it is on no path.
    pub fn durations_mut(&mut self, frame: Frame) -> Option<&mut Durations> {
        self.places.get(&frame).map(|&place| &mut self.durations[place as usize])
    }

    /// Adds the durations of a frame's calls, on whichever path, from elsewhere. They are gone there, so it does not
    /// matter on how many paths the frame stands.
    pub fn take_durations(&mut self, id: NodeId, from: &mut Nodes, from_id: NodeId) {
        let durations = std::mem::take(&mut from.durations[from.nodes[from_id as usize].durations as usize]);
        self.durations[self.nodes[id as usize].durations as usize].join(durations);
    }

    fn next_id(&self) -> NodeId {
        NodeId::try_from(self.nodes.len()).expect("2^32 distinct call paths do not fit in memory")
    }

    /// How many call paths there are, their beginnings included. Numbers run from 0.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every node with its number, callers before what they call.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator {
        self.nodes.iter().enumerate().map(|(id, node)| (id as NodeId, node))
    }

    /// Walks every call path, down to each node and up again when its callees have been seen.
    pub fn walk(&self, mut visit: impl FnMut(Walk)) {
        let mut last_child: Vec<NodeId> = (0..self.next_id()).collect();
        let mut sibling = last_child.clone();
        let mut paths = Vec::new();
        for (id, node) in self.iter() {
            if node.parent == id {
                paths.push(Walk::Down(id));
            } else {
                let before = std::mem::replace(&mut last_child[node.parent as usize], id);
                sibling[id as usize] = if before == node.parent { id } else { before };
            }
        }
        while let Some(step) = paths.pop() {
            visit(step);
            if let Walk::Down(id) = step {
                paths.push(Walk::Up(id));
                let mut child = last_child[id as usize];
                let mut is_last = child == id;
                while !is_last {
                    paths.push(Walk::Down(child));
                    is_last = sibling[child as usize] == child;
                    child = sibling[child as usize];
                }
            }
        }
    }

    /// For every node, a quantity of it and all that it calls.
    pub fn sums(&self, quantity: impl Fn(&Node) -> u64) -> Vec<u64> {
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
