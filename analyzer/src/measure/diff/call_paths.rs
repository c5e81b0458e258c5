//! Merges the call trees of all runs into one, and sums the calls of each function.

use rustc_hash::FxHashMap;

use super::samples::{CountVerdict, Samples};
use super::significance::TimeChange;
use crate::CallTree;
use crate::measure::alignment::{Alignment, FunctionId};
use crate::tree::WalkEvent;

/// The number and times of calls in each run: those on one call path, those of one function, or
/// those of the whole program.
#[derive(Clone, Debug, PartialEq)]
pub struct CallsDiff {
    /// The number of calls.
    pub calls: Samples,
    /// Time in the function itself.
    pub self_ns: TimeChange,
    /// Time in the function and its callees. In the sum of a function, a call inside another call
    /// of the same function adds nothing, because the outer call includes its time.
    pub total_ns: TimeChange,
}

/// A call path that one or more runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPath {
    /// The index of the caller's path in `CallPaths::paths`, less than that of this path. None
    /// for an outermost call.
    pub parent: Option<usize>,
    /// The last function of the path.
    pub function: FunctionId,
    /// The calls on the path.
    pub calls: CallsDiff,
}

/// The merged call tree. [`CallPaths::add`] adds one run at a time.
#[derive(Debug)]
pub struct CallPaths {
    /// The call paths, callers before their callees.
    pub paths: Vec<CallPath>,
    /// The sum over the calls of each function.
    pub functions: Vec<CallsDiff>,
    /// The sum over all calls.
    pub whole: CallsDiff,
    /// The number of old and of new runs.
    runs: (usize, usize),
    /// The index of a path, by the index of the caller's path and the last function.
    children: FxHashMap<(Option<usize>, FunctionId), usize>,
}

impl CallPaths {
    /// An empty tree. `runs` is the number of old and of new runs, `functions` the number of
    /// functions.
    pub fn new(runs: (usize, usize), functions: usize) -> CallPaths {
        let functions = (0..functions).map(|_| CallsDiff::zero(runs)).collect();
        let (paths, children) = Default::default();
        CallPaths { paths, functions, whole: CallsDiff::zero(runs), runs, children }
    }

    /// Adds the calls of a run.
    pub fn add(&mut self, run: usize, calls: &CallTree, alignment: &Alignment) {
        let totals_ns = calls.nodes.subtree_sums(|node| node.tally.self_ns);
        let mut paths: Vec<Option<usize>> = vec![None; totals_ns.len()];
        // How many calls of each function are on the path from the root to the current node.
        let mut open_calls = vec![0_u32; self.functions.len()];
        calls.nodes.walk(|step| {
            let (WalkEvent::Enter(id) | WalkEvent::Leave(id)) = step;
            let node = &calls.nodes[id];
            let Some(function) = alignment.function(run, node.frame) else { return };
            if let WalkEvent::Leave(_) = step {
                open_calls[function] -= 1;
                return;
            }
            let caller = paths[node.parent as usize];
            let path = self.child(caller, function);
            paths[id as usize] = Some(path);
            let (own, total_ns) = ((node.tally.calls(), node.tally.self_ns), totals_ns[id as usize]);
            let total_if = |is_outermost: bool| if is_outermost { total_ns } else { 0 };
            self.paths[path].calls.add(run, own, total_ns);
            self.functions[function].add(run, own, total_if(open_calls[function] == 0));
            self.whole.add(run, own, total_if(caller.is_none()));
            open_calls[function] += 1;
        });
    }

    fn child(&mut self, parent: Option<usize>, function: FunctionId) -> usize {
        *self.children.entry((parent, function)).or_insert_with(|| {
            self.paths.push(CallPath { parent, function, calls: CallsDiff::zero(self.runs) });
            self.paths.len() - 1
        })
    }
}

impl CallsDiff {
    /// Whether the number of calls has changed, or a time has changed significantly.
    pub fn has_changed(&self) -> bool {
        self.calls.verdict() == CountVerdict::Changed
            || self.self_ns.has_changed()
            || self.total_ns.has_changed()
    }

    /// Self time and total time.
    pub fn times(&mut self) -> [&mut TimeChange; 2] {
        [&mut self.self_ns, &mut self.total_ns]
    }

    fn zero((old_runs, new_runs): (usize, usize)) -> CallsDiff {
        let zero = || Samples::zero(old_runs, new_runs);
        CallsDiff { calls: zero(), self_ns: TimeChange::new(zero()), total_ns: TimeChange::new(zero()) }
    }

    fn add(&mut self, run: usize, (calls, self_ns): (u64, u64), total_ns: u64) {
        self.calls.add(run, calls);
        self.self_ns.samples.add(run, self_ns);
        self.total_ns.samples.add(run, total_ns);
    }
}
