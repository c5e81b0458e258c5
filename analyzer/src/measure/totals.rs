//! Calls and time per function.

use pyrec_schema::Code;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::frame_names::{self, FrameNames};
use crate::CallTree;
use crate::measure::Trust;
use crate::tree::{Frame, Nodes, Tally, WalkEvent};

/// Totals: calls and time per function.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// The functions that the filter selects, sorted by file and line.
    pub functions: Vec<FunctionTotals>,
    /// Pauses for garbage collection, which are not part of the self time of any function.
    pub gc: PauseTotals,
    /// The trust of the recording.
    pub trust: Trust,
}

/// Calls and time of one function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FunctionTotals {
    /// `co_filename`; none where it is unknown, and for C functions.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_name`.
    pub name: String,
    /// `co_qualname`.
    pub qualname: String,
    /// The module; none where it could not be derived from `sys.path`.
    pub module: Option<String>,
    /// The number of entries. A generator counts once per resume.
    pub calls: u64,
    /// Total time. A recursive call is counted once.
    pub total_ns: u64,
    /// Self time.
    pub self_ns: u64,
    /// The shortest duration of a call from entry to return.
    pub min_ns: Option<u64>,
    /// The mean of these durations.
    pub mean_ns: Option<u64>,
    /// The longest of these durations.
    pub max_ns: Option<u64>,
    /// The median of these durations. Percentiles are exact for few durations and otherwise within
    /// 1/64 of the exact value. They are none if the filter has a root function, because durations
    /// are not kept per call path.
    pub p50_ns: Option<u64>,
    /// The 95th percentile of these durations.
    pub p95_ns: Option<u64>,
    /// The 99th percentile of these durations.
    pub p99_ns: Option<u64>,
    /// Time in garbage collections that interrupted the function itself. Part of its total time,
    /// not of its self time.
    pub gc_ns: u64,
    /// The tracing cost in the total time: events times the cost of one event. None where that cost
    /// is unknown.
    pub tracing_ns: Option<u64>,
}

/// Pauses for garbage collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseTotals {
    /// The number of pauses.
    pub count: u64,
    /// Time in pauses.
    pub total_ns: u64,
}

/// Sums of one frame over all call paths.
#[derive(Debug)]
struct FrameSums {
    tally: Tally,
    total_ns: u64,
    /// Rows in the calls of `total_ns`.
    total_rows: u64,
    /// Time in garbage collections that interrupted the frame.
    gc_ns: u64,
    /// The number of occurrences on the current call path.
    on_path: u32,
}

impl FrameSums {
    const ZERO: FrameSums =
        FrameSums { tally: Tally::NONE, total_ns: 0, total_rows: 0, gc_ns: 0, on_path: 0 };
}

impl Totals {
    /// Sums the call paths of a tree by function.
    pub fn of(calls: &CallTree) -> Totals {
        let (functions, gc) = functions(&calls.nodes, calls, &FrameNames::of(calls));
        Totals { functions, gc, trust: Trust::of(calls) }
    }
}

/// The functions and the pauses of some of a tree's call paths.
pub fn functions(
    nodes: &Nodes,
    calls: &CallTree,
    frame_names: &FrameNames,
) -> (Vec<FunctionTotals>, PauseTotals) {
    let sums = sums(nodes);
    let gc = sums.get(&Frame::Gc).map_or(PauseTotals::default(), |sum| PauseTotals {
        count: sum.tally.calls(),
        total_ns: sum.total_ns,
    });
    let mut functions: Vec<FunctionTotals> = sums
        .into_iter()
        .filter(|(_, sum)| sum.total_ns >= calls.min_time_ns)
        .filter_map(|(frame, sum)| {
            FunctionTotals::of(frame, &sum, frame_names, nodes, calls.manifest.cost_per_event_ns)
        })
        .collect();
    functions.sort_unstable();
    (functions, gc)
}

impl FunctionTotals {
    /// The name for reports, with module or file.
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
        sum: &FrameSums,
        frame_names: &FrameNames,
        nodes: &Nodes,
        cost_per_event_ns: Option<f64>,
    ) -> Option<FunctionTotals> {
        let code = frame_names.code(frame);
        let cfunction = frame_names.cfunction(frame);
        let code = match (&code, &cfunction) {
            (Some(code), _) => Code::parse(code),
            (None, Some(name)) => Code { file: "", first_line: None, qualname: name },
            (None, None) => return None,
        };
        let Tally { self_ns, measured, measured_ns, min_ns, max_ns, .. } = sum.tally;
        let quantile_ns = |share| {
            let clamped = |ns: u64| ns.clamp(min_ns, max_ns);
            nodes.durations(frame).and_then(|durations| durations.quantile_ns(share)).map(clamped)
        };
        Some(FunctionTotals {
            file: (!code.file.is_empty()).then(|| code.file.to_owned()),
            first_line: code.first_line,
            qualname: frame_names::qualname(&code),
            name: frame_names::qualname(&Code { qualname: code.name(), ..code }),
            module: frame_names.module(code.file),
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

/// Sums the call paths by frame. The time of a node is added to the total of its frame if no
/// ancestor has the same frame.
///
/// ```text
/// a 1          total of a: 1 + 2 + 4, since the second a is in the first one
/// └ b 2        total of b: 2 + 4
///   └ a 4
/// ```
fn sums(nodes: &Nodes) -> FxHashMap<Frame, FrameSums> {
    let totals_ns = nodes.subtree_sums(|node| node.tally.self_ns);
    let totals_rows = nodes.subtree_sums(|node| node.tally.rows());
    let mut sums: FxHashMap<Frame, FrameSums> = FxHashMap::default();
    nodes.walk(|step| match step {
        WalkEvent::Enter(id) => {
            let node = &nodes[id];
            let sum = sums.entry(node.frame).or_insert(FrameSums::ZERO);
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
