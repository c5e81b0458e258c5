//! The table as plain text. The first columns have the layout of the classic SystemTap script.

use std::io::{self, Write};
use std::time::Duration;

use pyrec_analyzer::Printable;
use pyrec_analyzer::report::Count;
use pyrec_schema::MarkerGroup;

use super::table::{Row, RowFilter, Samples, Sort, Window, per_second};

/// Options of a printed table.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions<'a> {
    /// The marker groups that are counted.
    pub groups: &'a [MarkerGroup],
    /// The order of the rows.
    pub sort: Sort,
    /// Selects the rows.
    pub filter: &'a RowFilter,
    /// The maximum number of rows; None for all.
    pub rows: Option<usize>,
}

/// Writes a headline, the names of the columns, and the rows.
pub fn write(
    samples: &Samples,
    window: Window,
    options: &TableOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{}", headline(samples, window, options.groups))?;
    writeln!(
        out,
        "{:>6} {:>80} {:>6} {:>30} {:>6} {:>10} {:>10} {:>10}",
        "PID", "FILENAME", "LINE", "FUNCTION", "CALLS", "SELF", "TOTAL", "ALL CALLS"
    )?;
    let rows = samples.rows(window, options.sort, options.filter);
    rows.iter().take(options.rows.unwrap_or(rows.len())).try_for_each(|row| write_row(row, out))
}

/// The elapsed time, the window, and the summary.
fn headline(samples: &Samples, window: Window, groups: &[MarkerGroup]) -> String {
    let seconds = samples.current.elapsed.as_secs_f64();
    let window_name = match window {
        Window::Interval => "",
        Window::Start => ", since the start",
    };
    format!("pyrec top: {seconds:.1} s{window_name}, {}", summary(samples, window, groups))
}

/// Processes, rates, and losses, in one line.
pub fn summary(samples: &Samples, window: Window, groups: &[MarkerGroup]) -> String {
    let mut text = match samples.processes() {
        1 => "1 process".to_owned(),
        count => format!("{} processes", Count(count as u64)),
    };
    for (name, count) in rates(samples, window, groups) {
        text += &format!(", {} {name}/s", Count(per_second(count, samples.duration(window))));
    }
    text += &format!(", {} lost", Count(samples.current.lost));
    if samples.current.untimed > 0 {
        text += &format!(", {} counted but not timed", Count(samples.current.untimed));
    }
    text
}

/// The names and numbers of the counted events in the window.
fn rates(samples: &Samples, window: Window, groups: &[MarkerGroup]) -> Vec<(&'static str, u64)> {
    let named = groups.iter().filter_map(|&group| match group {
        MarkerGroup::Function => Some(("calls", samples.calls(window))),
        MarkerGroup::Line => Some(("lines", samples.events(group, window))),
        MarkerGroup::Gc => Some(("collections", samples.events(group, window))),
        MarkerGroup::Import => Some(("imports", samples.events(group, window))),
        MarkerGroup::Audit => Some(("audit events", samples.events(group, window))),
        _ => None,
    });
    named.collect()
}

fn write_row(row: &Row, out: &mut impl Write) -> io::Result<()> {
    let (code, tally) = (row.code(), row.tally);
    let line = code.first_line.map_or_else(|| "-".into(), |line| line.to_string());
    let (file, name) = (Printable(code.file).to_string(), Printable(code.qualname).to_string());
    let file = if file.is_empty() { "-" } else { &file };
    let [self_s, total_s] = [tally.self_ns, tally.total_ns].map(|ns| Duration::from_nanos(ns).as_secs_f64());
    let (pid, calls, all) = (row.pid, tally.calls, row.total.calls);
    writeln!(
        out,
        "{pid:>6} {file:>80} {line:>6} {name:>30} {calls:>6} {self_s:>10.6} {total_s:>10.6} {all:>10}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::{counts, samples};
    use super::*;

    fn text(samples: &Samples, window: Window, rows: Option<usize>) -> String {
        let (mut out, filter) = (Vec::new(), RowFilter::default());
        let groups = &[MarkerGroup::Function, MarkerGroup::Gc];
        let options = TableOptions { groups, sort: Sort::Calls, filter: &filter, rows };
        write(samples, window, &options, &mut out).expect("a write to a vector succeeds");
        String::from_utf8(out).expect("the table is UTF-8")
    }

    #[test]
    fn the_first_columns_have_the_classic_layout() {
        let text = text(&samples(), Window::Interval, Some(1));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "pyrec top: 3.0 s, 2 processes, 300 calls/s, 0 collections/s, 0 lost");
        // The classic script's format: %6s %80s %6s %30s %6s
        let (pad80, pad30) = (" ".repeat(80 - 11), " ".repeat(30 - 4));
        assert_eq!(
            lines[2],
            format!("     8 {pad80}/srv/net.py      3 {pad30}send    500   0.200000   0.300000        510")
        );
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with(&format!("   PID {}FILENAME   LINE ", " ".repeat(72))), "{}", lines[1]);
    }

    #[test]
    fn control_characters_in_names_are_escaped() {
        let mut samples = Samples::default();
        samples.push(counts(1, &[(7, "/tmp/\u{1b}[2J.py:1:f\u{202e}\n", 1, 1, 1)]));
        let text = text(&samples, Window::Start, None);
        assert!(text.contains("\\u{1b}[2J.py") && text.contains("f\\u{202e}\\u{a}"), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn events_that_were_lost_or_not_timed_are_in_the_headline() {
        let mut samples = samples();
        assert!(!text(&samples, Window::Start, None).contains("timed"));
        (samples.current.lost, samples.current.untimed) = (1234, 5);
        let text = text(&samples, Window::Start, None);
        assert!(text.contains("since the start, 2 processes, 504 calls/s"), "{text}");
        assert!(text.contains(", 1,234 lost, 5 counted but not timed\n"), "{text}");
    }
}
