//! The part of a tree that is asked for.

use pyrec_schema::{Code, CodeId, Names};

use super::{Frame, NodeId, Nodes, ROOT};
use crate::Filter;

/// What a filter says about each function, looked up once.
#[derive(Debug)]
pub struct Lens<'a> {
    filter: &'a Filter,
    names: &'a Names,
    functions: Vec<Option<Verdict>>,
}

/// What a filter says about a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is shown; if not, its time is its caller's.
    pub shown: bool,
    /// Whether what is asked for begins in it.
    pub root: bool,
}

impl<'a> Lens<'a> {
    /// Looks through a filter.
    pub fn new(filter: &'a Filter, names: &'a Names) -> Self {
        Lens { filter, names, functions: Vec::new() }
    }

    /// Whether everything is shown that happens outside any call.
    pub fn is_open(&self) -> bool {
        self.filter.root.is_none()
    }

    /// What the filter says about a frame. Collections are of no function, so they are always shown.
    pub fn verdict(&mut self, frame: Frame) -> Verdict {
        match frame {
            Frame::Function(code) => self.function(code),
            Frame::Cfunction(text) => {
                let name = self.names.text_str(text).unwrap_or_default();
                self.judge(&Code { file: "", first_line: None, qualname: &name })
            }
            Frame::Thread | Frame::Gc | Frame::Lost => Verdict { shown: true, root: self.is_open() },
        }
    }

    /// What the filter says about a function.
    pub fn function(&mut self, code: CodeId) -> Verdict {
        let id = code.0 as usize;
        if let Some(&Some(verdict)) = self.functions.get(id) {
            return verdict;
        }
        let verdict = self.judge(&Code::parse(&self.names.code_str(code)));
        if id >= self.functions.len() {
            self.functions.resize(id + 1, None);
        }
        self.functions[id] = Some(verdict);
        verdict
    }

    fn judge(&self, code: &Code) -> Verdict {
        Verdict { shown: self.filter.has_code(code), root: self.filter.is_root(code) }
    }
}

/// Adds to `to` what is asked for of `from`: paths on which something was called or measured, without the frames that
/// the filter hides and without entries that turned out to be no calls. What is on a frame that goes is its caller's.
///
/// ```text
///  all        without b        only inside b
///  a          a                b
///  ├ b        ├ c              └ c
///  │ └ c      └ d
///  └ d
/// ```
///
/// Durations of single calls are kept per function and not per path, so nobody knows them inside one function only.
pub fn gather(from: &mut Nodes, lens: &mut Lens, to: &mut Nodes) {
    let weights = from.sums(|node| node.tally.self_ns.saturating_add(node.tally.calls()));
    let mut places: Vec<Option<NodeId>> = Vec::with_capacity(from.len());
    for id in 0..from.len() as NodeId {
        let node = from[id];
        if node.parent == id {
            places.push(lens.is_open().then_some(ROOT));
            to[ROOT].tally.add(&node.tally);
            continue;
        }
        let verdict = lens.verdict(node.frame);
        let caller = places[node.parent as usize].or(verdict.root.then_some(ROOT));
        let is_orphan = node.tally.orphans > 0 && node.tally.calls() == 0;
        let place = match caller {
            Some(caller) if weights[id as usize] == 0 || !verdict.shown || is_orphan => {
                let tally = &mut to[caller].tally;
                tally.self_ns = tally.self_ns.saturating_add(node.tally.self_ns);
                tally.points += node.tally.rows();
                Some(caller)
            }
            Some(caller) => {
                let place = to.child(caller, node.frame);
                to[place].tally.add(&node.tally);
                if lens.is_open() {
                    to.take_durations(place, from, id);
                }
                Some(place)
            }
            None => None,
        };
        places.push(place);
    }
}
