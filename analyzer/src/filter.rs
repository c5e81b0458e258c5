//! Which part of a trace is asked for: the same for every report.

use std::str::FromStr;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use pyrec_schema::Code;

/// Which part of a trace is asked for. The default asks for all of it.
///
/// What is left out is treated as if it had not been recorded: the time of a function that is left out belongs to
/// the nearest caller that is not. The trust line is always that of the whole trace.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only functions that match one of these; all, if there are none.
    pub include: Vec<Pattern>,
    /// No functions that match one of these.
    pub exclude: Vec<Pattern>,
    /// Only what happens inside calls of functions that match.
    pub root: Option<Pattern>,
    /// Only these processes; all, if there are none.
    pub pids: Vec<i32>,
    /// Only these threads; all, if there are none.
    pub tids: Vec<i32>,
    /// Only what happens in this time.
    pub time: Option<TimeRange>,
    /// Nothing that took less than this: calls in the hierarchy, frames in a flame graph, functions in a table.
    pub min_time: Duration,
}

impl Filter {
    /// The least time, in nanoseconds.
    pub fn min_time_ns(&self) -> u64 {
        u64::try_from(self.min_time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The same, of whatever length: for reports whose rows are no calls.
    pub fn of_any_length(&self) -> Filter {
        Filter { min_time: Duration::ZERO, ..self.clone() }
    }

    /// Whether a thread is asked for.
    pub fn has_thread(&self, pid: i32, tid: i32) -> bool {
        let wanted = |list: &[i32], id| list.is_empty() || list.contains(&id);
        wanted(&self.pids, pid) && wanted(&self.tids, tid)
    }

    /// Whether a function is asked for.
    pub fn has_code(&self, code: &Code) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(code));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether calls of a function are where the report begins.
    pub fn is_root(&self, code: &Code) -> bool {
        self.root.as_ref().is_none_or(|root| root.is_function(code))
    }
}

/// A glob on files and functions: `*`, `?`, `[…]` and `{…,…}`, where `*` also crosses slashes.
///
/// It matches a function by its name (`run`), its qualified name (`Scheduler.run`), or the end of its file's path
/// (`json/*`, `decoder.py`, `<frozen *`).
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: GlobMatcher,
    tail: GlobMatcher,
}

impl Pattern {
    /// Whether it matches the function or its file.
    pub fn is_match(&self, code: &Code) -> bool {
        self.is_function(code) || self.whole.is_match(code.file) || self.tail.is_match(code.file)
    }

    /// Whether it matches the function, whatever its file.
    pub fn is_function(&self, code: &Code) -> bool {
        self.whole.is_match(code.name()) || self.whole.is_match(code.qualname)
    }

    /// Whether it matches a whole word that is neither: the name of an audit event.
    pub fn is_word(&self, word: &str) -> bool {
        self.whole.is_match(word)
    }

    /// As it was given.
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
        Ok(Pattern { text: text.into(), whole: glob(text)?, tail: glob(&format!("*/{text}"))? })
    }
}

/// A stretch of time, counted from the first event of the trace: `1s-10s`, `500ms-`, `-2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// From here on.
    pub from: Duration,
    /// Up to here; to the end of the trace if there is none.
    pub to: Option<Duration>,
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

/// Reads a length of time with its unit: `10s`, `1.5ms`, `200us`, `50ns`, `2m`, `1h`.
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
    // Beyond this a clock that counts nanoseconds in 64 bits would have wrapped: 292 years.
    if ns > i64::MAX as f64 { Err(error()) } else { Ok(Duration::from_nanos(ns as u64)) }
}

/// A filter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Not a glob.
    #[error("`{text}` is not a pattern: {reason}; write a name or a glob such as `json/*` or `Scheduler.*`")]
    Glob {
        /// As it was given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a length of time.
    #[error("`{text}` is not a length of time; write a number and a unit, such as 10s, 1.5ms, 200us or 50ns")]
    Duration {
        /// As it was given.
        text: String,
    },
    /// Not a stretch of time.
    #[error(
        "`{text}` is not a stretch of time; write where it begins and ends, such as 1s-10s, 500ms- or -2s"
    )]
    Range {
        /// As it was given.
        text: String,
    },
    /// A stretch of time without length.
    #[error("`{text}` ends before it begins; write the earlier time first, such as 1s-10s")]
    EmptyRange {
        /// As it was given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    //! Words into filters, and what they match.

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    fn code(text: &str) -> Code<'_> {
        Code::parse(text)
    }

    #[test]
    fn a_pattern_matches_names_and_ends_of_paths() {
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
    fn a_root_is_a_function_never_a_file() {
        let main = code("/srv/start/app.py:3:main");
        let filter = Filter { root: Some(pattern("start*")), ..Filter::default() };
        assert!(!filter.is_root(&main));
        assert!(filter.is_root(&code("/srv/app.py:3:start")));
    }

    #[test]
    fn exclude_wins_over_include() {
        let filter =
            Filter { include: vec![pattern("json/*")], exclude: vec![pattern("scan")], ..Filter::default() };
        assert!(filter.has_code(&code("/lib/json/a.py:1:parse")));
        assert!(!filter.has_code(&code("/lib/json/a.py:1:scan")));
        assert!(!filter.has_code(&code("/lib/xml/a.py:1:parse")));
    }

    #[test]
    fn lengths_of_time_have_units() {
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
    fn a_stretch_of_time_may_be_open_on_one_side() {
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
    fn messages_name_the_thing_and_the_next_step() {
        let message = "1-2".parse::<TimeRange>().expect_err("no units").to_string();
        assert_eq!(
            message,
            "`1` is not a length of time; write a number and a unit, such as 10s, 1.5ms, 200us or 50ns"
        );
    }
}
