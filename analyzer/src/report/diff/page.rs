//! The comparison as an HTML page: the source lines of both sides with their changes.
//!
//! ```text
//! Diff ─┬─ index    files with their sums                          ─┐
//!       └─ file-N   the merged source text of both sides,           ├─▶ page/viewer.html
//!                   and the numbers of its lines in columns        ─┘
//! ```

mod columns;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use askama::Template;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::summary::{notes, trust_lines};
use crate::measure::alignment::{ExecutedText, FileId, LineId, Side};
use crate::measure::diff::{Diff, FileDiff, LineDiff, Samples};
use crate::report::display::{Count, Time, file_name};
use crate::report::page::{EmbeddedData, FileEntry, HighlightedSource, Shell};
use crate::{Result, tree};
use columns::{Column, LineMeasure};

/// Options of the page.
#[derive(Clone, Debug, Default)]
pub struct DiffPageOptions {
    /// The command that was recorded, for the title.
    pub command: Vec<String>,
    /// The files whose content on disk differs from what the new side ran.
    pub changed: HashSet<FileId>,
}

/// Writes a page with each line of each file and its numbers on both sides.
pub fn write_page(diff: &Diff, options: &DiffPageOptions, out: &mut impl Write) -> Result<()> {
    let mut lines: FxHashMap<FileId, Vec<&LineDiff>> = FxHashMap::default();
    for line in &diff.lines {
        lines.entry(line.file_id).or_default().push(line);
    }
    let of_file = |file: &FileDiff| lines.get(&file.file_id).map_or(&[][..], Vec::as_slice);
    let index = diff.files.iter().map(|file| IndexFile::of(diff, file, of_file(file), options)).collect();
    let index = Index { has_hits: diff.has_hits, files: index };
    let mut data = vec![EmbeddedData::of("index", &index)?];
    for (number, file) in diff.files.iter().enumerate() {
        data.push(EmbeddedData::of(format!("file-{number}"), &File::of(diff, file, of_file(file)))?);
    }
    let title = match &options.command[..] {
        [] => "two sides compared".to_owned(),
        command => format!("{}, compared", command.join(" ")),
    };
    let trusts = trust_lines(diff).into_iter().zip(&diff.trust).collect();
    let shell = Shell::new(
        &title,
        trusts,
        include_str!("page/diff.css"),
        concat!(include_str!("page/data.js"), include_str!("page/panel.js"), include_str!("page/viewer.js")),
        data,
    );
    let (files, notes) = (entries(&index), notes(diff));
    let page = Page { shell, files, notes, has_hits: diff.has_hits };
    Ok(page.write_into(out)?)
}

/// The values of the template.
#[derive(Template)]
#[template(path = "diff/page/diff.html")]
struct Page {
    shell: Shell,
    files: Vec<FileEntry>,
    notes: Vec<String>,
    has_hits: bool,
}

/// The list of files, sorted by how much their hits, total times and self times changed.
fn entries(index: &Index) -> Vec<FileEntry> {
    let hits_name = if index.has_hits { "hits" } else { "entries" };
    let mut files: Vec<(usize, &IndexFile)> = index.files.iter().enumerate().collect();
    files.sort_by_key(|(_, file)| Reverse((file.moved[2], file.moved[1], file.moved[0])));
    let entry = |(number, file): (usize, &IndexFile)| {
        let counts = |[old, new]: [u64; 2]| format!("{} → {}", Count(old), Count(new));
        let times = |[old, new]: [u64; 2]| format!("{} → {}", Time(old), Time(new));
        let numbers = format!(
            "{hits_name} {}, self {}, total {}, calls {}",
            counts(file.hits),
            times(file.self_ns),
            times(file.total_ns),
            counts(file.calls)
        );
        FileEntry::new(number, file.name, file.file, numbers)
    };
    files.into_iter().map(entry).collect()
}

