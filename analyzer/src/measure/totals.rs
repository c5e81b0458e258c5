//! Calls and time per function.

use pyrec_schema::Code;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::naming::{self, Naming};
use crate::CallTree;
use crate::measure::Trust;
use crate::tree::{Frame, Nodes, Tally, Walk};

/// Calls and time per function.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Every function that was asked for and took long enough, in the order of their files and lines.
    pub functions: Vec<FunctionTotals>,
    /// The garbage collector's pauses, which are in nobody's own time.
    pub gc: Pauses,
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
}

/// Pauses for garbage collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
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
    /// How often it stands on the path that is being looked at.
    on_path: u32,
}

impl Totals {
    /// Adds up every call path of each function.
    pub fn of(calls: &CallTree) -> Totals {
        let naming = Naming::of(calls);
        let sums = sums(&calls.nodes);
        let gc = sums
            .get(&Frame::Gc)
            .map_or(Pauses::default(), |sum| Pauses { count: sum.tally.calls(), total_ns: sum.total_ns });
        let mut functions: Vec<FunctionTotals> = sums
            .into_iter()
            .filter(|(_, sum)| sum.total_ns >= calls.min_time_ns)
            .filter_map(|(frame, sum)| FunctionTotals::of(frame, &sum, &naming))
            .collect();
        functions.sort_unstable();
        Totals { functions, gc, trust: Trust::of(calls) }
    }
}

impl FunctionTotals {
    /// Its name for people, with its module or file.
    pub fn label(&self) -> String {
        naming::label(&self.qualname, self.module.as_deref(), self.file.as_deref(), self.first_line)
    }

    fn of(frame: Frame, sum: &Sum, naming: &Naming) -> Option<FunctionTotals> {
        let code = naming.code(frame);
        let cfunction = naming.cfunction(frame);
        let code = match (&code, &cfunction) {
            (Some(code), _) => Code::parse(code),
            (None, Some(name)) => Code { file: "", first_line: None, qualname: name },
            (None, None) => return None,
        };
        let Tally { self_ns, measured, measured_ns, min_ns, max_ns, .. } = sum.tally;
        Some(FunctionTotals {
            file: (!code.file.is_empty()).then(|| code.file.to_owned()),
            first_line: code.first_line,
            qualname: naming::qualname(&code),
            name: naming::qualname(&Code { qualname: code.name(), ..code }),
            module: naming.module(code.file),
            calls: sum.tally.calls(),
            total_ns: sum.total_ns,
            self_ns,
            min_ns: (measured > 0).then_some(min_ns),
            mean_ns: measured_ns.checked_div(measured),
            max_ns: (measured > 0).then_some(max_ns),
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
    let totals = nodes.sums(|node| node.tally.self_ns);
    let mut sums: FxHashMap<Frame, Sum> = FxHashMap::default();
    nodes.walk(|step| match step {
        Walk::Down(id) => {
            let node = &nodes[id];
            let none = || Sum { tally: Tally::NONE, total_ns: 0, on_path: 0 };
            let sum = sums.entry(node.frame).or_insert_with(none);
            sum.tally.add(&node.tally);
            sum.total_ns += if sum.on_path == 0 { totals[id as usize] } else { 0 };
            sum.on_path += 1;
        }
        Walk::Up(id) => {
            if let Some(sum) = sums.get_mut(&nodes[id].frame) {
                sum.on_path -= 1;
            }
        }
    });
    sums
}
