//! The cells that several tables of differences have.

use crate::measure::diff::{CountVerdict, Samples, Times, Verdict};
use crate::report::units::{Count, Time};

/// A count on one side: a range where runs differ by themselves.
pub fn count(side: &[u64]) -> String {
    let (least, most) = (side.iter().min().copied().unwrap_or(0), side.iter().max().copied().unwrap_or(0));
    if least == most { Count(least).to_string() } else { format!("{}–{}", Count(least), Count(most)) }
}

/// A time on one side: that of the middle run.
pub fn times(samples: &Samples) -> [String; 2] {
    [samples.old_median(), samples.new_median()].map(|ns| Time(ns).to_string())
}

/// How far the middle runs are apart.
pub fn change(samples: &Samples) -> String {
    match (samples.old_median(), samples.new_median()) {
        (0, 0) => "0.0 %".into(),
        (0, _) => "new".into(),
        (_, 0) => "gone".into(),
        (old, new) => percent(new as f64 / old as f64),
    }
}

/// A ratio as what is more or less: `+12.3 %`.
pub fn percent(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0);
    if percent.abs() < 0.05 { "0.0 %".into() } else { format!("{percent:+.1} %") }
}

/// Between which limits the change lies.
pub fn interval(times: &Times) -> String {
    match times.interval {
        Some(interval) => format!("{} … {}", percent(interval.low), percent(interval.high)),
        None => "unknown".into(),
    }
}

/// What can be said, in words.
pub fn verdict(calls: &Samples, times: &Times) -> String {
    let time = match times.verdict {
        Verdict::OneRun | Verdict::OneSided => "",
        Verdict::TooShort => "too short to tell",
        Verdict::NoEvidence => "no evidence of change",
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
    };
    let calls = match calls.verdict() {
        CountVerdict::Same => "",
        CountVerdict::Varies => "calls vary",
        CountVerdict::Changed if calls.old_median() == 0 => "new",
        CountVerdict::Changed if calls.new_median() == 0 => "gone",
        CountVerdict::Changed => "calls changed",
    };
    match (calls, time) {
        ("", "") => "one run".into(),
        ("", words) | (words, "") => words.into(),
        (calls, time) => format!("{calls}, {time}"),
    }
}