/// The index of all files.
#[derive(Serialize)]
struct Index<'a> {
    has_hits: bool,
    files: Vec<IndexFile<'a>>,
}

/// A file in the index. Sums are those of the old and the new side. Values by measure are in the
/// order of [`LineMeasure::ALL`] and count only lines with evidence of a change.
#[derive(Serialize)]
struct IndexFile<'a> {
    name: &'a str,
    file: &'a str,
    hits: [u64; 2],
    self_ns: [u64; 2],
    total_ns: [u64; 2],
    calls: [u64; 2],
    /// The number of lines that changed.
    changed: [usize; 3],
    /// The sum of the absolute changes of lines.
    moved: [u64; 3],
    /// The sum of the changes of lines.
    change: [i64; 3],
    /// The largest absolute change of a line.
    largest: [u64; 3],
    /// A remark above the file's lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl<'a> IndexFile<'a> {
    fn of(diff: &'a Diff, file: &'a FileDiff, lines: &[&LineDiff], options: &DiffPageOptions) -> Self {
        let path = file.new_file.as_deref().or(file.old_file.as_deref()).unwrap_or_default();
        let medians = |samples: &Samples| [samples.old_median(), samples.new_median()];
        let changes = LineMeasure::ALL.map(|measure| -> Vec<(u64, u64)> {
            let changed = lines.iter().filter(|line| measure.verdict(line, diff.has_hits).has_evidence());
            let sides = changed.map(|line| measure.samples(line, diff.has_hits));
            sides.map(|samples| (samples.old_median(), samples.new_median())).collect()
        });
        let distances = changes.each_ref().map(|changes| changes.iter().map(|&(old, new)| old.abs_diff(new)));
        let sum = |changes: &Vec<(u64, u64)>| {
            let up: u64 = tree::saturating_sum(changes.iter().map(|&(old, new)| new.saturating_sub(old)));
            let down: u64 = tree::saturating_sum(changes.iter().map(|&(old, new)| old.saturating_sub(new)));
            i64::try_from(i128::from(up) - i128::from(down)).unwrap_or(i64::MAX)
        };
        IndexFile {
            name: file_name(diff.alignment.module(file.file_id), path),
            file: path,
            hits: medians(if diff.has_hits { &file.hits } else { &file.entries }),
            self_ns: medians(&file.self_ns.samples),
            total_ns: medians(&file.total_ns.samples),
            calls: medians(&file.entries),
            changed: changes.each_ref().map(Vec::len),
            moved: distances.clone().map(tree::saturating_sum),
            change: changes.each_ref().map(sum),
            largest: distances.map(|distances| distances.max().unwrap_or(0)),
            note: note(diff, file, path, options),
        }
    }
}

