//! The table as plain text, in the layout of the classic scripts, with more columns after theirs.

use std::io::{self, Write};
use std::time::Duration;

use pyrec_analyzer::Plain;
use pyrec_analyzer::report::Count;
use pyrec_schema::MarkerGroup;

use super::table::{Looks, Row, Show, Sort, Window, per_second};

/// How a table is printed.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// The markers that are counted.
    pub groups: &'a [MarkerGroup],
    /// What comes first.
    pub sort: Sort,
    /// Which functions there are.
    pub show: &'a Show,
    /// How many of them; all, if there is no number.
    pub rows: Option<usize>,
}

/// Writes a headline, the names of the columns, and the functions.
pub fn write(looks: &Looks, window: Window, layout: &Layout, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", headline(looks, window, layout.groups))?;
    writeln!(
        out,
        "{:>6} {:>80} {:>6} {:>30} {:>6} {:>10} {:>10} {:>10}",
        "PID", "FILENAME", "LINE", "FUNCTION", "CALLS", "SELF", "TOTAL", "ALL CALLS"
    )?;
    let rows = looks.rows(window, layout.sort, layout.show);
    rows.iter().take(layout.rows.unwrap_or(rows.len())).try_for_each(|row| write_row(row, out))
}

/// What happened, in one line.
fn headline(looks: &Looks, window: Window, groups: &[MarkerGroup]) -> String {
    let seconds = looks.last.elapsed.as_secs_f64();
    let of = match window {
        Window::Interval => "",
        Window::Start => ", since the beginning",
    };
    format!("pyrec top: {seconds:.1} s{of}, {}", summary(looks, window, groups))
}

/// How much happened, and what is missing.
pub fn summary(looks: &Looks, window: Window, groups: &[MarkerGroup]) -> String {
    let mut text = match looks.processes() {
        1 => "1 process".to_owned(),
        count => format!("{} processes", Count(count as u64)),
    };
    for (name, count) in rates(looks, window, groups) {
        text += &format!(", {} {name}/s", Count(per_second(count, looks.length(window))));
    }
    text += &format!(", {} lost", Count(looks.last.lost));
    if looks.last.untimed > 0 {
        text += &format!(", {} counted but not timed", Count(looks.last.untimed));
    }
    text
}

/// What is counted beside functions, by name, and how often it happened.
fn rates(looks: &Looks, window: Window, groups: &[MarkerGroup]) -> Vec<(&'static str, u64)> {
    let named = groups.iter().filter_map(|&group| match group {
        MarkerGroup::Function => Some(("calls", looks.calls(window))),
        MarkerGroup::Line => Some(("lines", looks.events(group, window))),
        MarkerGroup::Gc => Some(("collections", looks.events(group, window))),
        MarkerGroup::Import => Some(("imports", looks.events(group, window))),
        MarkerGroup::Audit => Some(("audit events", looks.events(group, window))),
        _ => None,
    });
    named.collect()
}

fn write_row(row: &Row, out: &mut impl Write) -> io::Result<()> {
    let (code, tally) = (row.code(), row.tally);
    let line = code.first_line.map_or_else(|| "-".into(), |line| line.to_string());
    let (file, name) = (Plain(code.file).to_string(), Plain(code.qualname).to_string());
    let file = if file.is_empty() { "-" } else { &file };
    let [self_s, total_s] = [tally.self_ns, tally.total_ns].map(|ns| Duration::from_nanos(ns).as_secs_f64());
    let (pid, calls, all) = (row.pid, tally.calls, row.all.calls);
    writeln!(
        out,
        "{pid:>6} {file:>80} {line:>6} {name:>30} {calls:>6} {self_s:>10.6} {total_s:>10.6} {all:>10}"
    )
}

#[cfg(test)]
mod tests {
    //! What a pipe gets.

    use super::super::table::tests::{counts, looks};
    use super::*;

    fn text(looks: &Looks, window: Window, rows: Option<usize>) -> String {
        let (mut out, show) = (Vec::new(), Show::default());
        let groups = &[MarkerGroup::Function, MarkerGroup::Gc];
        let layout = Layout { groups, sort: Sort::Calls, show: &show, rows };
        write(looks, window, &layout, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_columns_are_the_classic_ones_first() {
        let text = text(&looks(), Window::Interval, Some(1));
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
    fn names_of_strangers_are_plain() {
        let mut looks = Looks::default();
        looks.push(counts(1, &[(7, "/tmp/\u{1b}[2J.py:1:f\u{202e}\n", 1, 1, 1)]));
        let text = text(&looks, Window::Start, None);
        assert!(text.contains("\\u{1b}[2J.py") && text.contains("f\\u{202e}\\u{a}"), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn what_is_not_counted_or_timed_is_said() {
        let mut looks = looks();
        assert!(!text(&looks, Window::Start, None).contains("timed"));
        (looks.last.lost, looks.last.untimed) = (1234, 5);
        let text = text(&looks, Window::Start, None);
        assert!(text.contains("since the beginning, 2 processes, 504 calls/s"), "{text}");
        assert!(text.contains(", 1,234 lost, 5 counted but not timed\n"), "{text}");
    }
}
