//! Lines as a page: every file with its source, for a browser.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io::Write;

use askama::Template;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::super::page::{Data, Entry, Painted, Shell, file_name};
use super::super::trust_line;
use super::super::units::{Time, plural};
use crate::Result;
use crate::measure::{Callee, FileLines, FunctionLines, LineTotals, Lines, Sources, label};

/// What a page says of its recording.
#[derive(Clone, Debug, Default)]
pub struct PageOptions {
    /// What was run.
    pub command: Vec<String>,
    /// The files that are others now, where the page is made, than those that ran.
    pub changed: HashSet<String>,
}

/// Writes a page that shows each line of each file with its hits and times.
pub fn write_page(
    lines: &Lines,
    sources: &Sources,
    options: &PageOptions,
    out: &mut impl Write,
) -> Result<()> {
    let index = Index::of(lines, sources, options);
    let numbers: FxHashMap<&str, usize> =
        lines.files.iter().zip(0..).map(|(file, number)| (file.file.as_str(), number)).collect();
    let mut data = vec![Data::of("index", &index)?, Data::of("calls", &Calls::of(lines, &numbers))?];
    let callees: FxHashMap<&Callee, usize> = lines.callees.iter().zip(0..).collect();
    for (number, file) in lines.files.iter().enumerate() {
        data.push(Data::of(format!("file-{number}"), &File::of(file, sources, &callees))?);
    }
    let title = if options.command.is_empty() { "heat map".to_owned() } else { options.command.join(" ") };
    let shell = Shell::new(
        &title,
        vec![(trust_line(&lines.trust), &lines.trust)],
        include_str!("page/heat.css"),
        concat!(
            include_str!("page/recording.js"),
            include_str!("page/panel.js"),
            include_str!("page/heat.js")
        ),
        data,
    );
    let page = Page { shell, rows: entries(&index), has_hits: lines.has_hits };
    Ok(page.write_into(out)?)
}

/// What the template fills in.
#[derive(Template)]
#[template(path = "heat/page/heat.html")]
struct Page {
    shell: Shell,
    rows: Vec<Entry>,
    has_hits: bool,
}

/// The list of files, the hottest first.
fn entries(index: &Index) -> Vec<Entry> {
    let mut files: Vec<(usize, &IndexFile)> = index.files.iter().enumerate().collect();
    files.sort_by_key(|(_, file)| Reverse(file.self_ns));
    let entry = |(number, file): (usize, &IndexFile)| {
        let often = match file.hits {
            Some(hits) => plural(hits, "hit"),
            None => format!("{} entered", plural(file.entries, "time")),
        };
        let numbers = format!("self {}, total {}, {often}", Time(file.self_ns), Time(file.total_ns));
        Entry::new(number, file.name, file.file, numbers)
    };
    files.into_iter().map(entry).collect()
}

