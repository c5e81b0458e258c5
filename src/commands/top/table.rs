//! The rows of the table: functions with their counts in a window of time, filtered and sorted.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use pyrec_analyzer::Filter;
use pyrec_recorder::{Counts, GroupCounts, Tally};
use pyrec_schema::{Code, MarkerGroup};

/// The functions that a table lists by default, as many as the classic scripts list.
pub const DEFAULT_ROWS: usize = 20;

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Most calls first
    #[default]
    Calls,
    /// Most time in the function itself first
    #[value(name = "self")]
    SelfTime,
    /// Most time in the function and its callees first
    Total,
    /// Alphabetical
    Name,
}

/// The window of time that counts and rates cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Between the last two samples.
    #[default]
    Interval,
    /// From the start to the last sample.
    Start,
}

/// Selects the functions that get a row.
#[derive(Clone, Debug, Default)]
pub struct RowFilter {
    /// The globs of `--include` and `--exclude`.
    pub filter: Filter,
    /// A part of the name or file, typed in the view. Case is ignored.
    pub text: String,
}

impl RowFilter {
    fn accepts(&self, code: &Code) -> bool {
        let text = self.text.to_lowercase();
        self.filter.selects_code(code)
            && (text.is_empty()
                || code.qualname.to_lowercase().contains(&text)
                || code.file.to_lowercase().contains(&text))
    }
}

/// The last two samples of the counters.
#[derive(Debug, Default)]
pub struct Samples {
    previous: Counts,
    /// The last sample.
    pub current: Counts,
}

/// A function of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The process.
    pub pid: i32,
    code: Arc<str>,
    /// Calls and times in the window.
    pub tally: Tally,
    /// Calls and times since the start.
    pub total: Tally,
}

impl Row {
    /// The file, line and name of the function. They come from the program and are not escaped.
    pub fn code(&self) -> Code<'_> {
        Code::parse(&self.code)
    }
}

impl Samples {
    /// Adds the next sample, and drops the oldest.
    pub fn push(&mut self, counts: Counts) {
        self.previous = std::mem::replace(&mut self.current, counts);
    }

    /// The length of the window.
    pub fn duration(&self, window: Window) -> Duration {
        match window {
            Window::Interval => self.current.elapsed.saturating_sub(self.previous.elapsed),
            Window::Start => self.current.elapsed,
        }
    }

    /// The number of events of a group in the window.
    pub fn events(&self, group: MarkerGroup, window: Window) -> u64 {
        self.in_window(window, |groups| groups.of(group))
    }

    fn in_window(&self, window: Window, of: impl Fn(&GroupCounts) -> u64) -> u64 {
        match window {
            Window::Interval => of(&self.current.groups).saturating_sub(of(&self.previous.groups)),
            Window::Start => of(&self.current.groups),
        }
    }

    /// The number of calls of all functions in the window.
    pub fn calls(&self, window: Window) -> u64 {
        let calls =
            |counts: &Counts| -> u64 { counts.functions.iter().map(|function| function.tally.calls).sum() };
        match window {
            Window::Interval => calls(&self.current).saturating_sub(calls(&self.previous)),
            Window::Start => calls(&self.current),
        }
    }

    /// The number of processes since the start.
    pub fn processes(&self) -> usize {
        let mut pids: Vec<i32> = self.current.functions.iter().map(|function| function.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.len()
    }

    /// The functions that passed the filter and had calls or time in the window, sorted.
    pub fn rows(&self, window: Window, sort: Sort, filter: &RowFilter) -> Vec<Row> {
        let previous: HashMap<(i32, &str), Tally> = match window {
            Window::Interval => {
                let functions = self.previous.functions.iter();
                functions.map(|function| ((function.pid, &*function.code), function.tally)).collect()
            }
            Window::Start => HashMap::new(),
        };
        let mut rows: Vec<Row> = Vec::new();
        let accepted =
            self.current.functions.iter().filter(|function| filter.accepts(&Code::parse(&function.code)));
        for function in accepted {
            let total = function.tally;
            let before = previous.get(&(function.pid, &*function.code)).copied().unwrap_or_default();
            let tally = Tally {
                calls: total.calls.saturating_sub(before.calls),
                self_ns: total.self_ns.saturating_sub(before.self_ns),
                total_ns: total.total_ns.saturating_sub(before.total_ns),
            };
            if tally != Tally::default() {
                rows.push(Row { pid: function.pid, code: function.code.clone(), tally, total });
            }
        }
        sort_rows(&mut rows, sort);
        rows
    }
}

/// Sorts the rows. Rows with equal keys are ordered by function and process, so that they keep
/// their places.
fn sort_rows(rows: &mut [Row], sort: Sort) {
    rows.sort_by(|a, b| (&a.code, a.pid).cmp(&(&b.code, b.pid)));
    match sort {
        Sort::Calls => rows.sort_by_key(|row| Reverse((row.tally.calls, row.tally.self_ns))),
        Sort::SelfTime => rows.sort_by_key(|row| Reverse(row.tally.self_ns)),
        Sort::Total => rows.sort_by_key(|row| Reverse(row.tally.total_ns)),
        Sort::Name => rows.sort_by_key(|row| row.code().qualname.to_lowercase()),
    }
}

/// The rate in events per second. Zero for a window of no length.
pub fn per_second(count: u64, time: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (count as f64 / seconds).round() as u64 } else { 0 }
}

