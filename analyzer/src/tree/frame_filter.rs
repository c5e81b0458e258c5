//! A filter applied to frames and to call trees.

use pyrec_schema::{Code, CodeId, Names};

use super::{Frame, NodeId, Nodes, ROOT};
use crate::Filter;

/// A filter applied to frames. Caches the result for each code object.
#[derive(Debug)]
pub struct FrameFilter<'a> {
    filter: &'a Filter,
    names: &'a Names,
    functions: Vec<Option<Selection>>,
}

/// Whether a filter selects a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whether it is shown. If not, its time is charged to its caller.
    pub shown: bool,
    /// Whether it is the root function, so that what happens inside its calls is selected.
    pub root: bool,
}

impl<'a> FrameFilter<'a> {
    /// Applies a filter to frames with these names.
    pub fn new(filter: &'a Filter, names: &'a Names) -> Self {
        FrameFilter { filter, names, functions: Vec::new() }
    }

    /// Whether the filter has no root function, so that what happens outside any call is selected,
    /// too.
    pub fn is_unrooted(&self) -> bool {
        self.filter.root.is_none()
    }

    /// Applies the filter to a frame. Garbage collections are always shown.
    pub fn select(&mut self, frame: Frame) -> Selection {
        match frame {
            Frame::Function(code) => self.select_code(code),
            Frame::Cfunction(text) => {
                let name = self.names.text_str(text).unwrap_or_default();
                self.apply(&Code { file: "", first_line: None, qualname: &name })
            }
            Frame::Thread | Frame::Gc | Frame::Lost => Selection { shown: true, root: self.is_unrooted() },
        }
    }

    /// Applies the filter to a Python function.
    pub fn select_code(&mut self, code: CodeId) -> Selection {
        let id = code.0 as usize;
        if let Some(&Some(selection)) = self.functions.get(id) {
            return selection;
        }
        let selection = self.apply(&Code::parse(&self.names.code_str(code)));
        if id >= self.functions.len() {
            self.functions.resize(id + 1, None);
        }
        self.functions[id] = Some(selection);
        selection
    }

    fn apply(&self, code: &Code) -> Selection {
        Selection { shown: self.filter.selects_code(code), root: self.filter.is_root(code) }
    }
}

/// Adds the selected part of the tree `from` to the tree `to`.
///
/// Frames that the filter hides are left out, as are paths with neither time nor calls, and paths
/// of which all entries turned out not to be calls. The time of a frame that is left out is charged
/// to its caller.
///
/// ```text
///  all        exclude b        root b
///  a          a                b
///  ├ b        ├ c              └ c
///  │ └ c      └ d
///  └ d
/// ```
///
/// With a root function, the durations of single calls are unknown, since they are stored by
/// function and not by path.
pub fn add_filtered(from: &mut Nodes, frames: &mut FrameFilter, to: &mut Nodes) {
    let weights = from.subtree_sums(|node| node.tally.self_ns.saturating_add(node.tally.calls()));
    let mut targets: Vec<Option<NodeId>> = Vec::with_capacity(from.len());
    for id in 0..from.len() as NodeId {
        let node = from[id];
        if node.parent == id {
            targets.push(frames.is_unrooted().then_some(ROOT));
            to[ROOT].tally.add(&node.tally);
            continue;
        }
        let selection = frames.select(node.frame);
        let caller = targets[node.parent as usize].or(selection.root.then_some(ROOT));
        let is_orphan = node.tally.orphans > 0 && node.tally.calls() == 0;
        let target = match caller {
            Some(caller) if weights[id as usize] == 0 || !selection.shown || is_orphan => {
                let tally = &mut to[caller].tally;
                tally.self_ns = tally.self_ns.saturating_add(node.tally.self_ns);
                tally.points = tally.points.saturating_add(node.tally.rows());
                Some(caller)
            }
            Some(caller) => {
                let target = to.child(caller, node.frame);
                to[target].tally.add(&node.tally);
                if frames.is_unrooted() {
                    to.take_durations(target, from, id);
                }
                Some(target)
            }
            None => None,
        };
        targets.push(target);
    }
}