/// All files with their sums.
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
    /// The most that a line of it has: own time, time, hits or entries.
    hottest: [u64; 3],
    /// What one should know before one reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl<'a> Index<'a> {
    fn of(lines: &'a Lines, sources: &Sources, options: &PageOptions) -> Self {
        let file = |file: &'a FileLines| {
            let most = |number: fn(&LineTotals) -> u64| file.lines.iter().map(number).max().unwrap_or(0);
            IndexFile {
                name: file_name(file.module.as_deref(), &file.file),
                file: &file.file,
                self_ns: file.self_ns,
                total_ns: file.total_ns,
                hits: lines.has_hits.then(|| file.lines.iter().filter_map(|line| line.hits).sum()),
                entries: file.lines.iter().map(|line| line.entries).sum(),
                hottest: [
                    most(|line| line.self_ns),
                    most(|line| line.total_ns),
                    most(|line| line.hits.unwrap_or(line.entries)),
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

fn note(file: &str, sources: &Sources, options: &PageOptions) -> Option<&'static str> {
    match sources.text(file) {
        Some(_) if options.changed.contains(file) => {
            Some("This file has been changed since. What you see is what ran.")
        }
        Some(_) => None,
        None if sources.knows(file) => Some(
            "The recording does not hold what ran: the file changed meanwhile, is too long, or ran in two versions. \
             What is on disk now could be another one, so only the lines with numbers are listed.",
        ),
        None if file.starts_with('<') => {
            Some("This is no file on disk. Only the lines with numbers are listed.")
        }
        None => Some(
            "The recording does not hold the source of this file: it was gone when the recording ended, or that was \
             cut short. Only the lines with numbers are listed.",
        ),
    }
}

/// Who called whom from which line.
#[derive(Serialize)]
struct Calls<'a> {
    /// What was called: its name, its file's number in the index, its first line.
    callees: Vec<(&'a str, Option<usize>, Option<u32>)>,
    /// File, line, callee, calls and time, one after another.
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

/// A file: its source, and its lines column by column.
#[derive(Serialize)]
struct File<'a> {
    /// Lines, each ended by a newline but the last; none where the recording does not hold it.
    text: Option<String>,
    runs: Option<String>,
    line: Vec<u32>,
    hits: Option<Vec<u64>>,
    entries: Vec<u64>,
    returns: Vec<u64>,
    self_ns: Vec<u64>,
    total_ns: Vec<u64>,
    functions: Vec<FunctionColumns<'a>>,
}

/// A function: its first line, its name, its number among the callees where it was called from a line, its lines.
type FunctionColumns<'a> = (Option<u32>, &'a str, Option<usize>, &'a [u32]);

impl<'a> File<'a> {
    fn of(file: &'a FileLines, sources: &Sources, callees: &FxHashMap<&Callee, usize>) -> Self {
        let painted = sources.text(&file.file).map(Painted::of);
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
    ) -> (Option<u32>, &'a str, Option<usize>, &'a [u32]) {
        let FunctionLines { first_line, ref qualname, ref lines } = *function;
        let label = label(qualname, file.module.as_deref(), Some(&file.file), first_line);
        let callee = callees.get(&Callee { file: Some(file.file.clone()), first_line, label }).copied();
        (first_line, qualname, callee, lines)
    }
}

#[cfg(test)]
mod tests {
    //! What stands in the page, before any script runs.

    use super::*;
    use crate::Filter;
    use crate::script;

    const SCRIPT: &str = r#"
        0    7/7  function__entry   "><img\ssrc=x>.py:1:<script>alert(1)</script>  1
        100  7/7  line              "><img\ssrc=x>.py:1:<script>alert(1)</script>  2
        300  7/7  function__entry   /srv/run.py:1:f  1
        400  7/7  function__return  /srv/run.py:1:f  1
        900  7/7  function__return  "><img\ssrc=x>.py:1:<script>alert(1)</script>  2
        910  7/7  source            "><img\ssrc=x>.py::  2  1  # </script><!-- <img>\ng()\n
    "#;

    fn page(changed: &[&str]) -> String {
        let (trace, _directory) = script::trace(SCRIPT, 100);
        let lines = Lines::read(&trace, &Filter::default()).expect("a whole trace");
        let sources = Sources::read(&trace).expect("a whole trace");
        let changed = changed.iter().map(|file| file.to_string()).collect();
        let options = PageOptions { command: vec!["python3".into(), "<b>.py".into()], changed };
        let mut out = Vec::new();
        write_page(&lines, &sources, &options, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn names_and_texts_are_no_markup() {
        let page = page(&[]);
        let body = page.split("<body>").nth(1).expect("a body");
        let data = body.split("<script>").next().expect("what stands before the script");
        assert!(!data.contains("<img") && !data.contains("<b>.py") && !data.contains("<!--"), "{data}");
        assert_eq!(
            data.matches("<script").count(),
            data.matches("<script type=\"application/json\" id=").count()
        );
        assert!(data.contains("python3 &#60;b&#62;.py"), "{data}");
    }

    #[test]
    fn sums_and_trust_are_there_without_scripts() {
        let page = page(&[]);
        assert!(page.contains("self 800 ns, total 900 ns, 1 hit"), "{page}");
        assert!(page.contains("<div>trust: 5 events, 0 lost, 0 repaired, exited with 0"), "{page}");
    }

    #[test]
    fn nothing_is_loaded_and_only_our_script_runs() {
        let page = page(&[]);
        let policy = page.split("Content-Security-Policy\" content=\"").nth(1).expect("a policy");
        assert!(policy.starts_with("default-src &#39;none&#39;; style-src &#39;sha256-"), "{policy}");
        assert!(!page.contains(" src=\"") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn of_each_file_it_says_what_of_it_is_known() {
        let notes = |page: &str| -> Vec<bool> {
            ["has been changed since", "was gone when the recording ended"]
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
