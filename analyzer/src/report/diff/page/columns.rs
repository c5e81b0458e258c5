//! The numbers and verdicts of lines as columns, for the page.

use serde::Serialize;

use crate::measure::diff::{CountVerdict, Diff, LineDiff, Samples, TimeChange, TimeVerdict};
use crate::report::diff::format;

/// A measure of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineMeasure {
    SelfTime,
    TotalTime,
    /// The number of times that the line was begun. Without line events: entries.
    Hits,
    Entries,
}

/// A verdict on a change as a letter, which the page's scripts map to text. A capital stands for
/// evidence of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictCode(char);

/// A measure of all lines: the medians of both sides, and the verdicts.
#[derive(Debug, Serialize)]
pub struct Column {
    old: Vec<u64>,
    new: Vec<u64>,
    /// A letter for each line.
    verdict: String,
    /// The 95 % intervals of times. Empty if a side has one run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interval: Vec<String>,
    /// Counts that differ between the runs of a side: the index in the column, and the range of
    /// each side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<(usize, [String; 2])>,
}

impl VerdictCode {
    /// Whether there is evidence of a change.
    pub fn has_evidence(self) -> bool {
        self.0.is_ascii_uppercase()
    }
}

impl LineMeasure {
    /// The measures that lines can be coloured by, in the order of the page's buttons.
    pub const ALL: [LineMeasure; 3] = [LineMeasure::SelfTime, LineMeasure::TotalTime, LineMeasure::Hits];

    /// The samples of a line.
    pub fn samples(self, line: &LineDiff, has_hits: bool) -> &Samples {
        match (self, self.times(line)) {
            (_, Some(times)) => &times.samples,
            (LineMeasure::Hits, None) if has_hits => &line.hits,
            _ => &line.entries,
        }
    }

    fn times(self, line: &LineDiff) -> Option<&TimeChange> {
        match self {
            LineMeasure::SelfTime => Some(&line.self_ns),
            LineMeasure::TotalTime => Some(&line.total_ns),
            LineMeasure::Hits | LineMeasure::Entries => None,
        }
    }

    /// The verdict on the change of a line. If only one side ran the line, its time has changed,
    /// too.
    pub fn verdict(self, line: &LineDiff, has_hits: bool) -> VerdictCode {
        let Some(times) = self.times(line) else {
            return VerdictCode(match self.samples(line, has_hits).verdict() {
                CountVerdict::Same => 's',
                CountVerdict::Varies => 'v',
                CountVerdict::Changed => 'C',
            });
        };
        let hits = LineMeasure::Hits.samples(line, has_hits);
        VerdictCode(match times.verdict {
            _ if hits.verdict() == CountVerdict::Changed && hits.is_one_sided() => 'X',
            TimeVerdict::Faster => 'F',
            TimeVerdict::Slower => 'S',
            TimeVerdict::TooShort => 't',
            TimeVerdict::NoEvidence => 'n',
            TimeVerdict::OneRun | TimeVerdict::OneSided => 'o',
        })
    }
}

impl Column {
    /// The column of a measure for the lines.
    pub fn of<'a>(
        measure: LineMeasure,
        diff: &Diff,
        lines: impl Iterator<Item = &'a LineDiff> + Clone,
    ) -> Column {
        let samples = || lines.clone().map(|line| measure.samples(line, diff.has_hits));
        let times = lines.clone().filter_map(|line| measure.times(line));
        let is_count = matches!(measure, LineMeasure::Hits | LineMeasure::Entries);
        let varies = |samples: &Samples| {
            [&samples.old, &samples.new].iter().any(|side| side.iter().min() != side.iter().max())
        };
        let ranges = samples().enumerate().filter(|(_, samples)| is_count && varies(samples));
        Column {
            old: samples().map(Samples::old_median).collect(),
            new: samples().map(Samples::new_median).collect(),
            verdict: lines.clone().map(|line| measure.verdict(line, diff.has_hits).0).collect(),
            interval: if diff.has_evidence() { times.map(format::interval).collect() } else { Vec::new() },
            ranges: ranges
                .map(|(at, Samples { old, new })| (at, [old, new].map(|side| format::count(side))))
                .collect(),
        }
    }
}
