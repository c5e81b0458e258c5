//! Lines of both sides as a page: every file with what changed in it, for a browser.
//!
//! ```text
//! Diff ─┬─ index    files with their sums            ─┐
//!       └─ file-N   rows of both texts as one,        ├─▶ page/reader.html
//!                   and beside them column by column  ─┘
//! ```

mod columns;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use askama::Template;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::super::page::{Data, Entry, Painted, Shell, file_name};
use super::super::units::{Count, Time};
use crate::measure::diff::{Diff, FileDiff, LineDiff, LineId, PlaceId, Ran, Samples, Side};
use crate::{Result, tree};
use columns::{Column, Measure};

/// What a page says of the recordings that it compares.
#[derive(Clone, Debug, Default)]
pub struct PageOptions {
    /// What was run.
    pub command: Vec<String>,
    /// The files that are others now, where the page is made, than those that the new side ran.
    pub changed: HashSet<PlaceId>,
}

/// Writes a page that shows each line of each file with what both sides know of it.
pub fn write_page(diff: &Diff, options: &PageOptions, out: &mut impl Write) -> Result<()> {
    let mut lines: FxHashMap<PlaceId, Vec<&LineDiff>> = FxHashMap::default();
    for line in &diff.lines {
        lines.entry(line.place).or_default().push(line);
    }
    let of_file = |file: &FileDiff| lines.get(&file.place).map_or(&[][..], Vec::as_slice);
    let index = diff.files.iter().map(|file| IndexFile::of(diff, file, of_file(file), options)).collect();
    let index = Index { has_hits: diff.has_hits, files: index };
    let mut data = vec![Data::of("index", &index)?];
    for (number, file) in diff.files.iter().enumerate() {
        data.push(Data::of(format!("file-{number}"), &File::of(diff, file, of_file(file)))?);
    }
    let title = match &options.command[..] {
        [] => "two sides compared".to_owned(),
        command => format!("{}, compared", command.join(" ")),
    };
    let trusts = super::trust(diff).into_iter().zip(&diff.trust).collect();
    let shell = Shell::new(
        &title,
        trusts,
        include_str!("page/diff.css"),
        concat!(
            include_str!("page/comparison.js"),
            include_str!("page/panel.js"),
            include_str!("page/diff.js")
        ),
        data,
    );
    let (rows, notes) = (entries(&index), super::notes(diff));
    let page = Page { shell, rows, notes, has_hits: diff.has_hits };
    Ok(page.write_into(out)?)
}

/// What the template fills in.
#[derive(Template)]
#[template(path = "diff/page/diff.html")]
struct Page {
    shell: Shell,
    rows: Vec<Entry>,
    notes: Vec<String>,
    has_hits: bool,
}

/// The list of files, those that changed most first.
fn entries(index: &Index) -> Vec<Entry> {
    let often = if index.has_hits { "hits" } else { "entries" };
    let mut files: Vec<(usize, &IndexFile)> = index.files.iter().enumerate().collect();
    files.sort_by_key(|(_, file)| Reverse((file.moved[2], file.moved[1], file.moved[0])));
    let entry = |(number, file): (usize, &IndexFile)| {
        let counts = |[old, new]: [u64; 2]| format!("{} → {}", Count(old), Count(new));
        let times = |[old, new]: [u64; 2]| format!("{} → {}", Time(old), Time(new));
        let numbers = format!(
            "{often} {}, self {}, total {}, calls {}",
            counts(file.hits),
            times(file.self_ns),
            times(file.total_ns),
            counts(file.calls)
        );
        Entry::new(number, file.name, file.file, numbers)
    };
    files.into_iter().map(entry).collect()
}

/// All files with their sums.
#[derive(Serialize)]
struct Index<'a> {
    has_hits: bool,
    files: Vec<IndexFile<'a>>,
}

