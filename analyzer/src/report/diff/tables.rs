//! The tables of `pyrec diff`, one for each view.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::format::{change, count, interval, times, verdict};
use super::summary::summary;
use crate::escape::Printable;
use crate::measure::alignment::{FunctionId, FunctionKind};
use crate::measure::diff::{CallPath, CallsDiff, CountVerdict, Diff, GcDiff, ImportDiff, LineDiff};
use crate::report::display::plural;
use crate::report::table;

/// Options of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffTableOptions {
    /// The view that is written.
    pub view: DiffView,
    /// The number of rows at most; `None` writes all.
    pub rows: Option<usize>,
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DiffView {
    #[default]
    Functions,
    Tree,
    Lines,
    Imports,
    Gc,
}

/// Writes the rows that changed in the view, and a summary of all its rows.
pub fn write_table(diff: &Diff, options: &DiffTableOptions, out: &mut impl Write) -> io::Result<()> {
    let rows = options.rows.unwrap_or(usize::MAX);
    match options.view {
        DiffView::Functions => write_functions(diff, rows, out),
        DiffView::Tree => write_paths(diff, rows, out),
        DiffView::Lines => write_lines(diff, rows, out),
        DiffView::Imports => write_imports(diff, rows, out),
        DiffView::Gc => write_gc(diff, rows, out),
    }
}

/// Writes the number of rows that were left out.
fn write_more(all: usize, shown: usize, thing: &str, out: &mut impl Write) -> io::Result<()> {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "… and {}", plural(more as u64, &format!("more {thing}"))),
    }
}

const FUNCTION_HEAD: [&str; 9] = [
    "old calls",
    "new calls",
    "old self",
    "new self",
    "change",
    "95 % interval",
    "old total",
    "new total",
    "function",
];

