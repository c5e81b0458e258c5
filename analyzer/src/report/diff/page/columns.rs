//! What is known of lines, column by column.

use serde::Serialize;

use super::super::cells;
use crate::measure::diff::{CountVerdict, Diff, LineDiff, Samples, Times, Verdict};

/// A number that lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    SelfTime,
    TotalTime,
    /// How often the line was begun; where lines were not recorded, entries.
    Hits,
    Entries,
}

/// What can be said of a change, in a letter. A capital says that it is known to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known(char);

/// A number of each line: of the middle run of each side, and what can be said.
#[derive(Debug, Serialize)]
pub struct Column {
    old: Vec<u64>,
    new: Vec<u64>,
    verdict: String,
    /// Between which limits the change lies; only where both sides have several runs, and only of times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interval: Vec<String>,
    /// Where runs of a side differ by themselves in a count: the place in the column, and the range of each side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<(usize, [String; 2])>,
}

impl Known {
    /// Whether it is a change, and no accident.
    pub fn is_known(self) -> bool {
        self.0.is_ascii_uppercase()
    }
}

impl Measure {
    /// Those that lines are coloured by, in the order of the switch.
    pub const ALL: [Measure; 3] = [Measure::SelfTime, Measure::TotalTime, Measure::Hits];

    /// Its numbers.
    pub fn samples(self, line: &LineDiff, has_hits: bool) -> &Samples {
        match (self, self.times(line)) {
            (_, Some(times)) => &times.samples,
            (Measure::Hits, None) if has_hits => &line.hits,
            _ => &line.entries,
        }
    }

    fn times(self, line: &LineDiff) -> Option<&Times> {
        match self {
            Measure::SelfTime => Some(&line.self_ns),
            Measure::TotalTime => Some(&line.total_ns),
            Measure::Hits | Measure::Entries => None,
        }
    }

    /// What can be said of its change. The time of a line that only one side came to came or went with it.
    pub fn verdict(self, line: &LineDiff, has_hits: bool) -> Known {
        let Some(times) = self.times(line) else {
            return Known(match self.samples(line, has_hits).verdict() {
                CountVerdict::Same => 's',
                CountVerdict::Varies => 'v',
                CountVerdict::Changed => 'C',
            });
        };
        let often = Measure::Hits.samples(line, has_hits);
        Known(match times.verdict {
            _ if often.verdict() == CountVerdict::Changed && often.is_one_sided() => 'X',
            Verdict::Faster => 'F',
            Verdict::Slower => 'S',
            Verdict::TooShort => 't',
            Verdict::NoEvidence => 'n',
            Verdict::OneRun | Verdict::OneSided => 'o',
        })
    }
}

impl Column {
    /// The column of these lines.
    pub fn of<'a>(
        measure: Measure,
        diff: &Diff,
        lines: impl Iterator<Item = &'a LineDiff> + Clone,
    ) -> Column {
        let samples = || lines.clone().map(|line| measure.samples(line, diff.has_hits));
        let times = lines.clone().filter_map(|line| measure.times(line));
        let is_count = matches!(measure, Measure::Hits | Measure::Entries);
        let varies = |samples: &Samples| {
            [&samples.old, &samples.new].iter().any(|side| side.iter().min() != side.iter().max())
        };
        let ranges = samples().enumerate().filter(|(_, samples)| is_count && varies(samples));
        Column {
            old: samples().map(Samples::old_median).collect(),
            new: samples().map(Samples::new_median).collect(),
            verdict: lines.clone().map(|line| measure.verdict(line, diff.has_hits).0).collect(),
            interval: if diff.has_evidence() { times.map(cells::interval).collect() } else { Vec::new() },
            ranges: ranges
                .map(|(at, Samples { old, new })| (at, [old, new].map(|side| cells::count(side))))
                .collect(),
        }
    }
}
