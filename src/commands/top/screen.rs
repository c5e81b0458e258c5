//! Drawing of the view on a terminal.
//!
//! ```text
//! pyrec top  python3 app.py                              12.0 s   h help  q quit
//! 412,000 calls/s, 0 collections/s, 0 imports/s, 0 lost
//! by calls, last 1.0 s, only `parse`
//!     PID   CALLS/S       CALLS  SELF% TOTAL% FUNCTION           FILE:LINE
//!    4242   390,112   4,681,344   52.1   98.0 Parser.parse       …/json/parse.py:9
//! ── output ──────────────────────────────────────────────────────────────────────
//! the last lines that the program printed
//! ```

use std::time::Duration;

use pyrec_analyzer::Printable;
use pyrec_analyzer::report::{Count, Time};
use pyrec_schema::MarkerGroup;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use super::batch::summary;
use super::table::{Row, Samples, Sort, Window, per_second};
use super::view::{KEYS, ViewState};

/// What the view shows beside the table.
#[derive(Debug)]
pub struct ScreenContext {
    /// The target: a command line, or process numbers.
    pub title: String,
    /// The marker groups that are counted.
    pub groups: Vec<MarkerGroup>,
    /// The last lines that a program started by pyrec printed.
    pub output: Vec<String>,
    /// Whether to draw in colours.
    pub colours: bool,
}

/// Lines of the program's output that are shown at most.
pub const OUTPUT_LINES: usize = 3;

/// The minimum height of a screen, in lines, that shows output of the program.
const MIN_HEIGHT_WITH_OUTPUT: u16 = 12;

/// The columns with numbers: heading, width, and the minimum width of a screen that shows the
/// column.
const COLUMNS: [(Column, &str, usize, u16); 7] = [
    (Column::Pid, "PID", 7, 60),
    (Column::Rate, "CALLS/S", 10, 0),
    (Column::Calls, "CALLS", 13, 70),
    (Column::SelfShare, "SELF%", 6, 30),
    (Column::TotalShare, "TOTAL%", 6, 45),
    (Column::SelfTime, "SELF", 8, 100),
    (Column::TotalTime, "TOTAL", 8, 100),
];

/// A column with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Pid,
    Rate,
    Calls,
    SelfShare,
    TotalShare,
    SelfTime,
    TotalTime,
}

/// Draws the view.
pub fn draw(frame: &mut Frame, view: &ViewState, samples: &Samples, context: &ScreenContext) {
    let area = frame.area();
    let has_output = !context.output.is_empty() && area.height >= MIN_HEIGHT_WITH_OUTPUT;
    let output = if has_output { context.output.len() as u16 + 1 } else { 0 };
    let rows = [Constraint::Length(3), Constraint::Fill(1), Constraint::Length(output)];
    let [head, table, below] = Layout::vertical(rows).areas(area);
    let lines = vec![
        title_line(area.width, samples, context),
        summary_line(view, samples, context),
        order_line(view, samples),
    ];
    frame.render_widget(Paragraph::new(lines), head);
    if view.shows_help {
        frame.render_widget(Paragraph::new(help_lines()), table);
    } else {
        frame.render_widget(Paragraph::new(table_lines(table, view, samples)), table);
    }
    if has_output {
        let lines: Vec<Line> = context.output.iter().map(|line| Line::raw(line.as_str())).collect();
        let block = Block::new().borders(Borders::TOP).title(" output ");
        frame.render_widget(Paragraph::new(lines).block(block), below);
    }
}

fn title_line(width: u16, samples: &Samples, context: &ScreenContext) -> Line<'static> {
    let right = format!("  {:.1} s   h help  q quit", samples.current.elapsed.as_secs_f64());
    let room = usize::from(width).saturating_sub(right.chars().count());
    let left = fit_right(&format!("pyrec top  {}", Printable(&context.title)), room);
    let gap = room.saturating_sub(Span::raw(&left).width());
    Line::from(vec![Span::styled(left, Style::new().bold()), Span::raw(" ".repeat(gap) + &right)])
}

