//! Two sides compared: as tables, for programs, for a pull request, as a picture, and as a page.

mod cells;
mod flame;
mod functions;
mod gc;
mod imports;
mod json;
mod lines;
mod markdown;
mod page;
mod tree;

use std::io::{self, Write};

use super::escape::Plain;
use super::trust_line;
use super::units::{Count, plural};
use crate::measure::diff::{Breach, Comparability, CountVerdict, Diff, Samples, Times};

pub use flame::write_flame;
pub use json::{write_json, write_refusal};
pub use markdown::write_markdown;
pub use page::{PageOptions, write_page};

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the rows are.
    pub view: View,
    /// How many rows at most; all, if there is no number.
    pub rows: Option<usize>,
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum View {
    #[default]
    Functions,
    Tree,
    Lines,
    Imports,
    Gc,
}

/// Writes what changed, what did not, and how far to trust each run.
pub fn write(diff: &Diff, options: &Options, out: &mut impl Write) -> io::Result<()> {
    let rows = options.rows.unwrap_or(usize::MAX);
    match options.view {
        View::Functions => functions::write(diff, rows, out)?,
        View::Tree => tree::write(diff, rows, out)?,
        View::Lines => lines::write(diff, rows, out)?,
        View::Imports => imports::write(diff, rows, out)?,
        View::Gc => gc::write(diff, rows, out)?,
    }
    for line in notes(diff).into_iter().chain(trust(diff)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// How many rows were left out.
fn write_more(all: usize, shown: usize, thing: &str, out: &mut impl Write) -> io::Result<()> {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "… and {}", plural(more as u64, &format!("more {thing}"))),
    }
}

/// What became of all rows of a view: their counts, and their times.
fn summary<'a>(
    diff: &Diff,
    count: &str,
    thing: &str,
    rows: impl Iterator<Item = (&'a Samples, [&'a Times; 2])> + Clone,
) -> [String; 2] {
    let of = |verdict| rows.clone().filter(|(counts, _)| counts.verdict() == verdict).count() as u64;
    let all = plural(rows.clone().count() as u64, thing);
    let varying = match of(CountVerdict::Varies) {
        0 => String::new(),
        varying => format!("; {} whose runs differ by themselves", plural(varying, thing)),
    };
    let counts = match of(CountVerdict::Changed) {
        0 => format!("{count}: no difference in {all}{varying}"),
        changed => format!("{count}: {} of {all} changed{varying}", Count(changed)),
    };
    let [old, new] = cells::times(&diff.whole.total_ns.samples);
    let changed = rows.filter(|(_, times)| times.iter().any(|times| times.has_changed())).count() as u64;
    let evidence = match changed {
        _ if !diff.has_evidence() => "one run of a side is no evidence of any change".into(),
        0 => "no evidence of change".into(),
        changed => format!("evidence of change in {}", plural(changed, thing)),
    };
    [counts, format!("time: {old} in the old, {new} in the new; {evidence}")]
}

/// What stands against the comparison, where it was made all the same, and what may explain differences.
fn notes(diff: &Diff) -> Vec<String> {
    let reasons =
        diff.comparability.reasons.iter().map(|reason| format!("not comparable: {}", Plain(reason)));
    let notes = diff.comparability.notes.iter().map(|note| format!("note: {}", Plain(note)));
    let one_run = (!diff.has_evidence()).then(|| {
        "note: how much times differ by themselves, only several runs tell; compare them with --old and --new".into()
    });
    reasons.chain(notes).chain(one_run).collect()
}

/// How far to trust each run of both sides.
fn trust(diff: &Diff) -> Vec<String> {
    let runs = diff.trust.iter().enumerate();
    runs.map(|(run, trust)| format!("{}: {}", run_name(diff, run), trust_line(trust))).collect()
}

/// `old`, or `old 2` if there are several.
fn run_name(diff: &Diff, run: usize) -> String {
    let (side, number, runs) = match run.checked_sub(diff.old_runs) {
        None => ("old", run + 1, diff.old_runs),
        Some(run) => ("new", run + 1, diff.new_runs()),
    };
    if runs == 1 { side.into() } else { format!("{side} {number}") }
}

/// Why two sides cannot be compared, in a sentence.
pub fn refusal(comparability: &Comparability) -> String {
    let reasons = comparability.reasons.join("; ");
    let reasons = Plain(&reasons);
    format!("these recordings cannot be compared: {reasons}; --force compares them all the same")
}

/// What grew beyond which limit, in a sentence.
pub fn breach(breach: &Breach) -> String {
    let Samples { old, new } = &breach.samples;
    let [old, new] = match breach.is_time {
        true => cells::times(&breach.samples),
        false => [cells::count(old), cells::count(new)],
    };
    let what = breach.what.as_deref().unwrap_or("all together");
    let doubt = if breach.has_evidence { "" } else { ", by one run of a side, which is no evidence" };
    let change = cells::change(&breach.samples);
    format!("`{}` broke: {} had {old} and has {new} ({change}){doubt}", Plain(&breach.rule), Plain(what))
}
