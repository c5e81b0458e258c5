//! The heat map as an HTML page: the source of every file with the hits and times of its lines.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io::Write;

use askama::Template;
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::Result;
use crate::measure::{Callee, FileLines, FunctionLines, LineTotals, Lines, Sources, function_label};
use crate::report::display::{Time, file_name, plural};
use crate::report::page::{EmbeddedData, FileEntry, HighlightedSource, Shell};
use crate::report::trust_line;

/// Options of the page.
#[derive(Clone, Debug, Default)]
pub struct HeatPageOptions {
    /// The command that was recorded, for the title.
    pub command: Vec<String>,
    /// The files whose content on disk differs from the source that ran.
    pub changed: HashSet<String>,
}

/// Writes a page with each line of each file, its hits and its times.
pub fn write_page(
    lines: &Lines,
    sources: &Sources,
    options: &HeatPageOptions,
    out: &mut impl Write,
) -> Result<()> {
    let index = Index::of(lines, sources, options);
    let numbers: FxHashMap<&str, usize> =
        lines.files.iter().zip(0..).map(|(file, number)| (file.file.as_str(), number)).collect();
    let mut data =
        vec![EmbeddedData::of("index", &index)?, EmbeddedData::of("calls", &Calls::of(lines, &numbers))?];
    let callees: FxHashMap<&Callee, usize> = lines.callees.iter().zip(0..).collect();
    for (number, file) in lines.files.iter().enumerate() {
        data.push(EmbeddedData::of(format!("file-{number}"), &File::of(file, sources, &callees))?);
    }
    let title = if options.command.is_empty() { "heat map".to_owned() } else { options.command.join(" ") };
    let shell = Shell::new(
        &title,
        vec![(trust_line(&lines.trust), &lines.trust)],
        include_str!("page/heat.css"),
        concat!(include_str!("page/data.js"), include_str!("page/panel.js"), include_str!("page/viewer.js")),
        data,
    );
    let page = Page { shell, files: entries(&index), has_hits: lines.has_hits };
    Ok(page.write_into(out)?)
}

/// The values of the template.
#[derive(Template)]
#[template(path = "heat/page/heat.html")]
struct Page {
    shell: Shell,
    files: Vec<FileEntry>,
    has_hits: bool,
}

/// The list of files, sorted by self time.
fn entries(index: &Index) -> Vec<FileEntry> {
    let mut files: Vec<(usize, &IndexFile)> = index.files.iter().enumerate().collect();
    files.sort_by_key(|(_, file)| Reverse(file.self_ns));
    let entry = |(number, file): (usize, &IndexFile)| {
        let hits = match file.hits {
            Some(hits) => plural(hits, "hit"),
            None => format!("{} entered", plural(file.entries, "time")),
        };
        let numbers = format!("self {}, total {}, {hits}", Time(file.self_ns), Time(file.total_ns));
        FileEntry::new(number, file.name, file.file, numbers)
    };
    files.into_iter().map(entry).collect()
}

/// The index of all files.
#[derive(Serialize)]
struct Index<'a> {
    has_hits: bool,
    total_ns: u64,
    files: Vec<IndexFile<'a>>,
}

#[derive(Serialize)]
struct IndexFile<'a> {
    name: &'a str,
    file: &'a str,
    self_ns: u64,
    total_ns: u64,
    hits: Option<u64>,
    entries: u64,
    /// The largest self time, total time, and hits of a line; entries if lines were not recorded.
    hottest: [u64; 3],
    /// A remark above the file's lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl<'a> Index<'a> {
    fn of(lines: &'a Lines, sources: &Sources, options: &HeatPageOptions) -> Self {
        let file = |file: &'a FileLines| {
            let largest = |number: fn(&LineTotals) -> u64| file.lines.iter().map(number).max().unwrap_or(0);
            IndexFile {
                name: file_name(file.module.as_deref(), &file.file),
                file: &file.file,
                self_ns: file.self_ns,
                total_ns: file.total_ns,
                hits: lines.has_hits.then(|| file.lines.iter().filter_map(|line| line.hits).sum()),
                entries: file.lines.iter().map(|line| line.entries).sum(),
                hottest: [
                    largest(|line| line.self_ns),
                    largest(|line| line.total_ns),
                    largest(|line| line.hits.unwrap_or(line.entries)),
                ],
                note: note(&file.file, sources, options),
            }
        };
        Index {
            has_hits: lines.has_hits,
            total_ns: lines.total_ns,
            files: lines.files.iter().map(file).collect(),
        }
    }
}

