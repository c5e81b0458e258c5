//! The table: what was counted, as rows in the order that was asked for.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use pyrec_analyzer::Filter;
use pyrec_recorder::{ByGroup, Counts, Tally};
use pyrec_schema::{Code, MarkerGroup};

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// The most entered
    #[default]
    Calls,
    /// The most time in itself
    #[value(name = "self")]
    SelfTime,
    /// The most time in itself and in what it called
    Total,
    /// The first in the alphabet
    Name,
}

/// Which stretch of time numbers are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Between the last two looks.
    #[default]
    Interval,
    /// From the beginning to the last look.
    Start,
}

/// Which rows are shown.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Only those that it asks for.
    pub filter: Filter,
    /// Only functions whose name or file has this in it, in small letters or large ones.
    pub text: String,
}

impl Show {
    fn has(&self, code: &Code) -> bool {
        let text = self.text.to_lowercase();
        self.filter.selects_code(code)
            && (text.is_empty()
                || code.qualname.to_lowercase().contains(&text)
                || code.file.to_lowercase().contains(&text))
    }
}

/// Two looks at the counts, one after the other.
#[derive(Debug, Default)]
pub struct Looks {
    before: Counts,
    /// The last one.
    pub last: Counts,
}

/// A function of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The process.
    pub pid: i32,
    code: Arc<str>,
    /// What was counted in the window.
    pub tally: Tally,
    /// What was counted since the beginning.
    pub all: Tally,
}

impl Row {
    /// Its names, as they are: a stranger's.
    pub fn code(&self) -> Code<'_> {
        Code::parse(&self.code)
    }
}

impl Looks {
    /// Takes the next look.
    pub fn push(&mut self, counts: Counts) {
        self.before = std::mem::replace(&mut self.last, counts);
    }

    /// How long the window is.
    pub fn length(&self, window: Window) -> Duration {
        match window {
            Window::Interval => self.last.elapsed.saturating_sub(self.before.elapsed),
            Window::Start => self.last.elapsed,
        }
    }

    /// Events of a group in the window.
    pub fn events(&self, group: MarkerGroup, window: Window) -> u64 {
        self.in_window(window, |groups| groups.of(group))
    }

    fn in_window(&self, window: Window, of: impl Fn(&ByGroup) -> u64) -> u64 {
        match window {
            Window::Interval => of(&self.last.groups).saturating_sub(of(&self.before.groups)),
            Window::Start => of(&self.last.groups),
        }
    }

    /// Calls in the window, of all functions.
    pub fn calls(&self, window: Window) -> u64 {
        let calls =
            |counts: &Counts| -> u64 { counts.functions.iter().map(|function| function.tally.calls).sum() };
        match window {
            Window::Interval => calls(&self.last).saturating_sub(calls(&self.before)),
            Window::Start => calls(&self.last),
        }
    }

    /// How many processes there were.
    pub fn processes(&self) -> usize {
        let mut pids: Vec<i32> = self.last.functions.iter().map(|function| function.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.len()
    }

    /// The functions in which something happened in the window.
    pub fn rows(&self, window: Window, sort: Sort, show: &Show) -> Vec<Row> {
        let before: HashMap<(i32, &str), Tally> = match window {
            Window::Interval => {
                let functions = self.before.functions.iter();
                functions.map(|function| ((function.pid, &*function.code), function.tally)).collect()
            }
            Window::Start => HashMap::new(),
        };
        let mut rows: Vec<Row> = Vec::new();
        for function in self.last.functions.iter().filter(|function| show.has(&Code::parse(&function.code))) {
            let all = function.tally;
            let was = before.get(&(function.pid, &*function.code)).copied().unwrap_or_default();
            let tally = Tally {
                calls: all.calls.saturating_sub(was.calls),
                self_ns: all.self_ns.saturating_sub(was.self_ns),
                total_ns: all.total_ns.saturating_sub(was.total_ns),
            };
            if tally != Tally::default() {
                rows.push(Row { pid: function.pid, code: function.code.clone(), tally, all });
            }
        }
        sort_rows(&mut rows, sort);
        rows
    }
}

/// Rows that are equal in what counts have the same order each time.
fn sort_rows(rows: &mut [Row], sort: Sort) {
    rows.sort_by(|a, b| (&a.code, a.pid).cmp(&(&b.code, b.pid)));
    match sort {
        Sort::Calls => rows.sort_by_key(|row| Reverse((row.tally.calls, row.tally.self_ns))),
        Sort::SelfTime => rows.sort_by_key(|row| Reverse(row.tally.self_ns)),
        Sort::Total => rows.sort_by_key(|row| Reverse(row.tally.total_ns)),
        Sort::Name => rows.sort_by_key(|row| row.code().qualname.to_lowercase()),
    }
}

/// How often something happened in a second.
pub fn per_second(count: u64, time: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (count as f64 / seconds).round() as u64 } else { 0 }
}

