//! Sizes as people write them.

/// Reads a number of bytes with its unit: `25MB`, `1.5GiB`, `500kB`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write a number and a unit, such as 25MB, 10MiB or 500kB");
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
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = (number * unit_bytes).round();
    if bytes < 1.0 || bytes > i64::MAX as f64 { Err(wrong()) } else { Ok(bytes as u64) }
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
}
