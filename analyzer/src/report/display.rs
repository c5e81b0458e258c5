//! How numbers and names are shown in text: durations, sizes, counts, times, percentages,
//! indentation, files.

use std::fmt;

use chrono::DateTime;

/// A duration in nanoseconds, shown with three digits in a fitting unit: `1.23 ms`.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        // The limits are those of the rounded number, since rounding may reach the next unit.
        let text = match ns {
            0..1_000 => format!("{ns} ns"),
            1_000..999_500 => format!("{} µs", three_digits(ns as f64 / 1e3)),
            999_500..999_500_000 => format!("{} ms", three_digits(ns as f64 / 1e6)),
            _ => format!("{} s", three_digits(ns as f64 / 1e9)),
        };
        f.pad(&text)
    }
}

fn three_digits(number: f64) -> String {
    match number {
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// A size in bytes, shown with three digits in a fitting decimal unit: `1.23 MB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let text = match self.0 {
            0..1_000 => format!("{} B", self.0),
            1_000..999_500 => format!("{} kB", three_digits(bytes / 1e3)),
            999_500..999_500_000 => format!("{} MB", three_digits(bytes / 1e6)),
            _ => format!("{} GB", three_digits(bytes / 1e9)),
        };
        f.pad(&text)
    }
}

/// A number, shown with thousands separators: `1,234,567`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A time in nanoseconds since the first event, shown in seconds: `1.234567 s`. Times before the
/// first event are negative.
#[derive(Clone, Copy, Debug)]
pub struct Instant(pub i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.unsigned_abs() / 1_000;
        let sign = if self.0 < 0 && us > 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{:06} s", us / 1_000_000, us % 1_000_000))
    }
}

/// A time in nanoseconds since the Unix epoch, shown in UTC so that the output does not depend on
/// the reader's time zone.
#[derive(Clone, Copy, Debug)]
pub struct WallClock(pub i64);

impl fmt::Display for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", DateTime::from_timestamp_nanos(self.0).format("%Y-%m-%d %H:%M:%S%.6f UTC"))
    }
}

/// A part and a whole, shown as a percentage: `12.3 %`. It is `unknown` if the whole is 0.
#[derive(Clone, Copy, Debug)]
pub struct Percent(pub u64, pub u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => f.pad("unknown"),
            whole => f.pad(&format!("{:.1} %", 100.0 * self.0 as f64 / whole as f64)),
        }
    }
}

/// The deepest level that is indented. Deeper levels are written as a number: with a million levels
/// each line would be two megabytes long.
const MAX_INDENT: usize = 200;

/// The indentation of a nested line.
#[derive(Clone, Copy, Debug)]
pub struct Indent {
    /// The number of levels.
    pub levels: usize,
    /// The width of a level in columns.
    pub columns: usize,
}

impl fmt::Display for Indent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:1$}", "", self.levels.min(MAX_INDENT) * self.columns)?;
        if self.levels > MAX_INDENT { write!(f, "({}) ", Count(self.levels as u64)) } else { Ok(()) }
    }
}

/// The short name of a file: its module, else the last component of its path.
pub fn file_name<'a>(module: Option<&'a str>, file: &'a str) -> &'a str {
    module.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file))
}

/// A count and a noun, with an `s` unless the count is 1: `1 event`, `2 events`.
pub fn plural(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", Count(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    //! The text of each wrapper.

    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (99_960, "100 µs"),
            (999_600, "1.00 ms"),
            (1_234_567, "1.23 ms"),
            (999_700_000, "1.00 s"),
            (61_000_000_000, "61.0 s"),
            (3_600_000_000_000, "3600 s"),
        ] {
            assert_eq!(Time(ns).to_string(), text);
        }
        assert_eq!(format!("{:>8}|", Time(5)), "    5 ns|");
    }

    #[test]
    fn counts_have_thousands_separators() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Count(count).to_string(), text);
        }
        assert_eq!((plural(1, "event"), plural(2_000, "event")), ("1 event".into(), "2,000 events".into()));
    }

    #[test]
    fn instants_are_seconds_and_parts_are_percentages() {
        let instants = [0, 999, 1_234_567_890, -1_500, -10, i64::MIN].map(|ns| Instant(ns).to_string());
        let expected =
            ["0.000000 s", "0.000000 s", "1.234567 s", "-0.000001 s", "0.000000 s", "-9223372036.854775 s"];
        assert_eq!(instants, expected);
        let percentages = [(1, 8), (0, 3), (7, 0)].map(|(part, whole)| Percent(part, whole).to_string());
        assert_eq!(percentages, ["12.5 %", "0.0 %", "unknown"]);
    }

    #[test]
    fn wall_clock_times_are_in_utc() {
        // `date -u -d @1763780000`
        assert_eq!(WallClock(1_763_780_000_123_456_789).to_string(), "2025-11-22 02:53:20.123456 UTC");
    }

    #[test]
    fn an_indent_is_spaces_or_a_number() {
        let indent = |levels| Indent { levels, columns: 2 }.to_string();
        assert_eq!((indent(0).as_str(), indent(3).as_str()), ("", "      "));
        assert_eq!(indent(200), " ".repeat(400));
        assert_eq!(indent(1_000_000), " ".repeat(400) + "(1,000,000) ");
    }
}
