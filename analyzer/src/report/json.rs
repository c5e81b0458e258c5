//! JSON that can be printed on a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::escape;

/// Writes a value as one line of JSON.
pub fn write(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Escaping))?;
    out.write_all(b"\n")
}

/// Writes by their number the characters that JSON would let through and a terminal would act on.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(escape::is_unsafe) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            // All of them are in the basic plane, so one number does.
            write!(writer, "\\u{:04x}", chars.next().map_or(0, u32::from))?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    //! Strings there and back.

    use super::*;

    #[test]
    fn no_control_character_is_written_and_all_are_read_again() {
        let nasty = "a\u{1b}[2J\u{9b}\u{202e}\"\\\n数😀";
        let mut json = Vec::new();
        write(&nasty, &mut json).expect("a vector takes everything");
        let text = String::from_utf8(json).expect("JSON is text");
        assert_eq!(text, "\"a\\u001b[2J\\u009b\\u202e\\\"\\\\\\n数😀\"\n");
        assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), nasty);
    }
}
