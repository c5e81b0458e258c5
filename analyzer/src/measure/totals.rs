//! Calls and time per function.

use pyrec_schema::Code;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::frame_names::{self, FrameNames};
use crate::CallTree;
use crate::measure::Trust;
use crate::tree::{Frame, Nodes, Tally, WalkEvent};

/// Calls and time per function.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Every function that was asked for and took long enough, in the order of their files and lines.
    pub functions: Vec<FunctionTotals>,
    /// The garbage collector's pauses, which are in nobody's own time.
    pub gc: PauseTotals,
    /// How far to trust it.
    pub trust: Trust,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FunctionTotals {
    /// `co_filename`; none where it is unknown, and for a function written in C.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_name`.
    pub name: String,
    /// `co_qualname`.
    pub qualname: String,
    /// The module that the file was, as far as the interpreter's path tells.
    pub module: Option<String>,
    /// Entries: a generator counts once per resume.
    pub calls: u64,
    /// Time in the function and what it called, a recursive call counted once.
    pub total_ns: u64,
    /// Time in the function itself.
    pub self_ns: u64,
    /// The shortest call that was measured from entry to return.
    pub min_ns: Option<u64>,
    /// The mean of those.
    pub mean_ns: Option<u64>,
    /// The longest of those.
    pub max_ns: Option<u64>,
    /// What half of those took at most. This and the next are off by a sixty-fourth at most, and exact where there are
    /// few. None inside one function only, since nobody counted that.
    pub p50_ns: Option<u64>,
    /// What 95 of a hundred took at most.
    pub p95_ns: Option<u64>,
    /// What 99 of a hundred took at most.
    pub p99_ns: Option<u64>,
    /// PauseTotals for garbage collection that interrupted the function itself. In its total, not in its own time.
    pub gc_ns: u64,
    /// How much of the total is the cost of recording it: events times what one costs. None where that is unknown.
    pub tracing_ns: Option<u64>,
}

/// PauseTotals for garbage collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseTotals {
    /// How many.
    pub count: u64,
    /// How long in all.
    pub total_ns: u64,
}

/// What is added up for one frame over all its paths.
#[derive(Debug)]
struct Sum {
    tally: Tally,
    total_ns: u64,
    /// Rows in the same calls.
    total_rows: u64,
    /// PauseTotals on top of it.
    gc_ns: u64,
    /// How often it stands on the path that is being looked at.
    on_path: u32,
}

impl Sum {
    const NONE: Sum = Sum { tally: Tally::NONE, total_ns: 0, total_rows: 0, gc_ns: 0, on_path: 0 };
}

impl Totals {
    /// Adds up every call path of each function.
    pub fn of(calls: &CallTree) -> Totals {
        let (functions, gc) = functions(&calls.nodes, calls, &FrameNames::of(calls));
        Totals { functions, gc, trust: Trust::of(calls) }
    }
}

/// The functions of call paths that belong to a tree, and the pauses on them.
pub fn functions(nodes: &Nodes, calls: &CallTree, naming: &FrameNames) -> (Vec<FunctionTotals>, PauseTotals) {
    let sums = sums(nodes);
    let gc = sums.get(&Frame::Gc).map_or(PauseTotals::default(), |sum| PauseTotals {
        count: sum.tally.calls(),
        total_ns: sum.total_ns,
    });
    let mut functions: Vec<FunctionTotals> = sums
        .into_iter()
        .filter(|(_, sum)| sum.total_ns >= calls.min_time_ns)
        .filter_map(|(frame, sum)| {
            FunctionTotals::of(frame, &sum, naming, nodes, calls.manifest.cost_per_event_ns)
        })
        .collect();
    functions.sort_unstable();
    (functions, gc)
}

impl FunctionTotals {
    /// Its name for people, with its module or file.
    pub fn label(&self) -> String {
        frame_names::function_label(
            &self.qualname,
            self.module.as_deref(),
            self.file.as_deref(),
            self.first_line,
        )
    }

    fn of(
        frame: Frame,
        sum: &Sum,
        naming: &FrameNames,
        nodes: &Nodes,
        cost_per_event_ns: Option<f64>,
    ) -> Option<FunctionTotals> {
        let code = naming.code(frame);
        let cfunction = naming.cfunction(frame);
        let code = match (&code, &cfunction) {
            (Some(code), _) => Code::parse(code),
            (None, Some(name)) => Code { file: "", first_line: None, qualname: name },
            (None, None) => return None,
        };
        let Tally { self_ns, measured, measured_ns, min_ns, max_ns, .. } = sum.tally;
        let quantile_ns = |share| {
            let within = |ns: u64| ns.clamp(min_ns, max_ns);
            nodes.durations(frame).and_then(|durations| durations.quantile_ns(share)).map(within)
        };
        Some(FunctionTotals {
            file: (!code.file.is_empty()).then(|| code.file.to_owned()),
            first_line: code.first_line,
            qualname: frame_names::qualname(&code),
            name: frame_names::qualname(&Code { qualname: code.name(), ..code }),
            module: naming.module(code.file),
            calls: sum.tally.calls(),
            total_ns: sum.total_ns,
            self_ns,
            min_ns: (measured > 0).then_some(min_ns),
            mean_ns: measured_ns.checked_div(measured),
            max_ns: (measured > 0).then_some(max_ns),
            p50_ns: quantile_ns(0.50),
            p95_ns: quantile_ns(0.95),
            p99_ns: quantile_ns(0.99),
            gc_ns: sum.gc_ns,
            tracing_ns: cost_per_event_ns.map(|cost_ns| (sum.total_rows as f64 * cost_ns).round() as u64),
        })
    }
}

/// Walks every call path, and adds the time below a frame to its total where it stands on the path for the first time.
///
/// ```text
/// a 1          total of a: 1 + 2 + 4, its second a is within the first
/// └ b 2        total of b: 2 + 4
///   └ a 4
/// ```
fn sums(nodes: &Nodes) -> FxHashMap<Frame, Sum> {
    let totals_ns = nodes.subtree_sums(|node| node.tally.self_ns);
    let totals_rows = nodes.subtree_sums(|node| node.tally.rows());
    let mut sums: FxHashMap<Frame, Sum> = FxHashMap::default();
    nodes.walk(|step| match step {
        WalkEvent::Enter(id) => {
            let node = &nodes[id];
            let sum = sums.entry(node.frame).or_insert(Sum::NONE);
            sum.tally.add(&node.tally);
            if sum.on_path == 0 {
                sum.total_ns = sum.total_ns.saturating_add(totals_ns[id as usize]);
                sum.total_rows += totals_rows[id as usize];
            }
            sum.on_path += 1;
            if node.frame == Frame::Gc
                && let Some(interrupted) = sums.get_mut(&nodes[node.parent].frame)
            {
                interrupted.gc_ns = interrupted.gc_ns.saturating_add(totals_ns[id as usize]);
            }
        }
        WalkEvent::Leave(id) => {
            if let Some(sum) = sums.get_mut(&nodes[id].frame) {
                sum.on_path -= 1;
            }
        }
    });
    sums
}