/// Writes the functions that changed, and a summary of all.
fn write_functions(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let order = changed_functions(diff);
    let shown: Vec<_> = order.iter().take(rows).map(|&function| function_row(diff, function)).collect();
    if !shown.is_empty() {
        table::write(FUNCTION_HEAD, &shown, out)?;
    }
    write_more(order.len(), shown.len(), "function", out)?;
    function_summary(diff).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The summary of all functions.
pub fn function_summary(diff: &Diff) -> [String; 2] {
    let rows = called_functions(diff).map(|function| {
        let CallsDiff { calls, self_ns, total_ns } = &diff.functions[function];
        (calls, [self_ns, total_ns])
    });
    summary(diff, "calls", "function", rows)
}

/// The functions that are listed: first those whose number of calls changed, then those with
/// evidence of other times, then those whose times differ without evidence. Each part is sorted by
/// the difference of the own times.
pub fn changed_functions(diff: &Diff) -> Vec<FunctionId> {
    let rank = |&function: &FunctionId| {
        let calls = &diff.functions[function];
        let is_changed = calls.calls.verdict() == CountVerdict::Changed;
        let distance_ns = calls.self_ns.samples.distance();
        (
            Reverse(is_changed),
            Reverse(calls.has_changed()),
            Reverse(distance_ns),
            Reverse(calls.calls.distance()),
        )
    };
    // With one run a side no difference of times is evidence, so all are listed.
    let is_undecided = |calls: &CallsDiff| !diff.has_evidence() && calls.self_ns.samples.distance() > 0;
    let is_listed = |calls: &CallsDiff| calls.has_changed() || is_undecided(calls);
    let mut order: Vec<FunctionId> =
        called_functions(diff).filter(|&at| is_listed(&diff.functions[at])).collect();
    order.sort_by_key(rank);
    order
}

/// Functions in Python and C, without garbage collections.
fn called_functions(diff: &Diff) -> impl Iterator<Item = FunctionId> + Clone {
    let is_called = |function: FunctionId| {
        matches!(diff.alignment.functions[function].kind, FunctionKind::Python | FunctionKind::C)
    };
    (0..diff.functions.len()).filter(move |&function| is_called(function))
}

fn function_row(diff: &Diff, function: FunctionId) -> [String; 9] {
    let CallsDiff { calls, self_ns, total_ns } = &diff.functions[function];
    let [old_self, new_self] = times(&self_ns.samples);
    let [old_total, new_total] = times(&total_ns.samples);
    let label = diff.alignment.functions[function].label();
    [
        count(&calls.old),
        count(&calls.new),
        old_self,
        new_self,
        change(&self_ns.samples),
        interval(self_ns),
        old_total,
        new_total,
        format!("{}: {}", Printable(&label), verdict("calls", calls, &[self_ns, total_ns])),
    ]
}

const PATH_HEAD: [&str; 6] = ["old calls", "new calls", "old total", "new total", "change", "path"];

/// Writes the call paths that changed, each below its callers, and a summary of all.
fn write_paths(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let mut changed: Vec<usize> =
        (0..diff.paths.len()).filter(|&path| diff.paths[path].calls.has_changed()).collect();
    changed.sort_by_key(|&path| {
        let CallsDiff { calls, total_ns, .. } = &diff.paths[path].calls;
        (Reverse(total_ns.samples.distance()), Reverse(calls.distance()))
    });
    let all = changed.len();
    changed.truncate(rows);
    let shown = with_callers(diff, &changed);
    if !shown.is_empty() {
        let rows: Vec<_> = shown.iter().map(|&(path, depth)| path_row(diff, path, depth)).collect();
        table::write(PATH_HEAD, &rows, out)?;
    }
    write_more(all, changed.len(), "call path", out)?;
    let rows = diff
        .paths
        .iter()
        .map(|CallPath { calls: CallsDiff { calls, self_ns, total_ns }, .. }| (calls, [self_ns, total_ns]));
    summary(diff, "calls", "call path", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The changed paths and their callers in the order of the hierarchy, each with its depth.
fn with_callers(diff: &Diff, changed: &[usize]) -> Vec<(usize, usize)> {
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); diff.paths.len()];
    let mut is_shown = vec![false; diff.paths.len()];
    let mut roots = Vec::new();
    for &path in changed {
        let mut path = path;
        while !std::mem::replace(&mut is_shown[path], true) {
            match diff.paths[path].parent {
                Some(caller) => callees[caller].push(path),
                None => roots.push(path),
            }
            let Some(caller) = diff.paths[path].parent else { break };
            path = caller;
        }
    }
    let mut order = Vec::new();
    let mut stack: Vec<(usize, usize)> = roots.into_iter().rev().map(|path| (path, 0)).collect();
    while let Some((path, depth)) = stack.pop() {
        order.push((path, depth));
        stack.extend(callees[path].iter().rev().map(|&callee| (callee, depth + 1)));
    }
    order
}

fn path_row(diff: &Diff, path: usize, depth: usize) -> [String; 6] {
    let CallPath { function, calls: CallsDiff { calls, self_ns, total_ns }, .. } = &diff.paths[path];
    let [old, new] = times(&total_ns.samples);
    let label = diff.alignment.functions[*function].label();
    let verdict = match diff.paths[path].calls.has_changed() {
        true => format!(": {}", verdict("calls", calls, &[self_ns, total_ns])),
        false => String::new(),
    };
    let label = format!("{}{}{verdict}", "  ".repeat(depth), Printable(&label));
    [count(&calls.old), count(&calls.new), old, new, change(&total_ns.samples), label]
}

const LINE_HEAD: [&str; 8] =
    ["old hits", "new hits", "old self", "new self", "change", "95 % interval", "line", "verdict, source"];

/// Writes the lines that changed, and a summary of all.
fn write_lines(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    if !diff.has_hits {
        return writeln!(out, "lines were not recorded; record them with `pyrec record --lines`");
    }
    let order = changed_lines(diff);
    let shown: Vec<_> = order.iter().take(rows).map(|line| line_row(diff, line)).collect();
    if !shown.is_empty() {
        table::write(LINE_HEAD, &shown, out)?;
    }
    write_more(order.len(), shown.len(), "line", out)?;
    let rows = diff.lines.iter().map(|line| (&line.hits, [&line.self_ns, &line.total_ns]));
    summary(diff, "hits", "line", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Whether the hits of a line changed, or there is evidence of another time.
pub fn line_has_changed(line: &LineDiff) -> bool {
    line.hits.verdict() == CountVerdict::Changed || line.self_ns.has_changed() || line.total_ns.has_changed()
}

/// The lines that are listed: first those whose hits changed, then those with evidence of other
/// times.
fn changed_lines(diff: &Diff) -> Vec<&LineDiff> {
    let mut order: Vec<&LineDiff> = diff.lines.iter().filter(|line| line_has_changed(line)).collect();
    order.sort_by_key(|line| {
        let is_changed = line.hits.verdict() == CountVerdict::Changed;
        (Reverse(is_changed), Reverse(line.self_ns.samples.distance()), Reverse(line.hits.distance()))
    });
    order
}

fn line_row(diff: &Diff, line: &LineDiff) -> [String; 8] {
    let [old, new] = times(&line.self_ns.samples);
    let source = diff.alignment.line_text(line.file_id, line.line).unwrap_or_default().trim();
    let verdict = verdict("hits", &line.hits, &[&line.self_ns, &line.total_ns]);
    [
        count(&line.hits.old),
        count(&line.hits.new),
        old,
        new,
        change(&line.self_ns.samples),
        interval(&line.self_ns),
        Printable(&diff.line_label(line)).to_string(),
        if source.is_empty() { verdict } else { format!("{verdict}: {}", Printable(source)) },
    ]
}

const IMPORT_HEAD: [&str; 7] =
    ["old count", "new count", "old total", "new total", "change", "95 % interval", "module"];

/// Writes the imports that changed, and a summary of all.
fn write_imports(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let mut order: Vec<&ImportDiff> =
        diff.imports.iter().filter(|import| import_has_changed(import)).collect();
    order.sort_by_key(|import| {
        let is_changed = import.count.verdict() == CountVerdict::Changed;
        (Reverse(is_changed), Reverse(import.total_ns.samples.distance()))
    });
    let shown: Vec<_> = order.iter().take(rows).map(|import| import_row(import)).collect();
    if !shown.is_empty() {
        table::write(IMPORT_HEAD, &shown, out)?;
    }
    write_more(order.len(), shown.len(), "import", out)?;
    let rows = diff.imports.iter().map(|import| (&import.count, [&import.self_ns, &import.total_ns]));
    summary(diff, "imports", "import", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Whether the count of an import changed, or there is evidence of another time.
pub fn import_has_changed(import: &ImportDiff) -> bool {
    let times = [&import.self_ns, &import.total_ns];
    import.count.verdict() == CountVerdict::Changed || times.iter().any(|times| times.has_changed())
}

fn import_row(import: &ImportDiff) -> [String; 7] {
    let [old, new] = times(&import.total_ns.samples);
    let verdict = verdict("count", &import.count, &[&import.self_ns, &import.total_ns]);
    [
        count(&import.count.old),
        count(&import.count.new),
        old,
        new,
        change(&import.total_ns.samples),
        interval(&import.total_ns),
        format!("{}: {verdict}", Printable(&import.modules.join(" > "))),
    ]
}

const GC_HEAD: [&str; 9] = [
    "old pauses",
    "new pauses",
    "old objects",
    "new objects",
    "old time",
    "new time",
    "change",
    "95 % interval",
    "generation",
];

/// Writes all generations, whether they changed or not, and a summary.
fn write_gc(diff: &Diff, rows: usize, out: &mut impl Write) -> io::Result<()> {
    let shown: Vec<_> = diff.gc.iter().take(rows).map(gc_row).collect();
    if !shown.is_empty() {
        table::write(GC_HEAD, &shown, out)?;
    }
    write_more(diff.gc.len(), shown.len(), "generation", out)?;
    let rows = diff.gc.iter().map(|gc| (&gc.pauses, [&gc.total_ns, &gc.total_ns]));
    summary(diff, "pauses", "generation", rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn gc_row(gc: &GcDiff) -> [String; 9] {
    let [old, new] = times(&gc.total_ns.samples);
    let generation = gc.generation.map_or("unknown".into(), |generation| generation.to_string());
    [
        count(&gc.pauses.old),
        count(&gc.pauses.new),
        count(&gc.found.old),
        count(&gc.found.new),
        old,
        new,
        change(&gc.total_ns.samples),
        interval(&gc.total_ns),
        format!("{generation}: {}", verdict("pauses", &gc.pauses, &[&gc.total_ns])),
    ]
}
