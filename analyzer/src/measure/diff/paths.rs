//! The call trees of all runs as one: every distinct call path of any run once.

use rustc_hash::FxHashMap;

use super::align::{Alignment, FunctionId};
use super::samples::Samples;
use crate::CallTree;
use crate::tree::Walk;

/// A call path of any run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where in the list its caller is, which comes before it.
    pub parent: Option<usize>,
    /// The last function of the path.
    pub function: FunctionId,
    /// What was counted and measured on it.
    pub sums: Sums,
}

/// What was counted and measured in each run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: Samples,
    /// Time in the function itself.
    pub self_ns: Samples,
    /// Time in it and what it called.
    pub total_ns: Samples,
}

impl Sums {
    fn none(runs: (usize, usize)) -> Sums {
        let none = || Samples::none(runs.0, runs.1);
        Sums { calls: none(), self_ns: none(), total_ns: none() }
    }
}

/// Call paths and functions over all runs.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Callers before what they call.
    pub paths: Vec<Path>,
    /// By function, a recursive call's time counted once.
    pub functions: Vec<Sums>,
    runs: (usize, usize),
    children: FxHashMap<(Option<usize>, FunctionId), usize>,
}

impl Paths {
    /// Nothing yet, of so many old and new runs with these functions.
    pub fn new(runs: (usize, usize), functions: usize) -> Paths {
        let functions = (0..functions).map(|_| Sums::none(runs)).collect();
        Paths { paths: Vec::new(), functions, runs, children: FxHashMap::default() }
    }

    /// Adds the calls of a run.
    pub fn add(&mut self, run: usize, calls: &CallTree, alignment: &Alignment) {
        let totals_ns = calls.nodes.sums(|node| node.tally.self_ns);
        let mut places: Vec<Option<usize>> = vec![None; totals_ns.len()];
        let mut on_path = vec![0_u32; self.functions.len()];
        calls.nodes.walk(|step| {
            let (Walk::Down(id) | Walk::Up(id)) = step;
            let node = &calls.nodes[id];
            let Some(function) = alignment.function(run, node.frame) else { return };
            if let Walk::Up(_) = step {
                on_path[function] -= 1;
                return;
            }
            let path = self.child(places[node.parent as usize], function);
            places[id as usize] = Some(path);
            let total_ns = totals_ns[id as usize];
            let own = (node.tally.calls(), node.tally.self_ns);
            let outermost_ns = if on_path[function] == 0 { total_ns } else { 0 };
            self.paths[path].sums.add(run, own, total_ns);
            self.functions[function].add(run, own, outermost_ns);
            on_path[function] += 1;
        });
    }

    fn child(&mut self, parent: Option<usize>, function: FunctionId) -> usize {
        *self.children.entry((parent, function)).or_insert_with(|| {
            self.paths.push(Path { parent, function, sums: Sums::none(self.runs) });
            self.paths.len() - 1
        })
    }

    /// Time in calls, by run.
    pub fn whole(&self) -> Sums {
        let mut whole = Sums::none(self.runs);
        for path in &self.paths {
            let outermost = path.parent.is_none();
            for run in 0..self.runs.0 + self.runs.1 {
                *whole.calls.of_run(run) += path.sums.calls.get(run);
                *whole.self_ns.of_run(run) += path.sums.self_ns.get(run);
                *whole.total_ns.of_run(run) += if outermost { path.sums.total_ns.get(run) } else { 0 };
            }
        }
        whole
    }
}

impl Sums {
    fn add(&mut self, run: usize, (calls, self_ns): (u64, u64), total_ns: u64) {
        *self.calls.of_run(run) += calls;
        *self.self_ns.of_run(run) += self_ns;
        *self.total_ns.of_run(run) += total_ns;
    }
}
