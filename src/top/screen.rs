//! The picture on the terminal.
//!
//! ```text
//! pyrec top  python3 app.py                              12.0 s   h help  q quit
//! 412,000 calls/s, 0 collections/s, 0 imports/s, 0 lost
//! by calls, last 1.0 s, only `parse`
//!     PID   CALLS/S       CALLS  SELF% TOTAL% FUNCTION           FILE:LINE
//!    4242   390,112   4,681,344   52.1   98.0 Parser.parse       …/json/parse.py:9
//! ── output ──────────────────────────────────────────────────────────────────────
//! what the program printed last
//! ```

use std::time::Duration;

use pyrec_analyzer::Plain;
use pyrec_analyzer::report::{Count, Time};
use pyrec_schema::MarkerGroup;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use super::batch::summary;
use super::table::{Looks, Row, Sort, Window, per_second};
use super::view::{KEYS, View};

/// What the picture says beside the table.
#[derive(Debug)]
pub struct Facts {
    /// Who is watched.
    pub title: String,
    /// The markers that are counted.
    pub groups: Vec<MarkerGroup>,
    /// The last lines that a launched program printed.
    pub output: Vec<String>,
    /// Whether colours are wanted.
    pub colours: bool,
}

/// Lines of output that are shown.
pub const OUTPUT_LINES: usize = 3;

/// A lower screen has no room for them.
const MIN_HEIGHT: u16 = 12;

/// The columns with numbers: their names, how wide they are, and on how wide a screen they are shown.
const COLUMNS: [(Column, &str, usize, u16); 7] = [
    (Column::Pid, "PID", 7, 60),
    (Column::Rate, "CALLS/S", 10, 0),
    (Column::Calls, "CALLS", 13, 70),
    (Column::SelfShare, "SELF%", 6, 30),
    (Column::TotalShare, "TOTAL%", 6, 45),
    (Column::SelfTime, "SELF", 8, 100),
    (Column::TotalTime, "TOTAL", 8, 100),
];

/// A number of a row.
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

/// Draws it.
pub fn draw(frame: &mut Frame, view: &View, looks: &Looks, facts: &Facts) {
    let area = frame.area();
    let has_output = !facts.output.is_empty() && area.height >= MIN_HEIGHT;
    let output = if has_output { facts.output.len() as u16 + 1 } else { 0 };
    let rows = [Constraint::Length(3), Constraint::Fill(1), Constraint::Length(output)];
    let [head, table, below] = Layout::vertical(rows).areas(area);
    let lines = vec![title(area.width, looks, facts), happened(view, looks, facts), order(view, looks)];
    frame.render_widget(Paragraph::new(lines), head);
    if view.is_helping {
        frame.render_widget(Paragraph::new(help()), table);
    } else {
        frame.render_widget(Paragraph::new(rows_of(table, view, looks)), table);
    }
    if has_output {
        let lines: Vec<Line> = facts.output.iter().map(|line| Line::raw(line.as_str())).collect();
        let block = Block::new().borders(Borders::TOP).title(" output ");
        frame.render_widget(Paragraph::new(lines).block(block), below);
    }
}

fn title(width: u16, looks: &Looks, facts: &Facts) -> Line<'static> {
    let right = format!("  {:.1} s   h help  q quit", looks.last.elapsed.as_secs_f64());
    let room = usize::from(width).saturating_sub(right.chars().count());
    let left = fit_right(&format!("pyrec top  {}", Plain(&facts.title)), room);
    let gap = room.saturating_sub(Span::raw(&left).width());
    Line::from(vec![Span::styled(left, Style::new().bold()), Span::raw(" ".repeat(gap) + &right)])
}

fn happened(view: &View, looks: &Looks, facts: &Facts) -> Line<'static> {
    // Its first words are in the line above.
    let text = summary(looks, view.window, &facts.groups);
    let is_whole = looks.last.lost == 0 && looks.last.untimed == 0;
    let alarm = if facts.colours { Style::new().fg(Color::Red).bold() } else { Style::new().bold() };
    Line::styled(text, if is_whole { Style::new() } else { alarm })
}

fn order(view: &View, looks: &Looks) -> Line<'static> {
    let sort = match view.sort {
        Sort::Calls => "calls",
        Sort::SelfTime => "self time",
        Sort::Total => "total time",
        Sort::Name => "name",
    };
    let window = match view.window {
        Window::Interval => format!("last {:.1} s", looks.length(Window::Interval).as_secs_f64()),
        Window::Start => "since the beginning".into(),
    };
    let mut text = format!("by {sort}, {window}");
    let filter = Plain(&view.show.text);
    if view.typing.is_some() {
        text += &format!("   filter: {filter}_   Enter keeps it, Esc forgets it");
    } else if !view.show.text.is_empty() {
        text += &format!(", only `{filter}`");
    }
    if view.ends > 0 {
        text += "   waiting for the program to end; q again leaves it to itself";
    }
    let mut line = Line::raw(text);
    if view.is_paused {
        line.push_span(Span::styled("   PAUSED", Style::new().bold()));
    }
    line
}

