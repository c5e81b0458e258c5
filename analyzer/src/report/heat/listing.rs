//! Source lines in a terminal: the hottest lines, or a source listing with the numbers of each
//! line.

use std::cmp::Reverse;
use std::io::{self, Write};

use anstyle::Ansi256Color;
use pyrec_schema::Code;

use super::bar::HeatBar;
use crate::escape::Printable;
use crate::filter::Pattern;
use crate::measure::{FileLines, FunctionLines, LineTotals, Lines, Sources};
use crate::report::display::{Count, Time, file_name, plural};
use crate::report::{table, trust_line};

/// The lines without numbers between two lines with numbers that are listed. A longer gap is left
/// out.
const MAX_GAP: usize = 6;

/// Options of the listing.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeatListingOptions<'a> {
    /// The files or functions whose source is listed. `None` lists the hottest lines of all files.
    pub pattern: Option<&'a Pattern>,
    /// The number of hottest lines at most; `None` lists all.
    pub rows: Option<usize>,
    /// Whether times and bars are coloured.
    pub colours: bool,
}

/// Writes the lines and the trust line.
pub fn write(
    lines: &Lines,
    sources: &Sources,
    options: &HeatListingOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    match options.pattern {
        None => write_hottest(lines, sources, options, out)?,
        Some(pattern) => write_sources(lines, sources, pattern, options.colours, out)?,
    }
    if !lines.has_hits {
        writeln!(
            out,
            "lines were not recorded, so the time of a function is on its first line; record them with `pyrec record --lines`"
        )?;
    }
    writeln!(out, "{}", trust_line(&lines.trust))
}

fn write_hottest(
    lines: &Lines,
    sources: &Sources,
    options: &HeatListingOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut hottest: Vec<(&FileLines, &LineTotals)> =
        lines.files.iter().flat_map(|file| file.lines.iter().map(move |line| (file, line))).collect();
    hottest.sort_by_key(|(_, line)| Reverse((line.self_ns, line.total_ns)));
    let all = hottest.len();
    hottest.truncate(options.rows.unwrap_or(all));
    if hottest.is_empty() {
        return writeln!(out, "no line ran in the selected part of the recording");
    }
    let rows: Vec<[String; 5]> = hottest
        .iter()
        .map(|(file, line)| {
            let [hits, self_time, total] = numbers(line);
            let source = sources.text(&file.file).and_then(|text| text.lines().nth(line.line as usize - 1));
            let location =
                format!("{}:{}", Printable(file_name(file.module.as_deref(), &file.file)), line.line);
            [hits, self_time, total, location, Printable(source.unwrap_or_default().trim()).to_string()]
        })
        .collect();
    table::write(["hits", "self", "total", "line", "source"], &rows, out)?;
    match all - rows.len() {
        0 => Ok(()),
        more => writeln!(out, "… and {}", plural(more as u64, "more line")),
    }
}

fn write_sources(
    lines: &Lines,
    sources: &Sources,
    pattern: &Pattern,
    colours: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let parts: Vec<(Part, Option<&str>)> = lines
        .files
        .iter()
        .flat_map(|file| {
            Part::matching(file, pattern).into_iter().map(|part| (part, sources.text(&file.file)))
        })
        .collect();
    if parts.is_empty() {
        return writeln!(out, "no file or function that ran matches {}", Printable(pattern.as_str()));
    }
    let hottest_ns =
        parts.iter().flat_map(|(part, _)| part.totals()).map(|line| line.self_ns).max().unwrap_or(0);
    for (at, (part, text)) in parts.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", part.headline())?;
        Listing::of(part.rows(*text), hottest_ns, colours).write(out)?;
        if text.is_none() {
            writeln!(out, "the trace does not contain the source of this file")?;
        }
    }
    Ok(())
}

/// A part of a listing: a file, or one function of it.
struct Part<'a> {
    file: &'a FileLines,
    function: Option<&'a FunctionLines>,
}