#[cfg(test)]
pub mod tests {
    use pyrec_recorder::FunctionCount;

    use super::*;

    /// A sample after this many seconds. Functions are process, code, calls, and self and total
    /// time in milliseconds.
    pub fn counts(seconds: u64, functions: &[(i32, &str, u64, u64, u64)]) -> Counts {
        let function = |&(pid, code, calls, self_ms, total_ms): &(i32, &str, u64, u64, u64)| FunctionCount {
            pid,
            code: code.into(),
            tally: Tally { calls, self_ns: self_ms * 1_000_000, total_ns: total_ms * 1_000_000 },
        };
        let functions = functions.iter().map(function).collect();
        Counts { elapsed: Duration::from_secs(seconds), functions, ..Counts::default() }
    }

    /// Two samples, after 1 s and 3 s. `parse` is busy before the first, `send` between the two,
    /// and `main` is open all the time.
    pub fn samples() -> Samples {
        let mut samples = Samples::default();
        let (main, parse, send) =
            ("/srv/app.py:1:<module>", "/srv/json/parse.py:9:Parser.parse", "/srv/net.py:3:send");
        samples.push(counts(1, &[(7, main, 1, 100, 1000), (7, parse, 900, 800, 900), (8, send, 10, 1, 1)]));
        samples.push(counts(
            3,
            &[(7, main, 1, 400, 3000), (7, parse, 1000, 900, 1000), (8, send, 510, 201, 301)],
        ));
        samples
    }

    fn names(window: Window, sort: Sort, filter: &RowFilter) -> Vec<(String, u64)> {
        let rows = samples().rows(window, sort, filter);
        rows.iter().map(|row| (row.code().qualname.to_owned(), row.tally.calls)).collect()
    }

    fn named(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected.iter().map(|&(name, calls)| (name.to_owned(), calls)).collect()
    }

    #[test]
    fn rows_are_sorted_by_the_counts_of_the_window() {
        let table = [
            (Window::Interval, Sort::Calls, [("send", 500), ("Parser.parse", 100), ("<module>", 0)]),
            (Window::Start, Sort::Calls, [("Parser.parse", 1000), ("send", 510), ("<module>", 1)]),
            (Window::Interval, Sort::SelfTime, [("<module>", 0), ("send", 500), ("Parser.parse", 100)]),
            (Window::Start, Sort::SelfTime, [("Parser.parse", 1000), ("<module>", 1), ("send", 510)]),
            (Window::Start, Sort::Total, [("<module>", 1), ("Parser.parse", 1000), ("send", 510)]),
            (Window::Start, Sort::Name, [("<module>", 1), ("Parser.parse", 1000), ("send", 510)]),
        ];
        for (window, sort, expected) in table {
            assert_eq!(names(window, sort, &RowFilter::default()), named(&expected), "{window:?} {sort:?}");
        }
    }

    #[test]
    fn the_filter_selects_rows_by_name_and_file() {
        let pattern = |text: &str| vec![text.parse().expect("a glob")];
        let globs = |filter: Filter| RowFilter { filter, ..RowFilter::default() };
        let only = |filter: RowFilter| names(Window::Start, Sort::Calls, &filter);
        assert_eq!(
            only(RowFilter { text: "PARSE".into(), ..RowFilter::default() }),
            named(&[("Parser.parse", 1000)])
        );
        assert_eq!(only(RowFilter { text: "net".into(), ..RowFilter::default() }), named(&[("send", 510)]));
        assert_eq!(
            only(globs(Filter { include: pattern("json/*"), ..Filter::default() })),
            named(&[("Parser.parse", 1000)])
        );
        let rest = named(&[("Parser.parse", 1000), ("<module>", 1)]);
        assert_eq!(only(globs(Filter { exclude: pattern("send"), ..Filter::default() })), rest);
        assert_eq!(only(RowFilter { text: "nonexistent".into(), ..RowFilter::default() }), []);
    }

    #[test]
    fn a_function_without_calls_and_time_in_the_window_has_no_row() {
        let mut samples = samples();
        samples.push(samples.current.clone());
        assert_eq!(samples.rows(Window::Interval, Sort::Calls, &RowFilter::default()), []);
        assert_eq!((samples.calls(Window::Interval), samples.calls(Window::Start)), (0, 1511));
    }

    #[test]
    fn rates_are_per_second_of_the_window() {
        let samples = samples();
        assert_eq!(samples.duration(Window::Interval), Duration::from_secs(2));
        assert_eq!(per_second(samples.calls(Window::Interval), samples.duration(Window::Interval)), 300);
        assert_eq!(per_second(7, Duration::ZERO), 0);
        assert_eq!(samples.processes(), 2);
    }
}