/// A remark if the page does not show the file as it is on disk.
fn note(file: &str, sources: &Sources, options: &HeatPageOptions) -> Option<&'static str> {
    match sources.text(file) {
        Some(_) if options.changed.contains(file) => {
            Some("This file has changed on disk since. The page shows the source that ran.")
        }
        Some(_) => None,
        None if sources.has_file(file) => Some(
            "The trace does not contain the source that ran: the file changed during the recording, is too long, or ran \
             in two versions. The file on disk may differ from it, so only lines that ran are listed.",
        ),
        None if file.starts_with('<') => {
            Some("This code does not come from a file. Only lines that ran are listed.")
        }
        None => Some(
            "The trace does not contain the source of this file: the file was gone when the recording ended, or the \
             recording was cut short. Only lines that ran are listed.",
        ),
    }
}

/// The calls between lines and functions.
#[derive(Serialize)]
struct Calls<'a> {
    /// Functions that were called: label, number of the file in the index, first line.
    callees: Vec<(&'a str, Option<usize>, Option<u32>)>,
    /// Five numbers for each calling line and callee: file, line, callee, number of calls,
    /// nanoseconds in them.
    calls: Vec<u64>,
}

impl<'a> Calls<'a> {
    fn of(lines: &'a Lines, numbers: &FxHashMap<&str, usize>) -> Self {
        let callee = |callee: &'a Callee| {
            let file = callee.file.as_deref().and_then(|file| numbers.get(file).copied());
            (callee.label.as_str(), file, callee.first_line)
        };
        let mut calls = Vec::new();
        for (number, file) in lines.files.iter().enumerate() {
            for line in &file.lines {
                for call in &line.calls {
                    let from = [number as u64, line.line.into(), call.callee as u64];
                    calls.extend(from.into_iter().chain([call.calls, call.total_ns]));
                }
            }
        }
        Calls { callees: lines.callees.iter().map(callee).collect(), calls }
    }
}

/// The source of a file, and columns of numbers for its lines.
#[derive(Serialize)]
struct File<'a> {
    /// The source lines, separated by newlines. `None` if the trace does not contain the
    /// source.
    text: Option<String>,
    /// The highlighting runs of the lines, separated by newlines.
    runs: Option<String>,
    /// The lines that have numbers, counted from 1.
    line: Vec<u32>,
    hits: Option<Vec<u64>>,
    entries: Vec<u64>,
    returns: Vec<u64>,
    self_ns: Vec<u64>,
    total_ns: Vec<u64>,
    functions: Vec<FunctionColumns<'a>>,
}

/// A function: its first line, its name, its index in [`Calls::callees`] if a recorded line called
/// it, its lines.
type FunctionColumns<'a> = (Option<u32>, &'a str, Option<usize>, &'a [u32]);

impl<'a> File<'a> {
    fn of(file: &'a FileLines, sources: &Sources, callees: &FxHashMap<&Callee, usize>) -> Self {
        let painted = sources.text(&file.file).map(HighlightedSource::of);
        let column = |number: fn(&LineTotals) -> u64| file.lines.iter().map(number).collect::<Vec<u64>>();
        File {
            text: painted.as_ref().map(|painted| painted.lines.join("\n")),
            runs: painted.as_ref().map(|painted| painted.runs.join("\n")),
            line: file.lines.iter().map(|line| line.line).collect(),
            hits: file.lines.iter().map(|line| line.hits).collect(),
            entries: column(|line| line.entries),
            returns: column(|line| line.returns),
            self_ns: column(|line| line.self_ns),
            total_ns: column(|line| line.total_ns),
            functions: file
                .functions
                .iter()
                .map(|function| File::function(file, function, callees))
                .collect(),
        }
    }

