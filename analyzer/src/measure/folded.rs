//! Folded stacks: call paths with weights, which flame graphs draw.

use std::collections::BTreeMap;

use pyrec_schema::Code;
use rustc_hash::FxHashMap;

use super::frame_names::FrameNames;
use super::groups;
use crate::CallTree;
use crate::filter::Pattern;
use crate::measure::Trust;
use crate::tree::{self, Frame, GroupedCalls, Node, Nodes, ROOT, ThreadSummary};

/// What the width of a frame stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Self time, in nanoseconds.
    #[default]
    Time,
    /// The number of calls.
    Calls,
    /// Time in garbage collections, in nanoseconds.
    Gc,
}

/// Call paths with weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// The frames, parents before their children.
    pub frames: Vec<FoldedFrame>,
    /// What the weights stand for.
    pub weight: Weight,
    /// Whether the parent of a frame is its callee instead of its caller.
    pub is_reversed: bool,
    /// The command of the recording.
    pub command: Vec<String>,
    /// The data of the trust line.
    pub trust: Trust,
}

/// A frame: a node of the tree of call paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedFrame {
    /// The index of the parent in [`Folded::frames`].
    pub parent: Option<usize>,
    /// The function; [`Frame::Thread`] for the root of a thread or a group.
    pub frame: Frame,
    /// The name for reports, with module or file.
    pub label: String,
    /// The weight without that of its children.
    pub own: u64,
    /// Whether the search pattern matches it.
    pub is_found: bool,
}

/// The frame that receives the weight of a node of the call tree.
#[derive(Clone, Copy)]
struct NodeFrame {
    /// The index of the frame; none if the weight belongs to no frame.
    index: Option<usize>,
    /// Whether the node is a garbage collection, or inside one.
    in_gc: bool,
}

fn own_weight(node: &Node, in_gc: bool, weight: Weight) -> u64 {
    match weight {
        Weight::Time => node.tally.self_ns,
        Weight::Gc if in_gc => node.tally.self_ns,
        Weight::Calls if node.frame != Frame::Gc => node.tally.calls(),
        Weight::Gc | Weight::Calls => 0,
    }
}

impl Folded {
    /// Folds all call paths of a tree. A node whose total time is below the minimum gets no frame;
    /// its weight is added to the frame of its parent.
    pub fn of(calls: &CallTree, weight: Weight) -> Folded {
        let mut folded = Folded::empty(calls, weight);
        folded.add(&calls.nodes, None, calls, &FrameNames::of(calls));
        folded
    }

    /// Folds the call paths of each thread below a root frame with the thread's name. Each item of
    /// `threads` is an index into [`CallTree::threads`] and the call paths of that thread.
    pub fn by_thread(calls: &CallTree, threads: &[(usize, Nodes)], weight: Weight) -> Folded {
        let frame_names = FrameNames::of(calls);
        let has_processes = calls.threads.windows(2).any(|pair| pair[0].pid != pair[1].pid);
        let mut folded = Folded::empty(calls, weight);
        for (index, nodes) in threads {
            let ThreadSummary { pid, tid, info, .. } = &calls.threads[*index];
            let name = calls.names.text_str(info.name).map_or(String::new(), |name| format!(" {name}"));
            let process = if has_processes { format!(" of process {pid}") } else { String::new() };
            let label = format!("thread {tid}{name}{process}");
            let root = folded.add_root(label);
            folded.add(nodes, Some(root), calls, &frame_names);
        }
        folded
    }

    /// Folds the call paths of each group below a root frame with the group's name.
    pub fn by_group(groups: &GroupedCalls, weight: Weight) -> Folded {
        let calls = &groups.calls;
        let frame_names = FrameNames::of(calls);
        let mut folded = Folded::empty(calls, weight);
        for (label, own) in groups::labels(groups).into_iter().zip(groups.groups.values()) {
            let root = folded.add_root(label);
            folded.add(&own.nodes, Some(root), calls, &frame_names);
        }
        folded
    }

    /// Adds the root of a thread or a group. Returns its index.
    fn add_root(&mut self, label: String) -> usize {
        self.frames.push(FoldedFrame { parent: None, frame: Frame::Thread, label, own: 0, is_found: false });
        self.frames.len() - 1
    }

    fn empty(calls: &CallTree, weight: Weight) -> Folded {
        let (command, trust) = (calls.manifest.command.clone(), Trust::of(calls));
        Folded { frames: vec![], weight, is_reversed: false, command, trust }
    }