/// Remarks on which source texts the recordings contain.
fn note(diff: &Diff, file: &FileDiff, path: &str, options: &DiffPageOptions) -> Option<String> {
    let ran = [Side::Old, Side::New].map(|side| diff.alignment.executed_text(file.file_id, side));
    let mut notes = Vec::new();
    let has_text = diff.alignment.text_versions(file.file_id).next().is_some();
    match ran {
        [ExecutedText::NotRun, _] => notes.push("Only the new side ran this file."),
        [_, ExecutedText::NotRun] => notes.push("Only the old side ran this file."),
        [ExecutedText::Unknown, ExecutedText::Unknown] if has_text => {
            notes.push(
                "The source text of some recordings is unknown: their lines are matched by number only.",
            );
        }
        [ExecutedText::Unknown, _] if has_text => {
            notes.push("The source text of the old side is unknown: its lines are matched by number only.");
        }
        [_, ExecutedText::Unknown] if has_text => {
            notes.push("The source text of the new side is unknown: its lines are matched by number only.");
        }
        _ => {}
    }
    if options.changed.contains(&file.file_id) {
        notes.push("This file has changed on disk since. The page shows the source that ran.");
    }
    match has_text {
        true => {}
        false if path.starts_with('<') => {
            notes.push("This code does not come from a file. Only lines that ran are listed.");
        }
        false => notes.push(
            "The traces do not contain the source that ran, and the file on disk may differ from it. Only lines that ran \
             are listed, matched by number.",
        ),
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// The rows of a file: the merged source text of both sides, and columns of numbers.
#[derive(Serialize)]
struct File<'a> {
    /// The rows of the merged text, separated by newlines. `None` if no trace contains the text.
    text: Option<String>,
    /// The highlighting runs of the rows, separated by newlines.
    runs: Option<String>,
    /// The line numbers of each row on both sides; 0 if the side does not have the row.
    old: Vec<u32>,
    new: Vec<u32>,
    /// Whether both sides ran the file. Only then are lines that one side lacks shown as added or
    /// removed.
    is_compared: bool,
    /// The rows that have numbers, counted from 1.
    line: Vec<u32>,
    hits: Column,
    entries: Option<Column>,
    self_ns: Column,
    total_ns: Column,
    /// Functions: first row, name, `None`, all rows. The third value is the callee's number on the
    /// page of the heat map, which shares the scripts that read this.
    functions: Vec<(u32, &'a str, Option<u32>, Vec<u32>)>,
}

impl<'a> File<'a> {
    fn of(diff: &'a Diff, file: &FileDiff, lines: &[&'a LineDiff]) -> Self {
        let rows = diff.alignment.merged_lines(file.file_id);
        let highlighted: Vec<HighlightedSource> =
            diff.alignment.text_versions(file.file_id).map(HighlightedSource::of).collect();
        let text = |lines: fn(&HighlightedSource) -> &Vec<String>| {
            let line = |id: LineId| lines(highlighted.get(id.version as usize)?).get(id.line as usize - 1);
            let rows = rows.iter().map(|row| line(row.line).map_or("", String::as_str));
            (!highlighted.is_empty()).then(|| rows.collect::<Vec<_>>().join("\n"))
        };
        let (text, runs) = (text(|highlighted| &highlighted.lines), text(|highlighted| &highlighted.runs));
        let mut numbers: Vec<[Option<u32>; 2]> = rows.iter().map(|row| [row.old, row.new]).collect();
        let mut row_of_line: FxHashMap<LineId, u32> = rows.iter().map(|row| row.line).zip(1..).collect();
        // Lines that are not in the text get rows after it.
        for line in lines {
            row_of_line.entry(line.line).or_insert_with(|| {
                numbers.push([line.old_number, line.new_number]);
                numbers.len() as u32
            });
        }
        let mut measured: Vec<(u32, &LineDiff)> =
            lines.iter().map(|line| (row_of_line[&line.line], *line)).collect();
        measured.sort_by_key(|(row, _)| *row);
        let column = |measure| Column::of(measure, diff, measured.iter().map(|(_, line)| *line));
        let side = |side: usize| numbers.iter().map(|numbers| numbers[side].unwrap_or(0)).collect();
        let ran = [Side::Old, Side::New].map(|side| diff.alignment.executed_text(file.file_id, side));
        File {
            text,
            runs,
            old: side(0),
            new: side(1),
            is_compared: !ran.contains(&ExecutedText::NotRun),
            line: measured.iter().map(|(row, _)| *row).collect(),
            hits: column(LineMeasure::Hits),
            entries: diff.has_hits.then(|| column(LineMeasure::Entries)),
            self_ns: column(LineMeasure::SelfTime),
            total_ns: column(LineMeasure::TotalTime),
            functions: functions(&measured),
        }
    }
}

/// The functions that ran on the rows, sorted by their first row.
fn functions<'a>(measured: &[(u32, &'a LineDiff)]) -> Vec<(u32, &'a str, Option<u32>, Vec<u32>)> {
    let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (row, line) in measured {
        for function in &line.functions {
            rows.entry(function).or_default().push(*row);
        }
    }
    let mut functions: Vec<_> =
        rows.into_iter().map(|(name, rows)| (rows.first().copied().unwrap_or(0), name, None, rows)).collect();
    functions.sort();
    functions
}

