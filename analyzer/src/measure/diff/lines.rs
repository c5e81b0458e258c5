//! Hits and times of lines and files in each run. The alignment matches lines and files across
//! versions of the source.

use std::collections::BTreeMap;

use super::samples::Samples;
use super::significance::TimeChange;
use crate::measure::alignment::{Alignment, FileId, LineId};
use crate::measure::{FileLines, Lines};

/// A line that one or more runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct LineDiff {
    /// The source file.
    pub file_id: FileId,
    /// The path of the file in the first run that has the line.
    pub file: String,
    /// The line; the same id in all runs.
    pub line: LineId,
    /// Its number in the first old run that has it.
    pub old_number: Option<u32>,
    /// Its number in the first new run that has it.
    pub new_number: Option<u32>,
    /// The qualified names of the functions that the line belongs to.
    pub functions: Vec<String>,
    /// The number of `line` events.
    pub hits: Samples,
    /// The number of function entries and resumes on the line.
    pub entries: Samples,
    /// Time on the line itself.
    pub self_ns: TimeChange,
    /// Time on the line and in the functions that it calls.
    pub total_ns: TimeChange,
}

/// A source file that one or more runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct FileDiff {
    /// The source file.
    pub file_id: FileId,
    /// Its path in the first old run that executed it.
    pub old_file: Option<String>,
    /// Its path in the first new run that executed it.
    pub new_file: Option<String>,
    /// The number of `line` events.
    pub hits: Samples,
    /// The number of function entries and resumes.
    pub entries: Samples,
    /// Time on its lines.
    pub self_ns: TimeChange,
    /// Time on its lines and in the functions that they call. If a called function is in the same
    /// file, its time is counted once.
    pub total_ns: TimeChange,
}

/// The values of one line in each run.
struct LineSums {
    file: String,
    /// The line's number in the first old run and in the first new run that have it.
    numbers: [Option<u32>; 2],
    functions: Vec<String>,
    hits: Samples,
    entries: Samples,
    self_ns: Samples,
    total_ns: Samples,
}

/// Collects the values of each file in each run. The first `old_runs` of `runs` are the old runs.
/// The result is sorted by file id.
pub fn align_files(runs: &[Lines], old_runs: usize, alignment: &Alignment) -> Vec<FileDiff> {
    let mut sums: BTreeMap<FileId, FileDiff> = BTreeMap::new();
    let zero = || Samples::zero(old_runs, runs.len() - old_runs);
    for (run, lines) in runs.iter().enumerate() {
        for file in &lines.files {
            let Some(file_id) = alignment.file_id(run, &file.file) else { continue };
            let sum = sums.entry(file_id).or_insert_with(|| FileDiff {
                file_id,
                old_file: None,
                new_file: None,
                hits: zero(),
                entries: zero(),
                self_ns: TimeChange::new(zero()),
                total_ns: TimeChange::new(zero()),
            });
            let path = if run < old_runs { &mut sum.old_file } else { &mut sum.new_file };
            path.get_or_insert_with(|| file.file.clone());
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

/// Collects the values of each line in each run. The first `old_runs` of `runs` are the old runs.
/// The result is sorted by file id, then by line id.
pub fn align_lines(runs: &[Lines], old_runs: usize, alignment: &Alignment) -> Vec<LineDiff> {
    let mut sums: BTreeMap<(FileId, LineId), LineSums> = BTreeMap::new();
    let zero = || Samples::zero(old_runs, runs.len() - old_runs);
    for (run, lines) in runs.iter().enumerate() {
        for file in &lines.files {
            for line in &file.lines {
                let Some(key) = alignment.line_id(run, &file.file, line.line) else { continue };
                let sum = sums.entry(key).or_insert_with(|| LineSums {
                    file: file.file.clone(),
                    numbers: [None; 2],
                    functions: functions_with_line(file, line.line),
                    hits: zero(),
                    entries: zero(),
                    self_ns: zero(),
                    total_ns: zero(),
                });
                sum.numbers[usize::from(run >= old_runs)].get_or_insert(line.line);
                sum.hits.add(run, line.hits.unwrap_or(0));
                sum.entries.add(run, line.entries);
                sum.self_ns.add(run, line.self_ns);
                sum.total_ns.add(run, line.total_ns);
            }
        }
    }
    let diff = |((file_id, line), sum): ((FileId, LineId), LineSums)| LineDiff {
        file_id,
        file: sum.file,
        line,
        old_number: sum.numbers[0],
        new_number: sum.numbers[1],
        functions: sum.functions,
        hits: sum.hits,
        entries: sum.entries,
        self_ns: TimeChange::new(sum.self_ns),
        total_ns: TimeChange::new(sum.total_ns),
    };
    sums.into_iter().map(diff).collect()
}

fn functions_with_line(file: &FileLines, line: u32) -> Vec<String> {
    let functions = file.functions.iter().filter(|function| function.lines.binary_search(&line).is_ok());
    functions.map(|function| function.qualname.clone()).collect()
}
