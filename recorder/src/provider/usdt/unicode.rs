//! Decodes the characters of a Python string from its memory.

/// Decodes characters of `width` bytes each (1, 2 or 4, `PyUnicode_KIND`); width 0 is UTF-8 with a
/// zero at its end. What is no character, as a lone surrogate, becomes U+FFFD. A last character
/// that was cut is left out.
pub fn decode(width: u32, bytes: &[u8]) -> String {
    match width {
        1 => bytes.iter().map(|&byte| char::from(byte)).collect(),
        2 => characters::<2>(bytes, |unit| u32::from(u16::from_le_bytes(unit))),
        4 => characters::<4>(bytes, u32::from_le_bytes),
        _ => {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        }
    }
}

/// Python's two-byte strings are UCS-2: no character of theirs takes two units.
fn characters<const WIDTH: usize>(bytes: &[u8], number: impl Fn([u8; WIDTH]) -> u32) -> String {
    let (units, _) = bytes.as_chunks::<WIDTH>();
    units.iter().map(|&unit| char::from_u32(number(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_string() {
        // The bytes are those of CPython's PyUnicode_DATA for the string on the right.
        let strings: [(u32, &[u8], &str); 7] = [
            (1, b"main.py", "main.py"),
            (1, b"na\xefve", "naïve"),
            (2, b"\x20\x04\x43\x04", "Ру"),
            (4, b"a\0\0\0\x0d\xf4\x01\0", "a🐍"),
            (0, "größe\0rest".as_bytes(), "größe"),
            (0, b"no end", "no end"),
            (2, b"", ""),
        ];
        for (width, bytes, text) in strings {
            assert_eq!(decode(width, bytes), text);
        }
    }

    #[test]
    fn what_is_no_character_is_replaced_and_never_panics() {
        assert_eq!(decode(2, b"\x00\xd8a\0"), "\u{fffd}a");
        assert_eq!(decode(4, b"\xff\xff\xff\xffa\0\0\0"), "\u{fffd}a");
        assert_eq!(decode(4, b"a\0\0\0b\0"), "a");
        assert_eq!(decode(0, b"a\xff\0"), "a\u{fffd}");
    }
}