    fn add(&mut self, nodes: &Nodes, root: Option<usize>, calls: &CallTree, frame_names: &FrameNames) {
        let totals = nodes.subtree_sums(|node| node.tally.self_ns);
        let mut node_frames: Vec<NodeFrame> = vec![NodeFrame { index: root, in_gc: false }; nodes.len()];
        for (id, node) in nodes.iter().filter(|&(id, _)| id != ROOT) {
            let NodeFrame { index: parent, in_gc } = node_frames[node.parent as usize];
            let in_gc = in_gc || node.frame == Frame::Gc;
            let own = own_weight(node, in_gc, self.weight);
            let index = if totals[id as usize] >= calls.min_time_ns {
                let (frame, label) = (node.frame, frame_names.label(node.frame));
                self.frames.push(FoldedFrame { parent, frame, label, own, is_found: false });
                Some(self.frames.len() - 1)
            } else {
                if let Some(parent) = parent {
                    self.frames[parent].own = self.frames[parent].own.saturating_add(own);
                }
                parent
            };
            node_frames[id as usize] = NodeFrame { index, in_gc };
        }
    }

    /// Marks the frames that a search pattern matches.
    pub fn find(&mut self, pattern: &Pattern, calls: &CallTree) {
        let mut matches: FxHashMap<Frame, bool> = FxHashMap::default();
        for frame in &mut self.frames {
            frame.is_found = *matches.entry(frame.frame).or_insert_with(|| match frame.frame {
                Frame::Function(code) => pattern.is_match(&Code::parse(&calls.names.code_str(code))),
                Frame::Cfunction(text) => {
                    calls.names.text_str(text).is_some_and(|name| pattern.matches_name(&name))
                }
                Frame::Thread | Frame::Gc | Frame::Lost => false,
            });
        }
    }

    /// The weight of each frame including its descendants.
    pub fn totals(&self) -> Vec<u64> {
        let mut totals: Vec<u64> = self.frames.iter().map(|frame| frame.own).collect();
        for (index, frame) in self.frames.iter().enumerate().rev() {
            if let Some(parent) = frame.parent {
                totals[parent] = totals[parent].saturating_add(totals[index]);
            }
        }
        totals
    }

    /// The reversed call paths. Functions with a weight become roots, and callers become children.
    ///
    /// A caller gets no frame if its total weight is less than `min_weight`, or if it is more than
    /// `max_depth` levels below its root. Its weight then stays with its callee. A root with less
    /// than `min_weight` is left out. In the example, the numbers are own weights, and no frame is
    /// left out.
    ///
    /// ```text
    /// a 1             a 1
    /// ├ b 2     ▶     b
    /// └ c             ├ a 2
    ///   └ b 4         └ c
    ///                   └ a 4
    /// ```
    pub fn reversed(self, min_weight: u64, max_depth: usize) -> Folded {
        let mut labels: FxHashMap<&str, usize> = FxHashMap::default();
        let mut ids = Vec::with_capacity(self.frames.len());
        for (index, frame) in self.frames.iter().enumerate() {
            ids.push(*labels.entry(&frame.label).or_insert(index));
        }
        let weighted = self.frames.iter().enumerate().filter(|(_, frame)| frame.own > 0);
        let members: Vec<PathMember> =
            weighted.map(|(index, frame)| PathMember { index, weight: frame.own }).collect();
        let mut frames: Vec<FoldedFrame> = Vec::new();
        let mut waiting = vec![(None, members, 0)];
        while let Some((parent, members, depth)) = waiting.pop() {
            let mut groups: BTreeMap<usize, Vec<PathMember>> = BTreeMap::new();
            for member in members {
                groups.entry(ids[member.index]).or_default().push(member);
            }
            for (id, members) in groups {
                let weight = tree::saturating_sum(members.iter().map(|member| member.weight));
                if weight < min_weight {
                    continue;
                }
                if let Some(parent) = parent {
                    let parent: &mut FoldedFrame = &mut frames[parent];
                    parent.own = parent.own.saturating_sub(weight);
                }
                frames.push(FoldedFrame { parent, own: weight, ..self.frames[id].clone() });
                let caller = |member: PathMember| {
                    Some(PathMember { index: self.frames[member.index].parent?, ..member })
                };
                let callers: Vec<PathMember> = members.into_iter().filter_map(caller).collect();
                if depth < max_depth {
                    waiting.push((Some(frames.len() - 1), callers, depth + 1));
                }
            }
        }
        Folded { frames, is_reversed: true, ..self }
    }
}

/// The position of [`Folded::reversed`] on one call path. It starts at a frame with a weight and
/// moves to the caller with each level.
struct PathMember {
    /// The index of the frame that it has reached.
    index: usize,
    /// The own weight of the frame where it started.
    weight: u64,
}