fn summary_line(view: &ViewState, samples: &Samples, context: &ScreenContext) -> Line<'static> {
    let text = summary(samples, view.window, &context.groups);
    let is_complete = samples.current.lost == 0 && samples.current.untimed == 0;
    let warning = if context.colours { Style::new().fg(Color::Red).bold() } else { Style::new().bold() };
    Line::styled(text, if is_complete { Style::new() } else { warning })
}

fn order_line(view: &ViewState, samples: &Samples) -> Line<'static> {
    let sort = match view.sort {
        Sort::Calls => "calls",
        Sort::SelfTime => "self time",
        Sort::Total => "total time",
        Sort::Name => "name",
    };
    let window = match view.window {
        Window::Interval => format!("last {:.1} s", samples.duration(Window::Interval).as_secs_f64()),
        Window::Start => "since the start".into(),
    };
    let mut text = format!("by {sort}, {window}");
    let filter = Printable(&view.filter.text);
    if view.previous_text.is_some() {
        text += &format!("   filter: {filter}_   Enter applies it, Esc discards it");
    } else if !view.filter.text.is_empty() {
        text += &format!(", only `{filter}`");
    }
    if view.quit_presses > 0 {
        text += "   waiting for the program to end; press q again to leave it running";
    }
    let mut line = Line::raw(text);
    if view.is_paused {
        line.push_span(Span::styled("   PAUSED", Style::new().bold()));
    }
    line
}

fn help_lines() -> Vec<Line<'static>> {
    let line = |&(key, what): &(&str, &str)| {
        Line::from(vec![
            Span::styled(format!("  {key:<10} "), Style::new().bold()),
            Span::raw(what.to_owned()),
        ])
    };
    std::iter::once(Line::raw("")).chain(KEYS.iter().map(line)).collect()
}

fn table_lines(area: Rect, view: &ViewState, samples: &Samples) -> Vec<Line<'static>> {
    let columns: Vec<_> = COLUMNS.iter().filter(|(.., from)| area.width >= *from).collect();
    let numbers: usize = columns.iter().map(|(_, _, width, _)| width + 1).sum();
    let names = usize::from(area.width).saturating_sub(numbers);
    // A narrow screen shows names without their files.
    let name_width = if names < 24 { names } else { names * 5 / 9 };
    let file_width = names.saturating_sub(name_width + 1);
    let name_and_file = |name: &str, file: &str| match file_width {
        0 => fill(name, name_width),
        _ => fill(name, name_width) + " " + &fit_left(file, file_width),
    };
    let heading: String = columns.iter().map(|(_, name, width, _)| format!("{name:>width$} ")).collect();
    let heading = heading + &name_and_file("FUNCTION", "FILE:LINE");
    let mut lines = vec![Line::styled(fill(&heading, area.width.into()), Style::new().reversed())];
    let (rows, duration) =
        (samples.rows(view.window, view.sort, &view.filter), samples.duration(view.window));
    let height = usize::from(area.height.saturating_sub(1));
    let first = view.scroll.min(rows.len().saturating_sub(1));
    lines.extend(rows.iter().skip(first).take(height).map(|row| {
        let cell = |&&(column, _, width, _): &&(Column, &str, usize, u16)| {
            format!("{:>width$} ", number(column, row, duration))
        };
        let (code, numbers) = (row.code(), columns.iter().map(cell).collect::<String>());
        let line = code.first_line.map_or_else(String::new, |line| format!(":{line}"));
        let (name, file) = (Printable(code.qualname).to_string(), format!("{}{line}", Printable(code.file)));
        Line::raw(numbers + &name_and_file(&name, &file))
    }));
    if rows.is_empty() {
        lines.push(Line::raw(match view.filter.text.is_empty() {
            true => "no function was called",
            false => "no function that matches the filter was called",
        }));
    }
    lines
}

