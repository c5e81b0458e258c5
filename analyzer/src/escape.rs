//! Text without characters that control a terminal.

use std::fmt::{self, Write};

/// Displays a string from a trace so that it is safe to print.
///
/// A traced program chooses its own names. A character that would move the terminal's cursor, ring
/// its bell or change the direction of the text is displayed as an escape: `\u{1b}`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if is_control(c) { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) }
        })
    }
}

/// Whether a character controls the terminal or the layout of text: control characters, line and
/// paragraph separators, invisible and bidirectional formatting characters, and noncharacters.
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    //! Escaped and unescaped characters.

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let text = "\u{1b}[2Ja\rb\u{7f}\u{9b}c\u{202e}d\u{2066}\ne\u{200f}";
        assert_eq!(
            Printable(text).to_string(),
            "\\u{1b}[2Ja\\u{d}b\\u{7f}\\u{9b}c\\u{202e}d\\u{2066}\\u{a}e\\u{200f}"
        );
    }

    #[test]
    fn letters_of_any_script_are_kept() {
        let text = "größe_Ω_数 <locals>.f\\\"";
        assert_eq!(Printable(text).to_string(), text);
    }
}
