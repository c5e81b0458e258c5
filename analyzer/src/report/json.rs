//! JSON output in which control characters are escaped, so that it can be printed on a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::escape;

/// Writes a value as one line of JSON.
pub fn write(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, TerminalSafe))?;
    out.write_all(b"\n")
}

/// Escapes characters that are valid in JSON strings but that a terminal interprets.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(escape::is_control) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            // All unsafe characters are in the basic multilingual plane: one escape is enough.
            write!(writer, "\\u{:04x}", chars.next().map_or(0, u32::from))?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    //! Round trips of strings.

    use super::*;

    #[test]
    fn control_characters_are_escaped_and_round_trip() {
        let text = "a\u{1b}[2J\u{9b}\u{202e}\"\\\n数😀";
        let mut json = Vec::new();
        write(&text, &mut json).expect("a vector accepts all writes");
        let json = String::from_utf8(json).expect("the output is UTF-8");
        assert_eq!(json, "\"a\\u001b[2J\\u009b\\u202e\\\"\\\\\\n数😀\"\n");
        assert_eq!(serde_json::from_str::<String>(&json).expect("the output is valid JSON"), text);
    }
}
