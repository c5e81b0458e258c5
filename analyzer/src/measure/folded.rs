//! Call paths with their weight: what a flame graph draws.

use super::naming::Naming;
use crate::CallTree;
use crate::measure::Trust;
use crate::tree::{Frame, Node, ROOT};

/// What makes a frame wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Running time, nanoseconds.
    #[default]
    Time,
    /// Calls.
    Calls,
}

/// Call paths with their weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Callers before what they call.
    pub frames: Vec<FoldedFrame>,
    /// What the weights are.
    pub weight: Weight,
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
    /// A name for people, with its module or file.
    pub label: String,
    /// Its own weight, without that of what it calls.
    pub own: u64,
}

impl Folded {
    /// Weighs every call path. A frame that took less than was asked for is part of its caller.
    pub fn of(calls: &CallTree, weight: Weight) -> Folded {
        let naming = Naming::of(calls);
        let totals = calls.nodes.sums(|node| node.tally.self_ns);
        let own = |node: &Node| match weight {
            Weight::Time => node.tally.self_ns,
            Weight::Calls if node.frame == Frame::Gc => 0,
            Weight::Calls => node.tally.calls(),
        };
        let mut frames: Vec<FoldedFrame> = Vec::new();
        let mut places: Vec<Option<usize>> = vec![None; calls.nodes.len()];
        for (id, node) in calls.nodes.iter() {
            if id == ROOT {
                continue;
            }
            let parent = places[node.parent as usize];
            places[id as usize] = if totals[id as usize] >= calls.min_time_ns {
                frames.push(FoldedFrame { parent, label: naming.label(node.frame), own: own(node) });
                Some(frames.len() - 1)
            } else {
                if let Some(parent) = parent {
                    frames[parent].own += own(node);
                }
                parent
            };
        }
        Folded { frames, weight, command: calls.manifest.command.clone(), trust: Trust::of(calls) }
    }

    /// The weight of each frame with all that it calls.
    pub fn totals(&self) -> Vec<u64> {
        let mut totals: Vec<u64> = self.frames.iter().map(|frame| frame.own).collect();
        for (at, frame) in self.frames.iter().enumerate().rev() {
            if let Some(parent) = frame.parent {
                totals[parent] += totals[at];
            }
        }
        totals
    }
}
