//! Filters: which part of a trace a report is about.

use std::str::FromStr;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use pyrec_schema::Code;

/// Which part of a trace a report is about. The default selects the whole trace.
///
/// Functions that are not selected are treated as if they had not been recorded: their time is
/// charged to the nearest selected caller. The trust line of a report is that of the whole trace,
/// whatever the filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Selects the functions that match one of these patterns; all functions if empty.
    pub include: Vec<Pattern>,
    /// Excludes the functions that match one of these patterns, also those that `include` selects.
    pub exclude: Vec<Pattern>,
    /// Selects what happens inside calls of matching functions.
    pub root: Option<Pattern>,
    /// Selects these processes; all if empty.
    pub pids: Vec<i32>,
    /// Selects these threads; all if empty.
    pub tids: Vec<i32>,
    /// Selects what happens in this time range.
    pub time: Option<TimeRange>,
    /// Leaves out what took less: calls in the hierarchy, frames in a flame graph, functions in a
    /// table.
    pub min_time: Duration,
}

impl Filter {
    /// `min_time` in nanoseconds.
    pub fn min_time_ns(&self) -> u64 {
        u64::try_from(self.min_time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The filter without a minimum time, for reports whose rows are not calls.
    pub fn without_min_time(&self) -> Filter {
        Filter { min_time: Duration::ZERO, ..self.clone() }
    }

    /// `time` on the clock of a trace whose first event is at `origin_ns`.
    pub fn window(&self, origin_ns: i64) -> TimeWindow {
        let Some(range) = self.time else { return TimeWindow::ALL };
        let at =
            |time: Duration| origin_ns.saturating_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
        TimeWindow { from_ns: at(range.from), to_ns: range.to.map_or(i64::MAX, at) }
    }

    /// Whether `pids` and `tids` select a thread.
    pub fn selects_thread(&self, pid: i32, tid: i32) -> bool {
        let selects = |list: &[i32], id| list.is_empty() || list.contains(&id);
        selects(&self.pids, pid) && selects(&self.tids, tid)
    }

    /// Whether `include` and `exclude` select a function.
    pub fn selects_code(&self, code: &Code) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(code));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether `root` matches a function. True for all functions if there is no `root`.
    pub fn is_root(&self, code: &Code) -> bool {
        self.root.as_ref().is_none_or(|root| root.matches_function(code))
    }
}

/// A glob on files and functions: `*`, `?`, `[…]` and `{…,…}`. `*` matches slashes, too.
///
/// A pattern matches a function by its name (`run`), its qualified name (`Scheduler.run`), or the
/// end of its file's path (`json/*`, `decoder.py`, `<frozen *`).
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// Matches a whole name or path.
    whole: GlobMatcher,
    /// Matches a path whose last components match the pattern.
    suffix: GlobMatcher,
}

impl Pattern {
    /// Whether the pattern matches the function or its file.
    pub fn is_match(&self, code: &Code) -> bool {
        self.matches_function(code) || self.whole.is_match(code.file) || self.suffix.is_match(code.file)
    }

    /// Whether the pattern matches the name or the qualified name of the function.
    pub fn matches_function(&self, code: &Code) -> bool {
        self.whole.is_match(code.name()) || self.whole.is_match(code.qualname)
    }

    /// Whether the pattern matches a name that is not a function's, such as that of an audit event.
    pub fn matches_name(&self, name: &str) -> bool {
        self.whole.is_match(name)
    }

    /// The text that the pattern was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let glob = |glob: &str| match GlobBuilder::new(glob).literal_separator(false).build() {
            Ok(glob) => Ok(glob.compile_matcher()),
            Err(error) => Err(FilterError::Glob { text: text.into(), reason: error.kind().to_string() }),
        };
        if text.is_empty() {
            return Err(FilterError::Glob { text: text.into(), reason: "it is empty".into() });
        }
        Ok(Pattern { text: text.into(), whole: glob(text)?, suffix: glob(&format!("*/{text}"))? })
    }
}

/// A time range relative to the first event of the trace: `1s-10s`, `500ms-`, `-2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The start, inclusive.
    pub from: Duration,
    /// The end, exclusive. None: the end of the trace.
    pub to: Option<Duration>,
}

/// A time range on the clock of the trace, in `CLOCK_MONOTONIC` nanoseconds. Rows outside it change
/// the stacks, but are neither counted nor measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// The start, inclusive.
    pub from_ns: i64,
    /// The end, exclusive, except that [`i64::MAX`] includes the last instant.
    pub to_ns: i64,
}

impl TimeWindow {
    /// The whole range of the clock.
    pub const ALL: TimeWindow = TimeWindow { from_ns: i64::MIN, to_ns: i64::MAX };

    /// Whether an instant is in the window.
    #[inline]
    pub fn contains(&self, time_ns: i64) -> bool {
        self.from_ns <= time_ns && !self.is_over(time_ns)
    }

    /// Whether the window has ended at an instant.
    #[inline]
    pub fn is_over(&self, time_ns: i64) -> bool {
        time_ns >= self.to_ns && self.to_ns < i64::MAX
    }