impl<'a> Part<'a> {
    /// The whole file if its name matches the pattern, else its functions that match.
    fn matching(file: &'a FileLines, pattern: &Pattern) -> Vec<Part<'a>> {
        let code = |qualname| Code { file: &file.file, first_line: None, qualname };
        if pattern.is_match(&code("")) {
            return vec![Part { file, function: None }];
        }
        let functions =
            file.functions.iter().filter(|function| pattern.matches_function(&code(&function.qualname)));
        functions.map(|function| Part { file, function: Some(function) }).collect()
    }

    fn headline(&self) -> String {
        let FileLines { file, self_ns, total_ns, .. } = self.file;
        match self.function {
            None => format!("{}: self {}, total {}", Printable(file), Time(*self_ns), Time(*total_ns)),
            Some(function) => format!("{} in {}", Printable(&function.qualname), Printable(file)),
        }
    }

    /// Its lines that have numbers.
    fn totals(&self) -> impl Iterator<Item = &'a LineTotals> {
        let function = self.function;
        let is_in_part =
            move |line: &u32| function.is_none_or(|function| function.lines.binary_search(line).is_ok());
        self.file.lines.iter().filter(move |totals| is_in_part(&totals.line))
    }

    /// The lines to be listed: those that have numbers, and short gaps of source between them.
    fn rows<'t>(&self, text: Option<&'t str>) -> Vec<Row<'t, 'a>> {
        let source: Vec<&str> = text.map(|text| text.lines().collect()).unwrap_or_default();
        let row = |number: u32, totals| Row {
            number,
            totals,
            source: source.get(number as usize - 1).copied().unwrap_or_default(),
        };
        let mut rows: Vec<Row> = Vec::new();
        for totals in self.totals() {
            let between = rows.last().map_or(0..0, |before| before.number + 1..totals.line);
            if !source.is_empty() && between.len() <= MAX_GAP {
                rows.extend(between.map(|number| row(number, None)));
            }
            rows.push(row(totals.line, Some(totals)));
        }
        rows
    }
}

/// A row of the listing.
struct Row<'t, 'a> {
    number: u32,
    totals: Option<&'a LineTotals>,
    source: &'t str,
}

const HEAD: [&str; 3] = ["hits", "total", "self"];

/// The rows of a listing with the widths of their columns.
struct Listing<'t, 'a> {
    rows: Vec<Row<'t, 'a>>,
    /// The hits, total time and self time of each row.
    cells: Vec<[String; 3]>,
    /// The widths of these columns.
    widths: [usize; 3],
    /// The width of the line numbers.
    digits: usize,
    /// The self time of a full bar.
    hottest_ns: u64,
    colours: bool,
}

impl<'t, 'a> Listing<'t, 'a> {
    fn of(rows: Vec<Row<'t, 'a>>, hottest_ns: u64, colours: bool) -> Self {
        let cells: Vec<[String; 3]> = rows
            .iter()
            .map(|row| {
                row.totals.map(numbers).map(|[hits, own, total]| [hits, total, own]).unwrap_or_default()
            })
            .collect();
        let width = |at: usize| cells.iter().map(|cells| cells[at].chars().count()).max().unwrap_or(0);
        let widths = std::array::from_fn(|at| width(at).max(HEAD[at].len()));
        let digits = rows.last().map_or(0, |row| row.number.to_string().len()).max(4);
        Listing { rows, cells, widths, digits, hottest_ns, colours }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let ([hits, total, own], digits) = (self.widths, self.digits);
        let [hits_head, total_head, own_head] = HEAD;
        writeln!(
            out,
            "{hits_head:>hits$}  {total_head:>total$}  {own_head:>own$}          {:>digits$}",
            "line"
        )?;
        let mut next = None;
        for (row, cells) in self.rows.iter().zip(&self.cells) {
            if next.is_some_and(|next| next < row.number) {
                writeln!(out, "{:>1$}", "⋮", hits + total + own + digits + 14)?;
            }
            writeln!(out, "{}", self.line(row, cells).trim_end())?;
            next = Some(row.number + 1);
        }
        Ok(())
    }

    fn line(&self, row: &Row, [hits, total, own]: &[String; 3]) -> String {
        let [hits_width, total_width, own_width] = self.widths;
        let bar = HeatBar { part: row.totals.map_or(0, |totals| totals.self_ns), whole: self.hottest_ns };
        let heat = format!("{own:>own_width$}  {bar:<6}");
        let heat = match bar.colour().filter(|_| self.colours) {
            Some(colour) => format!("{}{heat}{}", Ansi256Color(colour).render_fg(), anstyle::Reset.render()),
            None => heat,
        };
        let (digits, number, source) = (self.digits, row.number, Printable(row.source).to_string());
        format!("{hits:>hits_width$}  {total:>total_width$}  {heat}  {number:>digits$}  {source}")
    }
}

