//! Flag values that are a size or a duration: `100MB`, `10m`.

#[cfg(feature = "record")]
use pyrec_analyzer::filter::parse_duration;
#[cfg(feature = "record")]
use pyrec_recorder::SizeOrDuration;

/// Parses a size into bytes: a number with the unit B, kB, MB, GB, KiB, MiB or GiB, at least one
/// byte.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let error = || format!("`{text}` is not a size; write a number and a unit, such as 25MB, 10MiB or 500kB");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_bytes = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(error()),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    let bytes = (number * unit_bytes).round();
    if bytes < 1.0 || bytes > i64::MAX as f64 { Err(error()) } else { Ok(bytes as u64) }
}

/// Parses a size, or else a duration. No text is both: the unit of a size ends in `b`.
#[cfg(feature = "record")]
pub fn parse_size_or_duration(text: &str) -> Result<SizeOrDuration, String> {
    let size = parse_size(text).map(SizeOrDuration::Size);
    size.or_else(|_| parse_duration(text).map(SizeOrDuration::Duration))
        .map_err(|_| format!("`{text}` is neither a size nor a time; write `100MB`, `1GiB`, `30s` or `10m`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("25MB", 25_000_000), ("10MiB", 10 << 20), ("1.5kB", 1_500), ("1 gb", 1_000_000_000)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "25", "MB", "0MB", "-1MB", "1.2.3MB", "1TBx", "99999999999GB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[cfg(feature = "record")]
    #[test]
    fn a_unit_of_bytes_makes_a_size_and_a_unit_of_time_a_duration() {
        let minute = SizeOrDuration::Duration(std::time::Duration::from_secs(60));
        let table = [
            ("100MB", SizeOrDuration::Size(100_000_000)),
            ("1.5KiB", SizeOrDuration::Size(1536)),
            ("7B", SizeOrDuration::Size(7)),
            ("1m", minute),
            ("60s", minute),
        ];
        for (text, expected) in table {
            assert_eq!(parse_size_or_duration(text), Ok(expected), "{text}");
        }
        for invalid in ["", "100", "MB", "1M", "0B", "-1MB", "1e99GB", "1.2.3MB", "10 parsecs"] {
            assert!(parse_size_or_duration(invalid).is_err(), "{invalid}");
        }
    }
}