    /// How much of the time between two instants is in the window. Zero if `to_ns` is before
    /// `from_ns`.
    #[inline]
    pub fn overlap_ns(&self, from_ns: i64, to_ns: i64) -> u64 {
        let (from_ns, to_ns) = (from_ns.max(self.from_ns), to_ns.min(self.to_ns));
        if to_ns > from_ns { to_ns.abs_diff(from_ns) } else { 0 }
    }
}

impl FromStr for TimeRange {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let (from, to) = text.split_once('-').ok_or_else(|| FilterError::Range { text: text.into() })?;
        if from.is_empty() && to.is_empty() {
            return Err(FilterError::Range { text: text.into() });
        }
        let from = if from.is_empty() { Duration::ZERO } else { parse_duration(from)? };
        let to = if to.is_empty() { None } else { Some(parse_duration(to)?) };
        match to {
            Some(to) if to <= from => Err(FilterError::EmptyRange { text: text.into() }),
            _ => Ok(TimeRange { from, to }),
        }
    }
}

/// Parses a duration with a unit: `10s`, `1.5ms`, `200us`, `50ns`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, FilterError> {
    let text = text.trim();
    let error = || FilterError::Duration { text: text.into() };
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ns = match unit.trim_start() {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return Err(error()),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    let ns = (number * unit_ns).round();
    // 292 years: the range of a signed 64-bit clock in nanoseconds.
    if ns > i64::MAX as f64 { Err(error()) } else { Ok(Duration::from_nanos(ns as u64)) }
}

/// Why a filter could not be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// An invalid pattern.
    #[error("`{text}` is not a pattern: {reason}; write a name or a glob such as `json/*` or `Scheduler.*`")]
    Glob {
        /// The argument.
        text: String,
        /// Why it is invalid.
        reason: String,
    },
    /// An invalid duration.
    #[error("`{text}` is not a duration; write a number and a unit, such as 10s, 1.5ms, 200us or 50ns")]
    Duration {
        /// The argument.
        text: String,
    },
    /// An invalid time range.
    #[error("`{text}` is not a time range; write where it begins and ends, such as 1s-10s, 500ms- or -2s")]
    Range {
        /// The argument.
        text: String,
    },
    /// A time range that does not end after it begins.
    #[error("`{text}` ends before it begins; write the earlier time first, such as 1s-10s")]
    EmptyRange {
        /// The argument.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    //! Parsing of filters, and what they match.

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a valid pattern")
    }

    fn code(text: &str) -> Code<'_> {
        Code::parse(text)
    }

    #[test]
    fn a_pattern_matches_names_and_path_suffixes() {
        let decode = code("/usr/lib/python3.13/json/decoder.py:338:JSONDecoder.decode");
        for text in [
            "decode",
            "JSONDecoder.*",
            "*.decode",
            "decoder.py",
            "json/*",
            "*/json/*",
            "/usr/lib/*",
            "d?code",
        ] {
            assert!(pattern(text).is_match(&decode), "{text}");
        }
        for text in ["decod", "coder.py", "JSONDecoder", "son/*", "xml/*"] {
            assert!(!pattern(text).is_match(&decode), "{text}");
        }
        assert!(pattern("<frozen *").is_match(&code("<frozen importlib._bootstrap>:1:_load")));
        assert!(pattern("decoder.py").is_match(&code("decoder.py:1:f")));
    }

    #[test]
    fn a_root_matches_functions_and_not_files() {
        let main = code("/srv/start/app.py:3:main");
        let filter = Filter { root: Some(pattern("start*")), ..Filter::default() };
        assert!(!filter.is_root(&main));
        assert!(filter.is_root(&code("/srv/app.py:3:start")));
    }

    #[test]
    fn exclude_wins_over_include() {
        let filter =
            Filter { include: vec![pattern("json/*")], exclude: vec![pattern("scan")], ..Filter::default() };
        assert!(filter.selects_code(&code("/lib/json/a.py:1:parse")));
        assert!(!filter.selects_code(&code("/lib/json/a.py:1:scan")));
        assert!(!filter.selects_code(&code("/lib/xml/a.py:1:parse")));
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, ns) in [
            ("10s", 10_000_000_000),
            ("1.5ms", 1_500_000),
            ("200us", 200_000),
            ("3µs", 3_000),
            ("50ns", 50),
            ("2m", 120_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
        for text in ["", "10", "s", "1x", "-1s", "1.2.3s", "1e3s", "99999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_range_may_be_open_on_one_side() {
        let range = |from_ms, to_ms: Option<u64>| {
            Ok(TimeRange { from: Duration::from_millis(from_ms), to: to_ms.map(Duration::from_millis) })
        };
        assert_eq!("1s-10s".parse(), range(1_000, Some(10_000)));
        assert_eq!("500ms-".parse(), range(500, None));
        assert_eq!("-2s".parse(), range(0, Some(2_000)));
        for text in ["-", "1s", "10s-1s", "1s-1s", "1-2"] {
            assert!(text.parse::<TimeRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_argument_and_the_remedy() {
        let message = "1-2".parse::<TimeRange>().expect_err("the units are missing").to_string();
        assert_eq!(
            message,
            "`1` is not a duration; write a number and a unit, such as 10s, 1.5ms, 200us or 50ns"
        );
    }
}