/// Hits, self time and total time.
fn numbers(line: &LineTotals) -> [String; 3] {
    let hits = line.hits.map_or("unknown".into(), |hits| Count(hits).to_string());
    [hits, Time(line.self_ns).to_string(), Time(line.total_ns).to_string()]
}

#[cfg(test)]
mod tests {
    //! Listings of a small trace.

    use super::*;
    use crate::Filter;
    use crate::testing;

    const SCRIPT: &str = "
        0    7/7  function__entry   /srv/run.py:1:f  1
        100  7/7  line              /srv/run.py:1:f  2
        300  7/7  function__entry   /lib/n.py:12:g  12
        400  7/7  line              /lib/n.py:12:g  13
        700  7/7  function__return  /lib/n.py:12:g  13
        800  7/7  line              /srv/run.py:1:f  30
        900  7/7  function__return  /srv/run.py:1:f  30
        910  7/7  source            /srv/run.py::  30  1  def f():\\n\\s\\s\\s\\s\\u{1b}[2Jg()\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\s\\s\\s\\sreturn 1\\n
    ";

    fn text(pattern: Option<&str>, rows: Option<usize>, colours: bool) -> String {
        text_of(SCRIPT, pattern, rows, colours)
    }

    fn text_of(script: &str, pattern: Option<&str>, rows: Option<usize>, colours: bool) -> String {
        let (trace, _directory) = testing::trace(script, 100);
        let lines = Lines::read(&trace, &Filter::default()).expect("the trace is readable");
        let sources = Sources::read(&trace).expect("the trace is readable");
        let pattern = pattern.map(|pattern| pattern.parse().expect("the pattern is valid"));
        let mut out = Vec::new();
        write(&lines, &sources, &HeatListingOptions { pattern: pattern.as_ref(), rows, colours }, &mut out)
            .expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn the_hottest_lines_are_first() {
        assert_eq!(
            text(None, Some(2), false),
            "\
hits    self   total        line  source
   1  300 ns  700 ns  __main__:2  \\u{1b}[2Jg()
   1  300 ns  300 ns        n:13  
… and 3 more lines
trust: 7 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
        );
    }

    #[test]
    fn a_function_is_listed_with_its_source() {
        assert_eq!(
            text(Some("f"), None, false),
            "\
f in /srv/run.py
hits   total    self          line
   0  100 ns  100 ns  ██         1  def f():
   1  700 ns  300 ns  ██████     2      \\u{1b}[2Jg()
                                 ⋮
   1  100 ns  100 ns  ██        30      return 1
trust: 7 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
        );
    }

    #[test]
    fn a_missing_source_and_a_missing_function_have_messages() {
        let file = text(Some("n.py"), None, false);
        assert!(file.starts_with("/lib/n.py: self 400 ns, total 400 ns\n"), "{file}");
        assert!(file.contains("   1  300 ns  300 ns  ██████    13\n"), "{file}");
        assert!(file.contains("the trace does not contain the source of this file\n"), "{file}");
        assert!(text(Some("h"), None, false).starts_with("no file or function that ran matches h\n"));
    }

    #[test]
    fn bars_are_relative_to_the_hottest_listed_line() {
        let script = "
            0    7/7  function__entry   /srv/run.py:1:f  1
            100  7/7  function__entry   /lib/n.py:12:g   12
            101  7/7  function__return  /lib/n.py:12:g   12
            900  7/7  function__return  /srv/run.py:1:f  1
        ";
        let listed = text_of(script, Some("g"), None, false);
        assert!(listed.contains("1 ns  1 ns  ██████    12\n"), "{listed}");
        let listed = text_of(script, Some("*"), None, false);
        assert!(listed.contains("1 ns  1 ns  ▏         12\n"), "{listed}");
    }

    #[test]
    fn colours_are_optional() {
        let plain = text(Some("g"), None, false);
        let coloured = text(Some("g"), None, true);
        assert!(!plain.contains("\x1b[") && coloured.contains("\x1b[38;5;196m300 ns"), "{coloured}");
    }
}
