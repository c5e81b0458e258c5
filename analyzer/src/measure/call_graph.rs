//! The call graph: functions, and the calls between each pair of them, summed over all call paths.

use pyrec_schema::Code;
use rustc_hash::FxHashMap;

use super::frame_names::{self, FrameNames};
use crate::CallTree;
use crate::measure::Trust;
use crate::tree::{Frame, NodeId, Tally, WalkEvent};

/// The call graph.
#[derive(Clone, Debug, PartialEq)]
pub struct CallGraph {
    /// The functions that the filter selects, sorted by file, line and name.
    pub functions: Vec<GraphFunction>,
    /// The calls between two of them, sorted by caller and callee.
    pub edges: Vec<CallEdge>,
    /// The command of the recording.
    pub command: Vec<String>,
    /// The trust of the recording.
    pub trust: Trust,
}

/// A function of the call graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphFunction {
    /// The name.
    pub name: FunctionName,
    /// Sums over all its calls.
    pub sum: CallSums,
}

/// The name of a function. Functions with equal names are one node of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName {
    /// `co_filename`; none for what is not a Python function.
    pub file: Option<String>,
    /// `co_firstlineno`; 0 where it is unknown.
    pub first_line: u32,
    /// The name; in angle brackets for what is not a Python function.
    pub function: String,
}

/// The calls from one function to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallEdge {
    /// The index of the caller in [`CallGraph::functions`].
    pub caller: usize,
    /// The index of the callee in [`CallGraph::functions`].
    pub callee: usize,
    /// Sums over these calls.
    pub sum: CallSums,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallSums {
    /// The number of calls.
    pub calls: u64,
    /// The number of calls that are not inside another one of these calls.
    pub primitive: u64,
    /// Self time.
    pub self_ns: u64,
    /// Total time. A call inside another one of these calls is counted once.
    pub total_ns: u64,
}

/// Selects the plain or the qualified name of a function.
pub type NameChoice = for<'a> fn(&Code<'a>) -> &'a str;

/// Sums over the call paths that end in a function, or in a call of one function by another.
#[derive(Debug, Default)]
struct CallAccumulator {
    sum: CallSums,
    /// The number of occurrences on the current call path.
    on_path: u32,
}

impl CallAccumulator {
    fn enter(&mut self, tally: &Tally, total_ns: u64) {
        self.sum.calls += tally.calls();
        self.sum.self_ns = self.sum.self_ns.saturating_add(tally.self_ns);
        if self.on_path == 0 {
            self.sum.primitive += tally.calls();
            self.sum.total_ns = self.sum.total_ns.saturating_add(total_ns);
        }
        self.on_path += 1;
    }
}

impl CallGraph {
    /// Sums all call paths of a tree.
    pub fn of(calls: &CallTree, name: NameChoice) -> CallGraph {
        let (names, indices) = names(calls, name);
        let index = |id: NodeId| indices[&calls.nodes[id].frame];
        let totals = calls.nodes.subtree_sums(|node| node.tally.self_ns);
        let mut functions: Vec<CallAccumulator> = names.iter().map(|_| CallAccumulator::default()).collect();
        let mut edges: FxHashMap<(usize, usize), CallAccumulator> = FxHashMap::default();
        calls.nodes.walk(|step| {
            let (WalkEvent::Enter(id) | WalkEvent::Leave(id)) = step;
            let node = &calls.nodes[id];
            if node.frame == Frame::Thread {
                return;
            }
            let caller = (calls.nodes[node.parent].frame != Frame::Thread).then(|| index(node.parent));
            let edge = caller.map(|caller| edges.entry((caller, index(id))).or_default());
            for sums in edge.into_iter().chain([&mut functions[index(id)]]) {
                match step {
                    WalkEvent::Enter(_) => sums.enter(&node.tally, totals[id as usize]),
                    WalkEvent::Leave(_) => sums.on_path -= 1,
                }
            }
        });
        CallGraph::sorted(names, &functions, &edges, calls)
    }

    /// Sorts functions and edges, and drops functions below the minimum time.
    fn sorted(
        names: Vec<FunctionName>,
        functions: &[CallAccumulator],
        edges: &FxHashMap<(usize, usize), CallAccumulator>,
        calls: &CallTree,
    ) -> CallGraph {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.retain(|&index| functions[index].sum.total_ns >= calls.min_time_ns);
        order.sort_unstable_by_key(|&index| &names[index]);
        let new_indices: FxHashMap<usize, usize> =
            order.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        let mut edges: Vec<CallEdge> = edges
            .iter()
            .filter_map(|((caller, callee), sums)| {
                Some(CallEdge {
                    caller: *new_indices.get(caller)?,
                    callee: *new_indices.get(callee)?,
                    sum: sums.sum,
                })
            })
            .collect();
        edges.sort_unstable_by_key(|edge| (edge.caller, edge.callee));
        let function =
            |&index: &usize| GraphFunction { name: names[index].clone(), sum: functions[index].sum };
        let functions = order.iter().map(function).collect();
        CallGraph { functions, edges, command: calls.manifest.command.clone(), trust: Trust::of(calls) }
    }
}