/// A file. Sums are those of the old side and the new one; what follows is by own time, time, and hits.
#[derive(Serialize)]
struct IndexFile<'a> {
    name: &'a str,
    file: &'a str,
    hits: [u64; 2],
    self_ns: [u64; 2],
    total_ns: [u64; 2],
    calls: [u64; 2],
    /// How many of its lines are known to have changed, how far all of them went in whatever direction, how much that is
    /// in all, and how far the one went that went farthest.
    changed: [usize; 3],
    moved: [u64; 3],
    change: [i64; 3],
    largest: [u64; 3],
    /// What one should know before one reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl<'a> IndexFile<'a> {
    fn of(diff: &'a Diff, file: &'a FileDiff, lines: &[&LineDiff], options: &PageOptions) -> Self {
        let path = file.new_file.as_deref().or(file.old_file.as_deref()).unwrap_or_default();
        let middle = |samples: &Samples| [samples.old_median(), samples.new_median()];
        let known = Measure::ALL.map(|measure| -> Vec<(u64, u64)> {
            let known = lines.iter().filter(|line| measure.verdict(line, diff.has_hits).is_known());
            let sides = known.map(|line| measure.samples(line, diff.has_hits));
            sides.map(|samples| (samples.old_median(), samples.new_median())).collect()
        });
        let distances = known.each_ref().map(|known| known.iter().map(|&(old, new)| old.abs_diff(new)));
        let sum = |known: &Vec<(u64, u64)>| {
            let up: u64 = tree::sum(known.iter().map(|&(old, new)| new.saturating_sub(old)));
            let down: u64 = tree::sum(known.iter().map(|&(old, new)| old.saturating_sub(new)));
            i64::try_from(i128::from(up) - i128::from(down)).unwrap_or(i64::MAX)
        };
        IndexFile {
            name: file_name(diff.alignment.module(file.place), path),
            file: path,
            hits: middle(if diff.has_hits { &file.hits } else { &file.entries }),
            self_ns: middle(&file.self_ns.samples),
            total_ns: middle(&file.total_ns.samples),
            calls: middle(&file.entries),
            changed: known.each_ref().map(Vec::len),
            moved: distances.clone().map(tree::sum),
            change: known.each_ref().map(sum),
            largest: distances.map(|distances| distances.max().unwrap_or(0)),
            note: note(diff, file, path, options),
        }
    }
}