fn number(column: Column, row: &Row, duration: Duration) -> String {
    let share = |ns: u64| match duration.as_nanos() {
        0 => "-".into(),
        whole => format!("{:.1}", 100.0 * ns as f64 / whole as f64),
    };
    match column {
        Column::Pid => row.pid.to_string(),
        Column::Rate => Count(per_second(row.tally.calls, duration)).to_string(),
        Column::Calls => Count(row.total.calls).to_string(),
        Column::SelfShare => share(row.tally.self_ns),
        Column::TotalShare => share(row.tally.total_ns),
        Column::SelfTime => Time(row.total.self_ns).to_string(),
        Column::TotalTime => Time(row.total.total_ns).to_string(),
    }
}

/// Truncates a text at its end to a width in cells.
fn fit_right(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        kept.push(letter);
        if Span::raw(&kept).width() + 1 > width {
            kept.pop();
            break;
        }
    }
    if width == 0 { kept } else { kept + "…" }
}

/// Truncates a text at its start to a width in cells: the end of a path matters most.
fn fit_left(text: &str, width: usize) -> String {
    let mut rest = text;
    while Span::raw(rest).width() + usize::from(rest.len() < text.len()) > width {
        let mut letters = rest.chars();
        if letters.next().is_none() {
            return String::new();
        }
        rest = letters.as_str();
    }
    if rest.len() < text.len() { format!("…{rest}") } else { rest.to_owned() }
}

/// Truncates or pads a text to a width in cells.
fn fill(text: &str, width: usize) -> String {
    let text = fit_right(text, width);
    let gap = width.saturating_sub(Span::raw(&text).width());
    text + &" ".repeat(gap)
}

#[cfg(test)]
mod tests {
    //! ScreenContext of the picture, on screens of several sizes.

    use pyrec_recorder::Tally;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::table::tests::{counts, samples};
    use super::*;

    fn context() -> ScreenContext {
        let groups = vec![MarkerGroup::Function, MarkerGroup::Gc];
        ScreenContext { title: "python3 app.py".into(), groups, output: Vec::new(), colours: false }
    }

