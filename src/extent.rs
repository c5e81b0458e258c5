//! How much of a recording, as it is typed: `100MB`, `10m`.

use pyrec_analyzer::filter::parse_duration;
use pyrec_recorder::SizeOrDuration;

use crate::size::parse_size;

/// Reads a size or a time.
pub fn parse_extent(text: &str) -> Result<SizeOrDuration, String> {
    let size = parse_size(text).map(SizeOrDuration::Size);
    size.or_else(|_| parse_duration(text).map(SizeOrDuration::Duration))
        .map_err(|_| format!("`{text}` is neither a size nor a time; write `100MB`, `1GiB`, `30s` or `10m`"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_end_in_bytes_and_times_do_not() {
        let minute = SizeOrDuration::Duration(Duration::from_secs(60));
        let table = [
            ("100MB", SizeOrDuration::Size(100_000_000)),
            ("1.5KiB", SizeOrDuration::Size(1536)),
            ("7B", SizeOrDuration::Size(7)),
            ("1m", minute),
            ("60s", minute),
        ];
        for (text, extent) in table {
            assert_eq!(parse_extent(text), Ok(extent), "{text}");
        }
        for wrong in ["", "100", "MB", "1M", "0B", "-1MB", "1e99GB", "1.2.3MB", "10 parsecs"] {
            assert!(parse_extent(wrong).is_err(), "{wrong}");
        }
    }
}
