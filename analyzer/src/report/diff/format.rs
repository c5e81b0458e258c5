//! The texts of counts, times, changes and verdicts, which all tables of a comparison share.

use crate::measure::diff::{CountVerdict, Samples, TimeChange, TimeVerdict};
use crate::report::display::{Count, Time};

/// The count of one side: a range if its runs differ.
pub fn count(side: &[u64]) -> String {
    let (least, most) = Samples::range(side);
    if least == most { Count(least).to_string() } else { format!("{}–{}", Count(least), Count(most)) }
}

/// The median times of both sides.
pub fn times(samples: &Samples) -> [String; 2] {
    [samples.old_median(), samples.new_median()].map(|ns| Time(ns).to_string())
}

/// The change between the medians of both sides.
pub fn change(samples: &Samples) -> String {
    match (samples.old_median(), samples.new_median()) {
        (0, 0) => "0.0 %".into(),
        (0, _) => "new".into(),
        (_, 0) => "gone".into(),
        (old, new) => percent(new as f64 / old as f64),
    }
}

/// A ratio as a relative change: `+12.3 %`.
fn percent(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0);
    if percent.abs() < 0.05 { "0.0 %".into() } else { format!("{percent:+.1} %") }
}

/// The 95 % interval of the change.
pub fn interval(times: &TimeChange) -> String {
    match times.interval {
        Some(interval) => format!("{} … {}", percent(interval.low), percent(interval.high)),
        None => "unknown".into(),
    }
}

/// The verdict of a row. `name` is what `counts` counts. Of `times`, the first that has changed
/// counts, or the first if none has.
pub fn verdict(name: &str, counts: &Samples, times: &[&TimeChange]) -> String {
    let counts = match counts.verdict() {
        CountVerdict::Same => String::new(),
        CountVerdict::Varies => format!("{name} vary"),
        CountVerdict::Changed if counts.old_median() == 0 => return "new".into(),
        CountVerdict::Changed if counts.new_median() == 0 => return "gone".into(),
        CountVerdict::Changed => format!("other {name}"),
    };
    let decisive = times.iter().find(|times| times.has_changed()).or(times.first());
    let time = match decisive.map(|times| times.verdict) {
        Some(TimeVerdict::TooShort) => "too short to tell",
        Some(TimeVerdict::NoEvidence) => "no evidence of change",
        Some(TimeVerdict::Faster) => "faster",
        Some(TimeVerdict::Slower) => "slower",
        Some(TimeVerdict::OneRun | TimeVerdict::OneSided) | None => "one run",
    };
    match counts.as_str() {
        "" => time.into(),
        counts => format!("{counts}, {time}"),
    }
}

#[cfg(test)]
mod tests {
    //! The texts of small samples.

    use super::*;

    fn samples(old: &[u64], new: &[u64]) -> Samples {
        Samples { old: old.to_vec(), new: new.to_vec() }
    }

    #[test]
    fn a_change_is_relative_to_the_old_side() {
        let cases =
            [(100, 112, "+12.0 %"), (100, 50, "-50.0 %"), (0, 5, "new"), (5, 0, "gone"), (0, 0, "0.0 %")];
        for (old, new, cell) in cases {
            assert_eq!(change(&samples(&[old], &[new])), cell);
        }
        assert_eq!(change(&samples(&[100_000], &[100_001])), "0.0 %");
    }

    #[test]
    fn a_count_that_differs_between_runs_is_a_range() {
        assert_eq!((count(&[1_000, 1_000]), count(&[3, 1, 2])), ("1,000".into(), "1–3".into()));
    }

    #[test]
    fn a_verdict_names_counts_before_times() {
        let one = TimeChange::new(samples(&[5], &[9]));
        let verdict = |old, new| verdict("calls", &samples(&[old], &[new]), &[&one]);
        assert_eq!(verdict(0, 1), "new");
        assert_eq!(verdict(1, 0), "gone");
        assert_eq!(verdict(1, 2), "other calls, one run");
        assert_eq!(verdict(1, 1), "one run");
    }
}