    /// The lines on a screen of this size.
    fn lines(
        width: u16,
        height: u16,
        view: &ViewState,
        samples: &Samples,
        context: &ScreenContext,
    ) -> Vec<String> {
        let mut terminal =
            Terminal::new(TestBackend::new(width, height)).expect("a buffer in memory accepts every write");
        terminal
            .draw(|frame| draw(frame, view, samples, context))
            .expect("a buffer in memory accepts every write");
        let buffer = terminal.backend().buffer().clone();
        let cells = |y| (0..width).map(move |x| (x, y));
        let line = |y| cells(y).map(|at| buffer[at].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    /// The words of the row of a function.
    fn words(lines: &[String], function: &str) -> Vec<String> {
        let line = lines.iter().find(|line| line.split_whitespace().any(|word| word == function));
        let line = line.unwrap_or_else(|| panic!("no {function} in {lines:#?}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn rates_and_shares_are_those_of_the_window() {
        let mut view = ViewState::default();
        let table = [
            // 500 calls in 2 s; 200 of 2000 ms, 300 of 2000 ms.
            (Window::Interval, ["8", "250", "510", "10.0", "15.0", "send"]),
            // 510 calls in 3 s; 201 of 3000 ms, 301 of 3000 ms.
            (Window::Start, ["8", "170", "510", "6.7", "10.0", "send"]),
        ];
        for (window, expected) in table {
            view.window = window;
            let lines = lines(80, 24, &view, &samples(), &context());
            assert_eq!(words(&lines, "send")[..6], expected, "{lines:#?}");
            assert_eq!(words(&lines, "send")[6], "/srv/net.py:3");
        }
    }

    #[test]
    fn the_width_of_the_screen_determines_the_columns() {
        let view = ViewState::default();
        let headings = |width| {
            let lines = lines(width, 24, &view, &samples(), &context());
            assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)));
            lines[3].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = ["PID", "CALLS/S", "CALLS", "SELF%", "TOTAL%", "SELF", "TOTAL", "FUNCTION", "FILE:LINE"];
        assert_eq!(headings(140), all);
        assert_eq!(headings(80), ["PID", "CALLS/S", "CALLS", "SELF%", "TOTAL%", "FUNCTION", "FILE:LINE"]);
        assert_eq!(headings(40), ["CALLS/S", "SELF%", "FUNCTION"]);
        for (width, height) in [(1, 1), (5, 2), (20, 4), (10, 50), (300, 3)] {
            lines(width, height, &view, &samples(), &context());
        }
    }

    #[test]
    fn help_lists_every_key() {
        let view = ViewState { shows_help: true, ..ViewState::default() };
        let text = lines(80, 24, &view, &samples(), &context()).join("\n");
        assert!(KEYS.iter().all(|(key, what)| text.contains(key) && text.contains(what)), "{text}");
    }

    #[test]
    fn the_third_line_shows_order_window_and_filter() {
        let mut view = ViewState { is_paused: true, ..ViewState::default() };
        view.filter.text = "parse".into();
        let third_line = |view: &ViewState| lines(80, 24, view, &samples(), &context())[2].clone();
        assert_eq!(third_line(&view), "by calls, last 2.0 s, only `parse`   PAUSED");
        view.filter.text = "nonexistent".into();
        assert!(lines(80, 24, &view, &samples(), &context())[4].starts_with("no function that matches"));
        (view.previous_text, view.window, view.is_paused) = (Some(String::new()), Window::Start, false);
        assert!(third_line(&view).starts_with("by calls, since the start   filter: nonexistent_   Enter"));
    }

    #[test]
    fn scrolling_stops_at_the_last_row() {
        let mut view = ViewState { sort: Sort::Name, scroll: 1, ..ViewState::default() };
        let first = |view: &ViewState| lines(80, 24, view, &samples(), &context())[4].clone();
        assert!(first(&view).contains("Parser.parse"));
        view.scroll = 1000;
        assert!(first(&view).contains("send"));
    }

    #[test]
    fn a_high_screen_shows_the_output_of_the_program_below_the_table() {
        let context = ScreenContext { output: vec!["one".into(), "two".into()], ..context() };
        let high = lines(80, 24, &ViewState::default(), &samples(), &context);
        assert!(high[21].contains(" output "), "{high:#?}");
        assert_eq!(high[22..], ["one", "two"]);
        let low = lines(80, 8, &ViewState::default(), &samples(), &context);
        assert!(!low.iter().any(|line| line.contains("output")), "{low:#?}");
    }

    #[test]
    fn control_characters_are_escaped_and_long_names_truncated() {
        let long = "x".repeat(300);
        let code = format!("/tmp/{long}/mod.py:1:数数\u{1b}[2J\u{202e}{long}");
        let mut samples = Samples::default();
        samples.push(counts(1, &[(7, &code, 1, 1, 1)]));
        let lines = lines(80, 24, &ViewState::default(), &samples, &context());
        assert!(!lines.iter().any(|line| line.contains(['\u{1b}', '\u{202e}'])));
        assert!(
            lines[4].contains("数") && lines[4].contains('…') && lines[4].ends_with("/mod.py:1"),
            "{lines:#?}"
        );
    }

    #[test]
    fn lost_events_are_in_the_second_line() {
        let mut samples = samples();
        samples.current.lost = 7;
        samples.current.functions[0].tally = Tally { calls: 1, ..Tally::default() };
        assert!(lines(80, 24, &ViewState::default(), &samples, &context())[1].ends_with("7 lost"));
    }
}
