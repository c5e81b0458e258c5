//! Call paths with their weight: what a flame graph draws.

use std::collections::BTreeMap;

use pyrec_schema::Code;
use rustc_hash::FxHashMap;

use super::frame_names::FrameNames;
use super::groups;
use crate::CallTree;
use crate::filter::Pattern;
use crate::measure::Trust;
use crate::tree::{self, Frame, GroupedCalls, Node, Nodes, ROOT, ThreadSummary};

/// What makes a frame wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Running time, nanoseconds.
    #[default]
    Time,
    /// Calls.
    Calls,
    /// Time in pauses for garbage collection.
    Gc,
}

/// Call paths with their weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Callers before what they call.
    pub frames: Vec<FoldedFrame>,
    /// What the weights are.
    pub weight: Weight,
    /// Whether a frame's parent is what it calls, instead of its caller.
    pub is_reversed: bool,
    /// What was run.
    pub command: Vec<String>,
    /// How far to trust it.
    pub trust: Trust,
}

/// One frame of a call path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedFrame {
    /// Where in [`Folded::frames`] its caller is.
    pub parent: Option<usize>,
    /// What it is; [`Frame::Thread`] below the calls of a thread or a group.
    pub frame: Frame,
    /// A name for people, with its module or file.
    pub label: String,
    /// Its own weight, without that of what it calls.
    pub own: u64,
    /// Whether it is what somebody looks for.
    pub is_found: bool,
}

/// Where the frame of a node is.
#[derive(Clone, Copy)]
struct Place {
    frame: Option<usize>,
    /// Whether it is a pause for garbage collection, or what that runs.
    in_gc: bool,
}

fn own(node: &Node, in_gc: bool, weight: Weight) -> u64 {
    match weight {
        Weight::Time => node.tally.self_ns,
        Weight::Gc if in_gc => node.tally.self_ns,
        Weight::Calls if node.frame != Frame::Gc => node.tally.calls(),
        Weight::Gc | Weight::Calls => 0,
    }
}

impl Folded {
    /// Weighs every call path. A frame that took less than was asked for is part of its caller.
    pub fn of(calls: &CallTree, weight: Weight) -> Folded {
        let mut folded = Folded::none(calls, weight);
        folded.add(&calls.nodes, None, calls, &FrameNames::of(calls));
        folded
    }

    /// The same with the call paths of each thread on a frame that names the thread.
    pub fn by_thread(calls: &CallTree, threads: &[(usize, Nodes)], weight: Weight) -> Folded {
        let naming = FrameNames::of(calls);
        let has_processes = calls.threads.windows(2).any(|pair| pair[0].pid != pair[1].pid);
        let mut folded = Folded::none(calls, weight);
        for (at, nodes) in threads {
            let ThreadSummary { pid, tid, info, .. } = &calls.threads[*at];
            let name = calls.names.text_str(info.name).map_or(String::new(), |name| format!(" {name}"));
            let process = if has_processes { format!(" of process {pid}") } else { String::new() };
            let label = format!("thread {tid}{name}{process}");
            let base = folded.base(label);
            folded.add(nodes, Some(base), calls, &naming);
        }
        folded
    }

    /// The same with the call paths of each group on a frame that names the group.
    pub fn by_group(groups: &GroupedCalls, weight: Weight) -> Folded {
        let calls = &groups.calls;
        let naming = FrameNames::of(calls);
        let mut folded = Folded::none(calls, weight);
        for (label, own) in groups::labels(groups).into_iter().zip(groups.groups.values()) {
            let base = folded.base(label);
            folded.add(&own.nodes, Some(base), calls, &naming);
        }
        folded
    }

    /// A frame below the calls of a thread or a group. Returns where it is.
    fn base(&mut self, label: String) -> usize {
        self.frames.push(FoldedFrame { parent: None, frame: Frame::Thread, label, own: 0, is_found: false });
        self.frames.len() - 1
    }

    fn none(calls: &CallTree, weight: Weight) -> Folded {
        let (command, trust) = (calls.manifest.command.clone(), Trust::of(calls));
        Folded { frames: vec![], weight, is_reversed: false, command, trust }
    }