/// The distinct names of a tree's frames, and the index of each frame's name.
fn names(calls: &CallTree, name: NameChoice) -> (Vec<FunctionName>, FxHashMap<Frame, usize>) {
    let frame_names = FrameNames::of(calls);
    let mut name_indices: FxHashMap<FunctionName, usize> = FxHashMap::default();
    let mut indices: FxHashMap<Frame, usize> = FxHashMap::default();
    for (_, node) in calls.nodes.iter().filter(|(_, node)| node.frame != Frame::Thread) {
        indices.entry(node.frame).or_insert_with(|| {
            let next = name_indices.len();
            *name_indices.entry(FunctionName::of(node.frame, &frame_names, name)).or_insert(next)
        });
    }
    let mut names: Vec<(usize, FunctionName)> =
        name_indices.into_iter().map(|(name, index)| (index, name)).collect();
    names.sort_unstable();
    (names.into_iter().map(|(_, name)| name).collect(), indices)
}

impl FunctionName {
    fn of(frame: Frame, frame_names: &FrameNames, name: NameChoice) -> FunctionName {
        let Some(code) = frame_names.code(frame) else {
            let function = match frame {
                Frame::Cfunction(_) => format!("<{}>", frame_names.cfunction(frame).unwrap_or_default()),
                Frame::Gc => "<garbage collection>".into(),
                _ => "<unknown caller: events were lost>".into(),
            };
            return FunctionName { file: None, first_line: 0, function };
        };
        let code = Code::parse(&code);
        FunctionName {
            file: (!code.file.is_empty()).then(|| code.file.to_owned()),
            first_line: code.first_line.unwrap_or(0),
            function: frame_names::qualname(&Code { qualname: name(&code), ..code }),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Recursion, and functions with equal names.

    use super::*;
    use crate::Filter;
    use crate::testing;

    /// ```text
    /// a ─ 1 ─ b ─ 2 ─ a ─ 4 ─ b ─ 8 ─┐
    /// a ─ 1 ─┴─────────── the same times on the way back
    /// ```
    const MUTUAL: &str = "
        0   7/7  function__entry   m.py:1:X.a  1
        1   7/7  function__entry   m.py:5:b    5
        3   7/7  function__entry   m.py:1:X.a  1
        7   7/7  function__entry   m.py:5:b    5
        15  7/7  function__return  m.py:5:b    5
        19  7/7  function__return  m.py:1:X.a  1
        21  7/7  function__return  m.py:5:b    5
        22  7/7  function__return  m.py:1:X.a  1
    ";

    fn sum(calls: u64, primitive: u64, self_ns: u64, total_ns: u64) -> CallSums {
        CallSums { calls, primitive, self_ns, total_ns }
    }

    #[test]
    fn a_recursive_call_counts_once_in_the_total() {
        let graph = CallGraph::of(&testing::calls(MUTUAL, &Filter::default()), |code| code.name());
        let functions: Vec<(&str, CallSums)> =
            graph.functions.iter().map(|function| (function.name.function.as_str(), function.sum)).collect();
        assert_eq!(functions, [("a", sum(2, 1, 10, 22)), ("b", sum(2, 1, 12, 20))]);
        let edges: Vec<_> = graph.edges.iter().map(|edge| (edge.caller, edge.callee, edge.sum)).collect();
        assert_eq!(edges, [(0, 1, sum(2, 1, 12, 20)), (1, 0, sum(1, 1, 8, 16))]);
    }

    #[test]
    fn functions_with_equal_names_are_one_node() {
        let script = "
            0  7/7  function__entry   m.py:1:A.f  1
            1  7/7  function__entry   m.py:1:B.f  1
            3  7/7  gc__start         -           0  2
            4  7/7  gc__done          -           0  0
            5  7/7  function__return  m.py:1:B.f  1
            6  7/7  function__return  m.py:1:A.f  1
        ";
        let calls = testing::calls(script, &Filter::default());
        let functions = |name: NameChoice| -> Vec<(String, CallSums)> {
            let graph = CallGraph::of(&calls, name);
            graph.functions.into_iter().map(|function| (function.name.function, function.sum)).collect()
        };
        assert_eq!(
            functions(|code| code.name()),
            [("<garbage collection>".into(), sum(1, 1, 1, 1)), ("f".into(), sum(2, 1, 5, 6))]
        );
        assert_eq!(
            functions(|code| code.qualname),
            [
                ("<garbage collection>".into(), sum(1, 1, 1, 1)),
                ("A.f".into(), sum(1, 1, 2, 6)),
                ("B.f".into(), sum(1, 1, 3, 4))
            ]
        );
    }

    #[test]
    fn functions_below_the_minimum_time_are_left_out() {
        let min_time = std::time::Duration::from_nanos(21);
        let graph =
            CallGraph::of(&testing::calls(MUTUAL, &Filter { min_time, ..Filter::default() }), |code| {
                code.name()
            });
        assert_eq!((graph.functions.len(), graph.edges.len()), (1, 0));
    }
}
