//! Who called whom: functions, and the calls between two of them, over all call paths.

use pyrec_schema::Code;
use rustc_hash::FxHashMap;

use super::frame_names::{self, FrameNames};
use crate::CallTree;
use crate::measure::Trust;
use crate::tree::{Frame, NodeId, Tally, WalkEvent};

/// Who called whom.
#[derive(Clone, Debug, PartialEq)]
pub struct CallGraph {
    /// The functions that were asked for and took long enough, in the order of their files, lines and names.
    pub functions: Vec<GraphFunction>,
    /// The calls between two of them, by caller and callee.
    pub edges: Vec<CallEdge>,
    /// What was run.
    pub command: Vec<String>,
    /// How far to trust it.
    pub trust: Trust,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphFunction {
    /// What it is called.
    pub name: FunctionName,
    /// What was counted in all its calls.
    pub sum: CallSums,
}

/// What functions are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName {
    /// `co_filename`; none for what is no function of Python.
    pub file: Option<String>,
    /// `co_firstlineno`; 0 where it is unknown.
    pub first_line: u32,
    /// Its name; what is no function has one in angle brackets.
    pub function: String,
}

/// The calls that one function made of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallEdge {
    /// Where in [`CallGraph::functions`] the caller is.
    pub caller: usize,
    /// Where what it called is.
    pub callee: usize,
    /// What was counted in these calls.
    pub sum: CallSums,
}

/// What was counted in some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallSums {
    /// Calls.
    pub calls: u64,
    /// Those that were not made, however indirectly, by one of the others.
    pub primitive: u64,
    /// Time in the function itself.
    pub self_ns: u64,
    /// Time in it and what it called, that of a call within another counted once.
    pub total_ns: u64,
}

/// Which name of a function tells it from others: the plain or the qualified one.
pub type NameChoice = for<'a> fn(&Code<'a>) -> &'a str;

/// What is added up over the paths that end in a function, or in a call of one by another.
#[derive(Debug, Default)]
struct CallAccumulator {
    sum: CallSums,
    /// How often it stands on the path that is being looked at.
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
    /// Adds up every call path.
    pub fn of(calls: &CallTree, name: NameChoice) -> CallGraph {
        let (names, places) = names(calls, name);
        let place = |id: NodeId| places[&calls.nodes[id].frame];
        let totals = calls.nodes.subtree_sums(|node| node.tally.self_ns);
        let mut functions: Vec<CallAccumulator> = names.iter().map(|_| CallAccumulator::default()).collect();
        let mut edges: FxHashMap<(usize, usize), CallAccumulator> = FxHashMap::default();
        calls.nodes.walk(|step| {
            let (WalkEvent::Enter(id) | WalkEvent::Leave(id)) = step;
            let node = &calls.nodes[id];
            if node.frame == Frame::Thread {
                return;
            }
            let caller = (calls.nodes[node.parent].frame != Frame::Thread).then(|| place(node.parent));
            let edge = caller.map(|caller| edges.entry((caller, place(id))).or_default());
            for adding in edge.into_iter().chain([&mut functions[place(id)]]) {
                match step {
                    WalkEvent::Enter(_) => adding.enter(&node.tally, totals[id as usize]),
                    WalkEvent::Leave(_) => adding.on_path -= 1,
                }
            }
        });
        CallGraph::sorted(names, &functions, &edges, calls)
    }

    /// Puts what took long enough in order.
    fn sorted(
        names: Vec<FunctionName>,
        functions: &[CallAccumulator],
        edges: &FxHashMap<(usize, usize), CallAccumulator>,
        calls: &CallTree,
    ) -> CallGraph {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.retain(|&place| functions[place].sum.total_ns >= calls.min_time_ns);
        order.sort_unstable_by_key(|&place| &names[place]);
        let moved: FxHashMap<usize, usize> = order.iter().enumerate().map(|(to, &from)| (from, to)).collect();
        let mut edges: Vec<CallEdge> = edges
            .iter()
            .filter_map(|((caller, callee), adding)| {
                Some(CallEdge { caller: *moved.get(caller)?, callee: *moved.get(callee)?, sum: adding.sum })
            })
            .collect();
        edges.sort_unstable_by_key(|edge| (edge.caller, edge.callee));
        let function =
            |&place: &usize| GraphFunction { name: names[place].clone(), sum: functions[place].sum };
        let functions = order.iter().map(function).collect();
        CallGraph { functions, edges, command: calls.manifest.command.clone(), trust: Trust::of(calls) }
    }
}

/// The names of a tree's frames, each once, and which of them a frame has.
fn names(calls: &CallTree, name: NameChoice) -> (Vec<FunctionName>, FxHashMap<Frame, usize>) {
    let naming = FrameNames::of(calls);
    let mut known: FxHashMap<FunctionName, usize> = FxHashMap::default();
    let mut places: FxHashMap<Frame, usize> = FxHashMap::default();
    for (_, node) in calls.nodes.iter().filter(|(_, node)| node.frame != Frame::Thread) {
        places.entry(node.frame).or_insert_with(|| {
            let next = known.len();
            *known.entry(FunctionName::of(node.frame, &naming, name)).or_insert(next)
        });
    }
    let mut names: Vec<(usize, FunctionName)> =
        known.into_iter().map(|(name, place)| (place, name)).collect();
    names.sort_unstable();
    (names.into_iter().map(|(_, name)| name).collect(), places)
}

impl FunctionName {
    fn of(frame: Frame, naming: &FrameNames, name: NameChoice) -> FunctionName {
        let Some(code) = naming.code(frame) else {
            let function = match frame {
                Frame::Cfunction(_) => format!("<{}>", naming.cfunction(frame).unwrap_or_default()),
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
    //! Recursion, and names that are one.

    use super::*;
    use crate::Filter;
    use crate::testing;

    /// ```text
    /// a ─ 1 ─ b ─ 2 ─ a ─ 4 ─ b ─ 8 ─┐
    /// a ─ 1 ─┴─────────── each as long on the way back
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
    fn a_recursion_counts_once() {
        let graph = CallGraph::of(&testing::calls(MUTUAL, &Filter::default()), |code| code.name());
        let functions: Vec<(&str, CallSums)> =
            graph.functions.iter().map(|function| (function.name.function.as_str(), function.sum)).collect();
        assert_eq!(functions, [("a", sum(2, 1, 10, 22)), ("b", sum(2, 1, 12, 20))]);
        let edges: Vec<_> = graph.edges.iter().map(|edge| (edge.caller, edge.callee, edge.sum)).collect();
        assert_eq!(edges, [(0, 1, sum(2, 1, 12, 20)), (1, 0, sum(1, 1, 8, 16))]);
    }

    #[test]
    fn functions_of_one_name_are_one() {
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
    fn what_took_less_than_asked_for_is_left_out() {
        let min_time = std::time::Duration::from_nanos(21);
        let graph =
            CallGraph::of(&testing::calls(MUTUAL, &Filter { min_time, ..Filter::default() }), |code| {
                code.name()
            });
        assert_eq!((graph.functions.len(), graph.edges.len()), (1, 0));
    }
}