    fn add(&mut self, nodes: &Nodes, base: Option<usize>, calls: &CallTree, naming: &FrameNames) {
        let totals = nodes.subtree_sums(|node| node.tally.self_ns);
        let mut places: Vec<Place> = vec![Place { frame: base, in_gc: false }; nodes.len()];
        for (id, node) in nodes.iter().filter(|&(id, _)| id != ROOT) {
            let Place { frame: parent, in_gc } = places[node.parent as usize];
            let in_gc = in_gc || node.frame == Frame::Gc;
            let own = own(node, in_gc, self.weight);
            let frame = if totals[id as usize] >= calls.min_time_ns {
                let (frame, label) = (node.frame, naming.label(node.frame));
                self.frames.push(FoldedFrame { parent, frame, label, own, is_found: false });
                Some(self.frames.len() - 1)
            } else {
                if let Some(parent) = parent {
                    self.frames[parent].own = self.frames[parent].own.saturating_add(own);
                }
                parent
            };
            places[id as usize] = Place { frame, in_gc };
        }
    }

    /// Marks the functions that somebody looks for.
    pub fn find(&mut self, function: &Pattern, calls: &CallTree) {
        let mut known: FxHashMap<Frame, bool> = FxHashMap::default();
        for frame in &mut self.frames {
            frame.is_found = *known.entry(frame.frame).or_insert_with(|| match frame.frame {
                Frame::Function(code) => function.is_match(&Code::parse(&calls.names.code_str(code))),
                Frame::Cfunction(text) => {
                    calls.names.text_str(text).is_some_and(|name| function.matches_name(&name))
                }
                Frame::Thread | Frame::Gc | Frame::Lost => false,
            });
        }
    }

    /// The weight of each frame with all that it calls.
    pub fn totals(&self) -> Vec<u64> {
        let mut totals: Vec<u64> = self.frames.iter().map(|frame| frame.own).collect();
        for (at, frame) in self.frames.iter().enumerate().rev() {
            if let Some(parent) = frame.parent {
                totals[parent] = totals[parent].saturating_add(totals[at]);
            }
        }
        totals
    }

    /// The same from the other end: what has weight of its own, and above it who called it. What weighs less than
    /// `least`, or has more than so many levels below it, is part of what it stands on.
    ///
    /// ```text
    /// a 1             a 1
    /// ├ b 2     ▶     b 6
    /// └ c             ├ a 2
    ///   └ b 4         └ c
    ///                   └ a 4
    /// ```
    pub fn reversed(self, least: u64, levels: usize) -> Folded {
        let mut labels: FxHashMap<&str, usize> = FxHashMap::default();
        let mut ids = Vec::with_capacity(self.frames.len());
        for (at, frame) in self.frames.iter().enumerate() {
            ids.push(*labels.entry(&frame.label).or_insert(at));
        }
        let heavy = self.frames.iter().enumerate().filter(|(_, frame)| frame.own > 0);
        let members: Vec<Member> = heavy.map(|(at, frame)| Member { at, weight: frame.own }).collect();
        let mut frames: Vec<FoldedFrame> = Vec::new();
        let mut waiting = vec![(None, members, 0)];
        while let Some((parent, members, level)) = waiting.pop() {
            let mut groups: BTreeMap<usize, Vec<Member>> = BTreeMap::new();
            for member in members {
                groups.entry(ids[member.at]).or_default().push(member);
            }
            for (id, members) in groups {
                let weight = tree::saturating_sum(members.iter().map(|member| member.weight));
                if weight < least {
                    continue;
                }
                if let Some(parent) = parent {
                    let below: &mut FoldedFrame = &mut frames[parent];
                    below.own = below.own.saturating_sub(weight);
                }
                frames.push(FoldedFrame { parent, own: weight, ..self.frames[id].clone() });
                let caller = |member: Member| Some(Member { at: self.frames[member.at].parent?, ..member });
                let callers: Vec<Member> = members.into_iter().filter_map(caller).collect();
                if level < levels {
                    waiting.push((Some(frames.len() - 1), callers, level + 1));
                }
            }
        }
        Folded { frames, is_reversed: true, ..self }
    }
}

/// A frame on the way from where weight is to the outermost caller.
struct Member {
    at: usize,
    weight: u64,
}