    fn function(
        file: &FileLines,
        function: &'a FunctionLines,
        callees: &FxHashMap<&Callee, usize>,
    ) -> FunctionColumns<'a> {
        let FunctionLines { first_line, ref qualname, ref lines } = *function;
        let label = function_label(qualname, file.module.as_deref(), Some(&file.file), first_line);
        let callee = callees.get(&Callee { file: Some(file.file.clone()), first_line, label }).copied();
        (first_line, qualname, callee, lines)
    }
}

#[cfg(test)]
mod tests {
    //! The page before its scripts run.

    use super::*;
    use crate::Filter;
    use crate::testing;

    const SCRIPT: &str = r#"
        0    7/7  function__entry   "><img\ssrc=x>.py:1:<script>alert(1)</script>  1
        100  7/7  line              "><img\ssrc=x>.py:1:<script>alert(1)</script>  2
        300  7/7  function__entry   /srv/run.py:1:f  1
        400  7/7  function__return  /srv/run.py:1:f  1
        900  7/7  function__return  "><img\ssrc=x>.py:1:<script>alert(1)</script>  2
        910  7/7  source            "><img\ssrc=x>.py::  2  1  # </script><!-- <img>\ng()\n
    "#;

    fn page(changed: &[&str]) -> String {
        let (trace, _directory) = testing::trace(SCRIPT, 100);
        let lines = Lines::read(&trace, &Filter::default()).expect("the trace is readable");
        let sources = Sources::read(&trace).expect("the trace is readable");
        let changed = changed.iter().map(|file| file.to_string()).collect();
        let options = HeatPageOptions { command: vec!["python3".into(), "<b>.py".into()], changed };
        let mut out = Vec::new();
        write_page(&lines, &sources, &options, &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn markup_in_names_and_texts_is_escaped() {
        let page = page(&[]);
        let body = page.split("<body>").nth(1).expect("a body");
        let data = body.split("<script>").next().expect("the part before the script");
        assert!(!data.contains("<img") && !data.contains("<b>.py") && !data.contains("<!--"), "{data}");
        assert_eq!(
            data.matches("<script").count(),
            data.matches("<script type=\"application/json\" id=").count()
        );
        assert!(data.contains("python3 &#60;b&#62;.py"), "{data}");
    }

    #[test]
    fn sums_and_trust_line_are_shown_without_scripts() {
        let page = page(&[]);
        assert!(page.contains("self 800 ns, total 900 ns, 1 hit"), "{page}");
        assert!(page.contains("<div>trust: 5 events, 0 lost, 0 repaired, exited with 0"), "{page}");
    }

    #[test]
    fn nothing_is_loaded_and_the_policy_allows_no_other_script() {
        let page = page(&[]);
        let policy = page.split("Content-Security-Policy\" content=\"").nth(1).expect("a policy");
        assert!(policy.starts_with("default-src &#39;none&#39;; style-src &#39;sha256-"), "{policy}");
        assert!(!page.contains(" src=\"") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn a_file_that_differs_from_disk_has_a_note() {
        let notes = |page: &str| -> Vec<bool> {
            ["has changed on disk since", "was gone when the recording ended"]
                .map(|note| page.contains(note))
                .to_vec()
        };
        assert_eq!(notes(&page(&[])), [false, true]);
        assert_eq!(notes(&page(&["\"><img src=x>.py"])), [true, true]);
    }

    #[test]
    fn the_same_trace_gives_the_same_page() {
        assert_eq!(page(&[]), page(&[]));
    }
}