/// What is known of the texts on both sides.
fn note(diff: &Diff, file: &FileDiff, path: &str, options: &PageOptions) -> Option<String> {
    let ran = [Side::Old, Side::New].map(|side| diff.alignment.ran(file.place, side));
    let mut notes = Vec::new();
    let has_text = diff.alignment.versions(file.place).next().is_some();
    match ran {
        [Ran::Nothing, _] => notes.push("Only the new side came to this file."),
        [_, Ran::Nothing] => notes.push("Only the old side came to this file."),
        [Ran::Unknown, Ran::Unknown] if has_text => {
            notes
                .push("Not every recording holds what ran: there, lines are matched by their numbers alone.");
        }
        [Ran::Unknown, _] if has_text => {
            notes.push(
                "The old side does not tell what it ran: its lines are matched by their numbers alone.",
            );
        }
        [_, Ran::Unknown] if has_text => {
            notes.push(
                "The new side does not tell what it ran: its lines are matched by their numbers alone.",
            );
        }
        _ => {}
    }
    if options.changed.contains(&file.place) {
        notes.push("This file has been changed since. What you see is what ran.");
    }
    match has_text {
        true => {}
        false if path.starts_with('<') => {
            notes.push("This is no file on disk. Only the lines with numbers are listed.");
        }
        false => notes.push(
            "The recordings do not hold what ran, and what is on disk now could be another file. Only the lines with \
             numbers are listed, matched by these.",
        ),
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// A file: the texts of both sides as one, and what is known of its rows, column by column.
#[derive(Serialize)]
struct File<'a> {
    /// Rows, each ended by a newline but the last; none where no recording holds a text.
    text: Option<String>,
    runs: Option<String>,
    /// The number of each row on both sides; 0 where a side does not have it.
    old: Vec<u32>,
    new: Vec<u32>,
    /// Whether both sides came to the file, so that a line which one of them lacks came or went.
    is_compared: bool,
    /// The rows that something is known of, from 1.
    line: Vec<u32>,
    hits: Column,
    entries: Option<Column>,
    self_ns: Column,
    total_ns: Column,
    functions: Vec<(u32, &'a str, Option<u32>, Vec<u32>)>,
}

impl<'a> File<'a> {
    fn of(diff: &'a Diff, file: &FileDiff, lines: &[&'a LineDiff]) -> Self {
        let rows = diff.alignment.rows(file.place);
        let painted: Vec<Painted> = diff.alignment.versions(file.place).map(Painted::of).collect();
        let text = |lines: fn(&Painted) -> &Vec<String>| {
            let line = |id: LineId| lines(painted.get(id.version as usize)?).get(id.line as usize - 1);
            let rows = rows.iter().map(|row| line(row.line).map_or("", String::as_str));
            (!painted.is_empty()).then(|| rows.collect::<Vec<_>>().join("\n"))
        };
        let (text, runs) = (text(|painted| &painted.lines), text(|painted| &painted.runs));
        let mut numbers: Vec<[Option<u32>; 2]> = rows.iter().map(|row| [row.old, row.new]).collect();
        let mut places: FxHashMap<LineId, u32> = rows.iter().map(|row| row.line).zip(1..).collect();
        // What is beyond the text, or without one.
        for line in lines {
            places.entry(line.line).or_insert_with(|| {
                numbers.push([line.old_number, line.new_number]);
                numbers.len() as u32
            });
        }
        let mut known: Vec<(u32, &LineDiff)> = lines.iter().map(|line| (places[&line.line], *line)).collect();
        known.sort_by_key(|(row, _)| *row);
        let column = |measure| Column::of(measure, diff, known.iter().map(|(_, line)| *line));
        let side = |side: usize| numbers.iter().map(|numbers| numbers[side].unwrap_or(0)).collect();
        let ran = [Side::Old, Side::New].map(|side| diff.alignment.ran(file.place, side));
        File {
            text,
            runs,
            old: side(0),
            new: side(1),
            is_compared: !ran.contains(&Ran::Nothing),
            line: known.iter().map(|(row, _)| *row).collect(),
            hits: column(Measure::Hits),
            entries: diff.has_hits.then(|| column(Measure::Entries)),
            self_ns: column(Measure::SelfTime),
            total_ns: column(Measure::TotalTime),
            functions: functions(&known),
        }
    }
}

/// The functions that came to the rows, in the order of the first row of each.
fn functions<'a>(known: &[(u32, &'a LineDiff)]) -> Vec<(u32, &'a str, Option<u32>, Vec<u32>)> {
    let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (row, line) in known {
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
    //! What stands in the page, before any script runs, and what is said of a change.

    use serde_json::Value;

    use super::*;
    use crate::measure::diff::Options;
    use crate::script;

    const NASTY: &str = r#""><img\ssrc=x>.py"#;

    /// A call that takes so long on its one line, in a file with markup in its name and its text.
    fn run(took_ns: u64) -> String {
        let code = format!("{NASTY}:1:<script>alert(1)</script>");
        format!(
            "0 7/7 function__entry {code} 1\n{} 7/7 function__return {code} 1\n\
             9999 7/7 source {NASTY}:: 2 1 # </script><!-- <img>\\ng()\\n\n",
            took_ns
        )
    }

    fn page(old: &[u64], new: &[u64]) -> String {
        let traces = |side: &[u64]| side.iter().map(|&took_ns| script::trace(&run(took_ns), 2)).unzip();
        let ((old, _old), (new, _new)): ((Vec<_>, Vec<_>), (Vec<_>, Vec<_>)) = (traces(old), traces(new));
        let options = Options { lines: true, ..Options::default() };
        let diff = Diff::read(&old, &new, &options).expect("whole traces");
        let options = PageOptions { command: vec!["<b>.py".into()], ..PageOptions::default() };
        let mut out = Vec::new();
        write_page(&diff, &options, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    /// What the scripts read under that name.
    fn data(page: &str, id: &str) -> Value {
        let data =
            page.split(&format!("id=\"{id}\">")).nth(1).and_then(|rest| rest.split("</script>").next());
        serde_json::from_str(data.expect("it is there")).expect("JSON")
    }

    #[test]
    fn names_and_texts_are_no_markup() {
        let page = page(&[800], &[900]);
        let body = page.split("<body>").nth(1).expect("a body");
        let before = body.split("<script>").next().expect("what stands before the script");
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
    fn sums_notes_and_the_trust_of_both_sides_are_there_without_scripts() {
        let page = page(&[800], &[900]);
        let sums = "entries 1 → 1, self 800 ns → 900 ns, total 800 ns → 900 ns, calls 1 → 1";
        assert!(page.contains(sums), "{page}");
        for side in ["old", "new"] {
            assert!(page.contains(&format!("<div>{side}: trust: 2 events, 0 lost")), "{page}");
        }
        assert!(page.contains("note: how much times differ by themselves, only several runs tell"), "{page}");
        assert!(!page.contains(" src=\"") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn times_count_as_changed_only_by_evidence() {
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
