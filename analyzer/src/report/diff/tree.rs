//! Call paths by how much they changed, below those that lead to them.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::cells::{change, count, times, verdict};
use crate::measure::diff::{CallsDiff, Diff, Path};
use crate::report::escape::Plain;
use crate::report::table;

const HEAD: [&str; 6] = ["old calls", "new calls", "old total", "new total", "change", "path"];

/// Writes those that changed with the ones that lead there, and what became of all.
pub fn write(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let mut changed: Vec<usize> =
        (0..diff.paths.len()).filter(|&path| diff.paths[path].calls.has_changed()).collect();
    changed.sort_by_key(|&path| {
        let CallsDiff { calls, total_ns, .. } = &diff.paths[path].calls;
        (Reverse(total_ns.samples.distance()), Reverse(calls.distance()))
    });
    let all = changed.len();
    changed.truncate(rows);
    let shown = order(diff, &changed);
    if !shown.is_empty() {
        let rows: Vec<_> = shown.iter().map(|&(path, depth)| row(diff, path, depth)).collect();
        table::write(HEAD, &rows, out)?;
    }
    super::write_more(all, changed.len(), "call path", out)?;
    let rows = diff
        .paths
        .iter()
        .map(|Path { calls: CallsDiff { calls, self_ns, total_ns }, .. }| (calls, [self_ns, total_ns]));
    super::summary(diff, "calls", "call path", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// These paths and all that lead there, each below its caller, with how deep it lies.
fn order(diff: &Diff, changed: &[usize]) -> Vec<(usize, usize)> {
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); diff.paths.len()];
    let mut is_shown = vec![false; diff.paths.len()];
    let mut outermost = Vec::new();
    for &path in changed {
        let mut path = path;
        while !std::mem::replace(&mut is_shown[path], true) {
            match diff.paths[path].parent {
                Some(caller) => callees[caller].push(path),
                None => outermost.push(path),
            }
            let Some(caller) = diff.paths[path].parent else { break };
            path = caller;
        }
    }
    let mut order = Vec::new();
    let mut waiting: Vec<(usize, usize)> = outermost.into_iter().rev().map(|path| (path, 0)).collect();
    while let Some((path, depth)) = waiting.pop() {
        order.push((path, depth));
        waiting.extend(callees[path].iter().rev().map(|&callee| (callee, depth + 1)));
    }
    order
}

fn row(diff: &Diff, path: usize, depth: usize) -> [String; 6] {
    let Path { function, calls: CallsDiff { calls, self_ns, total_ns }, .. } = &diff.paths[path];
    let [old, new] = times(&total_ns.samples);
    let label = diff.alignment.functions[*function].label();
    let verdict = match diff.paths[path].calls.has_changed() {
        true => format!(": {}", verdict("calls", calls, &[self_ns, total_ns])),
        false => String::new(),
    };
    let label = format!("{}{}{verdict}", "  ".repeat(depth), Plain(&label));
    [count(&calls.old), count(&calls.new), old, new, change(&total_ns.samples), label]
}
