//! Lines of all runs, matched through changes of the source.

use std::collections::BTreeMap;

use super::align::Alignment;
use super::evidence::Times;
use super::places::PlaceId;
use super::samples::Samples;
use super::texts::LineId;
use crate::measure::{FileLines, Lines};

/// A line of any run.
#[derive(Clone, Debug, PartialEq)]
pub struct LineDiff {
    /// The module or file that it is in.
    pub place: PlaceId,
    /// Its file in the first run that has it.
    pub file: String,
    /// Which line of it.
    pub line: LineId,
    /// Its number in the first old run that has it.
    pub old_number: Option<u32>,
    /// Its number in the first new run that has it.
    pub new_number: Option<u32>,
    /// The qualified names of the functions that it is in.
    pub functions: Vec<String>,
    /// How often it was begun.
    pub hits: Samples,
    /// How often a function began or went on here.
    pub entries: Samples,
    /// Time on the line itself.
    pub self_ns: Times,
    /// Time on it and in what it called.
    pub total_ns: Times,
}

/// A file of any run.
#[derive(Clone, Debug, PartialEq)]
pub struct FileDiff {
    /// The module or file that it is.
    pub place: PlaceId,
    /// Its path in the first old run that came to it.
    pub old_file: Option<String>,
    /// Its path in the first new run that came to it.
    pub new_file: Option<String>,
    /// How often its lines were begun.
    pub hits: Samples,
    /// How often its functions began or went on.
    pub entries: Samples,
    /// Time on its lines.
    pub self_ns: Times,
    /// Time on its lines and in what they called, a call from within it counted once.
    pub total_ns: Times,
}

/// What is added up for a line.
struct Sum {
    file: String,
    numbers: [Option<u32>; 2],
    functions: Vec<String>,
    hits: Samples,
    entries: Samples,
    self_ns: Samples,
    total_ns: Samples,
}

/// Adds up the files of all runs, the old ones first, in the order of their places.
pub fn align_files(runs: &[Lines], old_runs: usize, alignment: &Alignment) -> Vec<FileDiff> {
    let mut sums: BTreeMap<PlaceId, FileDiff> = BTreeMap::new();
    let none = || Samples::none(old_runs, runs.len() - old_runs);
    for (run, lines) in runs.iter().enumerate() {
        for file in &lines.files {
            let Some(place) = alignment.file(run, &file.file) else { continue };
            let sum = sums.entry(place).or_insert_with(|| FileDiff {
                place,
                old_file: None,
                new_file: None,
                hits: none(),
                entries: none(),
                self_ns: Times::new(none()),
                total_ns: Times::new(none()),
            });
            let name = if run < old_runs { &mut sum.old_file } else { &mut sum.new_file };
            name.get_or_insert_with(|| file.file.clone());
            for line in &file.lines {
                sum.hits.add(run, line.hits.unwrap_or(0));
                sum.entries.add(run, line.entries);
            }
            sum.self_ns.samples.add(run, file.self_ns);
            sum.total_ns.samples.add(run, file.total_ns);
        }
    }
    sums.into_values().collect()
}

/// Adds up the lines of all runs, the old ones first, in the order of their places.
pub fn align(runs: &[Lines], old_runs: usize, alignment: &Alignment) -> Vec<LineDiff> {
    let mut sums: BTreeMap<(PlaceId, LineId), Sum> = BTreeMap::new();
    let none = || Samples::none(old_runs, runs.len() - old_runs);
    for (run, lines) in runs.iter().enumerate() {
        for file in &lines.files {
            for line in &file.lines {
                let Some(key) = alignment.line(run, &file.file, line.line) else { continue };
                let sum = sums.entry(key).or_insert_with(|| Sum {
                    file: file.file.clone(),
                    numbers: [None; 2],
                    functions: functions(file, line.line),
                    hits: none(),
                    entries: none(),
                    self_ns: none(),
                    total_ns: none(),
                });
                sum.numbers[usize::from(run >= old_runs)].get_or_insert(line.line);
                sum.hits.add(run, line.hits.unwrap_or(0));
                sum.entries.add(run, line.entries);
                sum.self_ns.add(run, line.self_ns);
                sum.total_ns.add(run, line.total_ns);
            }
        }
    }
    let diff = |((place, line), sum): ((PlaceId, LineId), Sum)| LineDiff {
        place,
        file: sum.file,
        line,
        old_number: sum.numbers[0],
        new_number: sum.numbers[1],
        functions: sum.functions,
        hits: sum.hits,
        entries: sum.entries,
        self_ns: Times::new(sum.self_ns),
        total_ns: Times::new(sum.total_ns),
    };
    sums.into_iter().map(diff).collect()
}

fn functions(file: &FileLines, line: u32) -> Vec<String> {
    let having = file.functions.iter().filter(|function| function.lines.binary_search(&line).is_ok());
    having.map(|function| function.qualname.clone()).collect()
}