fn help() -> Vec<Line<'static>> {
    let line = |&(key, what): &(&str, &str)| {
        Line::from(vec![
            Span::styled(format!("  {key:<10} "), Style::new().bold()),
            Span::raw(what.to_owned()),
        ])
    };
    std::iter::once(Line::raw("")).chain(KEYS.iter().map(line)).collect()
}

fn rows_of(area: Rect, view: &View, looks: &Looks) -> Vec<Line<'static>> {
    let columns: Vec<_> = COLUMNS.iter().filter(|(.., from)| area.width >= *from).collect();
    let numbers: usize = columns.iter().map(|(_, _, width, _)| width + 1).sum();
    let names = usize::from(area.width).saturating_sub(numbers);
    // On a narrow screen a function is worth more than its file.
    let function = if names < 24 { names } else { names * 5 / 9 };
    let place = names.saturating_sub(function + 1);
    let named = |name: &str, file: &str| match place {
        0 => fill(name, function),
        _ => fill(name, function) + " " + &fit_left(file, place),
    };
    let head: String = columns.iter().map(|(_, name, width, _)| format!("{name:>width$} ")).collect();
    let head = head + &named("FUNCTION", "FILE:LINE");
    let mut lines = vec![Line::styled(fill(&head, area.width.into()), Style::new().reversed())];
    let (rows, length) = (looks.rows(view.window, view.sort, &view.show), looks.length(view.window));
    let height = usize::from(area.height.saturating_sub(1));
    let first = view.scroll.min(rows.len().saturating_sub(1));
    lines.extend(rows.iter().skip(first).take(height).map(|row| {
        let cell = |&&(column, _, width, _): &&(Column, &str, usize, u16)| {
            format!("{:>width$} ", number(column, row, length))
        };
        let (code, numbers) = (row.code(), columns.iter().map(cell).collect::<String>());
        let line = code.first_line.map_or_else(String::new, |line| format!(":{line}"));
        let (name, file) = (Plain(code.qualname).to_string(), format!("{}{line}", Plain(code.file)));
        Line::raw(numbers + &named(&name, &file))
    }));
    if rows.is_empty() {
        lines.push(Line::raw(match view.show.text.is_empty() {
            true => "nothing was entered",
            false => "no function of that name or file was entered",
        }));
    }
    lines
}

fn number(column: Column, row: &Row, length: Duration) -> String {
    let share = |ns: u64| match length.as_nanos() {
        0 => "-".into(),
        whole => format!("{:.1}", 100.0 * ns as f64 / whole as f64),
    };
    match column {
        Column::Pid => row.pid.to_string(),
        Column::Rate => Count(per_second(row.tally.calls, length)).to_string(),
        Column::Calls => Count(row.all.calls).to_string(),
        Column::SelfShare => share(row.tally.self_ns),
        Column::TotalShare => share(row.tally.total_ns),
        Column::SelfTime => Time(row.all.self_ns).to_string(),
        Column::TotalTime => Time(row.all.total_ns).to_string(),
    }
}

/// A text in so many cells, its end left out where there is no room.
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

/// The same with its beginning left out: of a path the end says more.
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

/// A text that takes just so many cells.
fn fill(text: &str, width: usize) -> String {
    let text = fit_right(text, width);
    let gap = width.saturating_sub(Span::raw(&text).width());
    text + &" ".repeat(gap)
}

#[cfg(test)]
mod tests {
    //! Facts of the picture, on screens of several sizes.

    use pyrec_recorder::Tally;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::table::tests::{counts, looks};
    use super::*;

    fn facts() -> Facts {
        let groups = vec![MarkerGroup::Function, MarkerGroup::Gc];
        Facts { title: "python3 app.py".into(), groups, output: Vec::new(), colours: false }
    }

