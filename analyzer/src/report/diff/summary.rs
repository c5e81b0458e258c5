//! The sentences of a comparison: what changed in total, notes, trust lines, refusals and broken
//! rules.

use super::format;
use crate::escape::Printable;
use crate::measure::Comparability;
use crate::measure::diff::{Breach, CountVerdict, Diff, Samples, TimeChange};
use crate::report::display::{Count, plural};
use crate::report::trust_line;

/// Two sentences about all rows of a view: how many have other counts, and how many have evidence
/// of other times.
pub fn summary<'a>(
    diff: &Diff,
    count: &str,
    thing: &str,
    rows: impl Iterator<Item = (&'a Samples, [&'a TimeChange; 2])> + Clone,
) -> [String; 2] {
    let count_of = |verdict| rows.clone().filter(|(counts, _)| counts.verdict() == verdict).count() as u64;
    let all = plural(rows.clone().count() as u64, thing);
    let varying = match count_of(CountVerdict::Varies) {
        0 => String::new(),
        varying => format!("; {} with different counts between runs of a side", plural(varying, thing)),
    };
    let counts = match count_of(CountVerdict::Changed) {
        0 => format!("{count}: no difference in {all}{varying}"),
        changed => format!("{count}: {} of {all} changed{varying}", Count(changed)),
    };
    let [old, new] = format::times(&diff.whole.total_ns.samples);
    let changed = rows.filter(|(_, times)| times.iter().any(|times| times.has_changed())).count() as u64;
    let evidence = match changed {
        _ if !diff.has_evidence() => "one run of a side is no evidence of a change".into(),
        0 => "no evidence of change".into(),
        changed => format!("evidence of change in {}", plural(changed, thing)),
    };
    [counts, format!("time: {old} in the old, {new} in the new; {evidence}")]
}

/// Reasons why the sides are not comparable, if the comparison was forced, and possible
/// explanations of differences.
pub fn notes(diff: &Diff) -> Vec<String> {
    let reasons =
        diff.comparability.reasons.iter().map(|reason| format!("not comparable: {}", Printable(reason)));
    let notes = diff.comparability.notes.iter().map(|note| format!("note: {}", Printable(note)));
    let one_run = (!diff.has_evidence()).then(|| {
        "note: only several runs of a side show how much times vary; compare them with --old and --new".into()
    });
    reasons.chain(notes).chain(one_run).collect()
}

/// The trust line of each run, after the name of the run.
pub fn trust_lines(diff: &Diff) -> Vec<String> {
    let runs = diff.trust.iter().enumerate();
    runs.map(|(run, trust)| format!("{}: {}", run_name(diff, run), trust_line(trust))).collect()
}

/// `old`, or `old 2` if the side has several runs.
fn run_name(diff: &Diff, run: usize) -> String {
    let (side, number, runs) = match run.checked_sub(diff.old_runs) {
        None => ("old", run + 1, diff.old_runs),
        Some(run) => ("new", run + 1, diff.new_runs()),
    };
    if runs == 1 { side.into() } else { format!("{side} {number}") }
}

/// One sentence that says why two sides cannot be compared.
pub fn refusal(comparability: &Comparability) -> String {
    let reasons = comparability.reasons.join("; ");
    let reasons = Printable(&reasons);
    format!("the recordings cannot be compared: {reasons}; use --force to compare them anyway")
}

/// One sentence that names a broken rule and the values that broke it.
pub fn breach(breach: &Breach) -> String {
    let Samples { old, new } = &breach.samples;
    let [old, new] = match breach.is_time {
        true => format::times(&breach.samples),
        false => [format::count(old), format::count(new)],
    };
    let what = breach.what.as_deref().unwrap_or("all together");
    let doubt = if breach.has_evidence { "" } else { "; one run of a side is no evidence" };
    let change = format::change(&breach.samples);
    format!(
        "`{}` broke: {} had {old} and has {new} ({change}){doubt}",
        Printable(&breach.rule),
        Printable(what)
    )
}
