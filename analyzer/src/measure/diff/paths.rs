//! The call trees of all runs as one: every distinct call path of any run once.

use rustc_hash::FxHashMap;

use super::CallsDiff;
use super::align::{Alignment, FunctionId};
use super::evidence::Times;
use super::samples::Samples;
use crate::CallTree;
use crate::tree::WalkEvent;

/// A call path of any run.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Where in the list its caller is, which comes before it.
    pub parent: Option<usize>,
    /// The last function of the path.
    pub function: FunctionId,
    /// What was counted and measured on it.
    pub calls: CallsDiff,
}

/// Call paths and functions over all runs, in the making.
#[derive(Debug)]
pub struct Paths {
    /// Callers before what they call.
    pub paths: Vec<Path>,
    /// By function, a recursive call's time counted once.
    pub functions: Vec<CallsDiff>,
    /// All of it.
    pub whole: CallsDiff,
    runs: (usize, usize),
    children: FxHashMap<(Option<usize>, FunctionId), usize>,
}

impl Paths {
    /// Nothing yet, of so many old and new runs with these functions.
    pub fn new(runs: (usize, usize), functions: usize) -> Paths {
        let functions = (0..functions).map(|_| CallsDiff::none(runs)).collect();
        let (paths, children) = Default::default();
        Paths { paths, functions, whole: CallsDiff::none(runs), runs, children }
    }

    /// Adds the calls of a run.
    pub fn add(&mut self, run: usize, calls: &CallTree, alignment: &Alignment) {
        let totals_ns = calls.nodes.subtree_sums(|node| node.tally.self_ns);
        let mut places: Vec<Option<usize>> = vec![None; totals_ns.len()];
        let mut on_path = vec![0_u32; self.functions.len()];
        calls.nodes.walk(|step| {
            let (WalkEvent::Enter(id) | WalkEvent::Leave(id)) = step;
            let node = &calls.nodes[id];
            let Some(function) = alignment.function(run, node.frame) else { return };
            if let WalkEvent::Leave(_) = step {
                on_path[function] -= 1;
                return;
            }
            let caller = places[node.parent as usize];
            let path = self.child(caller, function);
            places[id as usize] = Some(path);
            let (own, total_ns) = ((node.tally.calls(), node.tally.self_ns), totals_ns[id as usize]);
            let only = |is_counted: bool| if is_counted { total_ns } else { 0 };
            self.paths[path].calls.add(run, own, total_ns);
            self.functions[function].add(run, own, only(on_path[function] == 0));
            self.whole.add(run, own, only(caller.is_none()));
            on_path[function] += 1;
        });
    }

    fn child(&mut self, parent: Option<usize>, function: FunctionId) -> usize {
        *self.children.entry((parent, function)).or_insert_with(|| {
            self.paths.push(Path { parent, function, calls: CallsDiff::none(self.runs) });
            self.paths.len() - 1
        })
    }
}

impl CallsDiff {
    fn none((old_runs, new_runs): (usize, usize)) -> CallsDiff {
        let none = || Samples::none(old_runs, new_runs);
        CallsDiff { calls: none(), self_ns: Times::new(none()), total_ns: Times::new(none()) }
    }

    fn add(&mut self, run: usize, (calls, self_ns): (u64, u64), total_ns: u64) {
        self.calls.add(run, calls);
        self.self_ns.samples.add(run, self_ns);
        self.total_ns.samples.add(run, total_ns);
    }
}