    /// The lines of the picture.
    fn lines(width: u16, height: u16, view: &View, looks: &Looks, facts: &Facts) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is in memory");
        terminal.draw(|frame| draw(frame, view, looks, facts)).expect("it is in memory");
        let buffer = terminal.backend().buffer().clone();
        let cells = |y| (0..width).map(move |x| (x, y));
        let line = |y| cells(y).map(|at| buffer[at].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    /// The words of the line that names a function.
    fn words(lines: &[String], function: &str) -> Vec<String> {
        let line = lines.iter().find(|line| line.split_whitespace().any(|word| word == function));
        let line = line.unwrap_or_else(|| panic!("no {function} in {lines:#?}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_row_has_its_numbers_of_the_window() {
        let mut view = View::default();
        let table = [
            // 500 calls in 2 s; 200 of 2000 ms, 300 of 2000 ms.
            (Window::Interval, ["8", "250", "510", "10.0", "15.0", "send"]),
            // 510 calls in 3 s; 201 of 3000 ms, 301 of 3000 ms.
            (Window::Start, ["8", "170", "510", "6.7", "10.0", "send"]),
        ];
        for (window, expected) in table {
            view.window = window;
            let lines = lines(80, 24, &view, &looks(), &facts());
            assert_eq!(words(&lines, "send")[..6], expected, "{lines:#?}");
            assert_eq!(words(&lines, "send")[6], "/srv/net.py:3");
        }
    }

    #[test]
    fn wide_screens_have_more_columns_and_narrow_ones_fewer() {
        let view = View::default();
        let head = |width| {
            let lines = lines(width, 24, &view, &looks(), &facts());
            assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)));
            lines[3].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = ["PID", "CALLS/S", "CALLS", "SELF%", "TOTAL%", "SELF", "TOTAL", "FUNCTION", "FILE:LINE"];
        assert_eq!(head(140), all);
        assert_eq!(head(80), ["PID", "CALLS/S", "CALLS", "SELF%", "TOTAL%", "FUNCTION", "FILE:LINE"]);
        assert_eq!(head(40), ["CALLS/S", "SELF%", "FUNCTION"]);
        for (width, height) in [(1, 1), (5, 2), (20, 4), (10, 50), (300, 3)] {
            lines(width, height, &view, &looks(), &facts());
        }
    }

    #[test]
    fn help_names_every_key() {
        let view = View { is_helping: true, ..View::default() };
        let text = lines(80, 24, &view, &looks(), &facts()).join("\n");
        assert!(KEYS.iter().all(|(key, what)| text.contains(key) && text.contains(what)), "{text}");
    }

    #[test]
    fn what_the_view_does_is_said() {
        let mut view = View { is_paused: true, ..View::default() };
        view.show.text = "parse".into();
        let said = |view: &View| lines(80, 24, view, &looks(), &facts())[2].clone();
        assert_eq!(said(&view), "by calls, last 2.0 s, only `parse`   PAUSED");
        view.show.text = "nobody".into();
        assert!(lines(80, 24, &view, &looks(), &facts())[4].starts_with("no function of that name"));
        (view.typing, view.window, view.is_paused) = (Some(String::new()), Window::Start, false);
        assert!(said(&view).starts_with("by calls, since the beginning   filter: nobody_   Enter"));
    }

    #[test]
    fn scrolling_goes_no_further_than_the_last_row() {
        let mut view = View { sort: Sort::Name, scroll: 1, ..View::default() };
        let first = |view: &View| lines(80, 24, view, &looks(), &facts())[4].clone();
        assert!(first(&view).contains("Parser.parse"));
        view.scroll = 1000;
        assert!(first(&view).contains("send"));
    }

    #[test]
    fn output_of_the_program_is_below_where_there_is_room() {
        let facts = Facts { output: vec!["one".into(), "two".into()], ..facts() };
        let tall = lines(80, 24, &View::default(), &looks(), &facts);
        assert!(tall[21].contains(" output "), "{tall:#?}");
        assert_eq!(tall[22..], ["one", "two"]);
        let low = lines(80, 8, &View::default(), &looks(), &facts);
        assert!(!low.iter().any(|line| line.contains("output")), "{low:#?}");
    }

    #[test]
    fn names_of_strangers_are_plain_and_stay_in_their_columns() {
        let long = "x".repeat(300);
        let code = format!("/tmp/{long}/mod.py:1:数数\u{1b}[2J\u{202e}{long}");
        let mut looks = Looks::default();
        looks.push(counts(1, &[(7, &code, 1, 1, 1)]));
        let lines = lines(80, 24, &View::default(), &looks, &facts());
        assert!(!lines.iter().any(|line| line.contains(['\u{1b}', '\u{202e}'])));
        assert!(
            lines[4].contains("数") && lines[4].contains('…') && lines[4].ends_with("/mod.py:1"),
            "{lines:#?}"
        );
    }

    #[test]
    fn loss_is_said() {
        let mut looks = looks();
        looks.last.lost = 7;
        looks.last.functions[0].tally = Tally { calls: 1, ..Tally::default() };
        assert!(lines(80, 24, &View::default(), &looks, &facts())[1].ends_with("7 lost"));
    }
}
