//! Names of a stranger's program, made safe to print.

use std::fmt::{self, Write};

/// A name without what would move a terminal's cursor, ring its bell or turn its text around: such characters are
/// printed by their number.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if is_unsafe(c) { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) }
        })
    }
}

/// Whether a character controls what is shown instead of being shown: ASCII and Latin controls, line and paragraph
/// separators, and the marks that change the direction of writing.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    //! What is escaped, and what is left alone.

    use super::*;

    #[test]
    fn controls_are_printed_by_their_number() {
        let nasty = "\u{1b}[2Ja\rb\u{7f}\u{9b}c\u{202e}d\u{2066}\ne\u{200f}";
        assert_eq!(
            Plain(nasty).to_string(),
            "\\u{1b}[2Ja\\u{d}b\\u{7f}\\u{9b}c\\u{202e}d\\u{2066}\\u{a}e\\u{200f}"
        );
    }

    #[test]
    fn letters_of_any_language_stay() {
        let names = "größe_Ω_数 <locals>.f\\\"";
        assert_eq!(Plain(names).to_string(), names);
    }
}