#[cfg(test)]
mod tests {
    //! The page before its scripts run, and the verdicts in its data.

    use serde_json::Value;

    use super::*;
    use crate::measure::diff::DiffOptions;
    use crate::testing;

    const HOSTILE: &str = r#""><img\ssrc=x>.py"#;

    /// A call of `took_ns` on one line, in a file with markup in its name and its text.
    fn run(took_ns: u64) -> String {
        let code = format!("{HOSTILE}:1:<script>alert(1)</script>");
        format!(
            "0 7/7 function__entry {code} 1\n{} 7/7 function__return {code} 1\n\
             9999 7/7 source {HOSTILE}:: 2 1 # </script><!-- <img>\\ng()\\n\n",
            took_ns
        )
    }

    fn page(old: &[u64], new: &[u64]) -> String {
        let traces = |side: &[u64]| side.iter().map(|&took_ns| testing::trace(&run(took_ns), 2)).unzip();
        let ((old, _old), (new, _new)): ((Vec<_>, Vec<_>), (Vec<_>, Vec<_>)) = (traces(old), traces(new));
        let options = DiffOptions { lines: true, ..DiffOptions::default() };
        let diff = Diff::read(&old, &new, &options).expect("the traces are readable");
        let options = DiffPageOptions { command: vec!["<b>.py".into()], ..DiffPageOptions::default() };
        let mut out = Vec::new();
        write_page(&diff, &options, &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    /// The embedded JSON with an id.
    fn data(page: &str, id: &str) -> Value {
        let data =
            page.split(&format!("id=\"{id}\">")).nth(1).and_then(|rest| rest.split("</script>").next());
        serde_json::from_str(data.expect("the page has the element")).expect("the output is valid JSON")
    }

    #[test]
    fn markup_in_names_and_texts_is_escaped() {
        let page = page(&[800], &[900]);
        let body = page.split("<body>").nth(1).expect("a body");
        let before = body.split("<script>").next().expect("the part before the script");
        assert!(
            !before.contains("<img") && !before.contains("<b>.py") && !before.contains("<!--"),
            "{before}"
        );
        assert_eq!(
            before.matches("<script").count(),
            before.matches("<script type=\"application/json\" id=").count()
        );
    }

    #[test]
    fn sums_notes_and_trust_lines_are_shown_without_scripts() {
        let page = page(&[800], &[900]);
        let sums = "entries 1 → 1, self 800 ns → 900 ns, total 800 ns → 900 ns, calls 1 → 1";
        assert!(page.contains(sums), "{page}");
        for side in ["old", "new"] {
            assert!(page.contains(&format!("<div>{side}: trust: 2 events, 0 lost")), "{page}");
        }
        assert!(page.contains("note: only several runs of a side show how much times vary"), "{page}");
        assert!(!page.contains(" src=\"") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn times_have_changed_only_with_evidence() {
        for (old, new, verdict, change) in [
            (&[800][..], &[8_000][..], "o", 0),
            (&[800, 8_000, 900], &[850, 7_000, 2_000], "n", 0),
            (&[800, 805, 810, 803], &[8_000, 8_010, 8_020, 8_015], "S", 8_010 - 803),
            (&[8_000, 8_010, 8_020, 8_015], &[800, 805, 810, 803], "F", 803 - 8_010),
        ] {
            let page = page(old, new);
            let file = data(&page, "file-0");
            assert_eq!(file["self_ns"]["verdict"], verdict, "{old:?} {new:?}");
            assert_eq!(file["hits"]["verdict"], "s");
            assert_eq!(data(&page, "index")["files"][0]["change"], serde_json::json!([change, change, 0]));
        }
    }
}