#[cfg(test)]
pub mod tests {
    //! Two looks at three functions, and what the table makes of them.

    use pyrec_recorder::Function;

    use super::*;

    /// Counts after so many seconds: process, code, calls, self and total time in milliseconds.
    pub fn counts(seconds: u64, functions: &[(i32, &str, u64, u64, u64)]) -> Counts {
        let function = |&(pid, code, calls, self_ms, total_ms): &(i32, &str, u64, u64, u64)| Function {
            pid,
            code: code.into(),
            tally: Tally { calls, self_ns: self_ms * 1_000_000, total_ns: total_ms * 1_000_000 },
        };
        let functions = functions.iter().map(function).collect();
        Counts { elapsed: Duration::from_secs(seconds), functions, ..Counts::default() }
    }

    /// `parse` was busy first, `send` is now; `main` is open all the time.
    pub fn looks() -> Looks {
        let mut looks = Looks::default();
        let (main, parse, send) =
            ("/srv/app.py:1:<module>", "/srv/json/parse.py:9:Parser.parse", "/srv/net.py:3:send");
        looks.push(counts(1, &[(7, main, 1, 100, 1000), (7, parse, 900, 800, 900), (8, send, 10, 1, 1)]));
        looks.push(counts(
            3,
            &[(7, main, 1, 400, 3000), (7, parse, 1000, 900, 1000), (8, send, 510, 201, 301)],
        ));
        looks
    }

    fn names(window: Window, sort: Sort, show: &Show) -> Vec<(String, u64)> {
        let rows = looks().rows(window, sort, show);
        rows.iter().map(|row| (row.code().qualname.to_owned(), row.tally.calls)).collect()
    }

    fn named(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected.iter().map(|&(name, calls)| (name.to_owned(), calls)).collect()
    }

    #[test]
    fn the_order_is_that_of_the_window() {
        let table = [
            (Window::Interval, Sort::Calls, [("send", 500), ("Parser.parse", 100), ("<module>", 0)]),
            (Window::Start, Sort::Calls, [("Parser.parse", 1000), ("send", 510), ("<module>", 1)]),
            (Window::Interval, Sort::SelfTime, [("<module>", 0), ("send", 500), ("Parser.parse", 100)]),
            (Window::Start, Sort::SelfTime, [("Parser.parse", 1000), ("<module>", 1), ("send", 510)]),
            (Window::Start, Sort::Total, [("<module>", 1), ("Parser.parse", 1000), ("send", 510)]),
            (Window::Start, Sort::Name, [("<module>", 1), ("Parser.parse", 1000), ("send", 510)]),
        ];
        for (window, sort, expected) in table {
            assert_eq!(names(window, sort, &Show::default()), named(&expected), "{window:?} {sort:?}");
        }
    }

    #[test]
    fn only_what_is_to_be_shown() {
        let pattern = |text: &str| vec![text.parse().expect("a glob")];
        let shown = |filter: Filter| Show { filter, ..Show::default() };
        let only = |show: Show| names(Window::Start, Sort::Calls, &show);
        assert_eq!(only(Show { text: "PARSE".into(), ..Show::default() }), named(&[("Parser.parse", 1000)]));
        assert_eq!(only(Show { text: "net".into(), ..Show::default() }), named(&[("send", 510)]));
        assert_eq!(
            only(shown(Filter { include: pattern("json/*"), ..Filter::default() })),
            named(&[("Parser.parse", 1000)])
        );
        let rest = named(&[("Parser.parse", 1000), ("<module>", 1)]);
        assert_eq!(only(shown(Filter { exclude: pattern("send"), ..Filter::default() })), rest);
        assert_eq!(only(Show { text: "nobody".into(), ..Show::default() }), []);
    }

    #[test]
    fn a_function_that_does_nothing_is_not_there() {
        let mut looks = looks();
        looks.push(looks.last.clone());
        assert_eq!(looks.rows(Window::Interval, Sort::Calls, &Show::default()), []);
        assert_eq!((looks.calls(Window::Interval), looks.calls(Window::Start)), (0, 1511));
    }

    #[test]
    fn rates_are_of_the_time_that_passed() {
        let looks = looks();
        assert_eq!(looks.length(Window::Interval), Duration::from_secs(2));
        assert_eq!(per_second(looks.calls(Window::Interval), looks.length(Window::Interval)), 300);
        assert_eq!(per_second(7, Duration::ZERO), 0);
        assert_eq!(looks.processes(), 2);
    }
}
