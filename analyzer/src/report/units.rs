//! Numbers as people read them.

use std::fmt;

use chrono::DateTime;

/// A length of time in the unit that fits it, with three digits: `1.23 ms`.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        // Rounding may lead into the next unit, so the limits are those of the rounded number.
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

/// A size in the unit that fits it: `1.23 MB`.
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

/// A number with its thousands set apart: `1,234,567`.
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

/// When something happened, counted from the first event: `1.234567 s`. What came before that is negative.
#[derive(Clone, Copy, Debug)]
pub struct Instant(pub i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.unsigned_abs() / 1_000;
        let sign = if self.0 < 0 && us > 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{:06} s", us / 1_000_000, us % 1_000_000))
    }
}

/// When something happened, from nanoseconds of Unix time; in universal time, since nobody knows where it is read.
#[derive(Clone, Copy, Debug)]
pub struct WallClock(pub i64);

impl fmt::Display for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", DateTime::from_timestamp_nanos(self.0).format("%Y-%m-%d %H:%M:%S%.6f UTC"))
    }
}

/// A part of a whole: `12.3 %`.
#[derive(Clone, Copy, Debug)]
pub struct Share(pub u64, pub u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => f.pad("unknown"),
            whole => f.pad(&format!("{:.1} %", 100.0 * self.0 as f64 / whole as f64)),
        }
    }
}

/// A number of things: `1 event`, `2 events`.
pub fn plural(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", Count(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    //! Numbers as they are printed.

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
    fn counts_have_thousands() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Count(count).to_string(), text);
        }
        assert_eq!((plural(1, "event"), plural(2_000, "event")), ("1 event".into(), "2,000 events".into()));
    }

    #[test]
    fn instants_and_shares() {
        let instants = [0, 999, 1_234_567_890, -1_500, -10, i64::MIN].map(|ns| Instant(ns).to_string());
        let expected =
            ["0.000000 s", "0.000000 s", "1.234567 s", "-0.000001 s", "0.000000 s", "-9223372036.854775 s"];
        assert_eq!(instants, expected);
        let shares = [(1, 8), (0, 3), (7, 0)].map(|(part, whole)| Share(part, whole).to_string());
        assert_eq!(shares, ["12.5 %", "0.0 %", "unknown"]);
    }

    #[test]
    fn wall_clocks_are_in_universal_time() {
        // `date -u -d @1763780000`
        assert_eq!(WallClock(1_763_780_000_123_456_789).to_string(), "2025-11-22 02:53:20.123456 UTC");
    }
}
