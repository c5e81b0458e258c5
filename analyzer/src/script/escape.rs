//! Strings of a trace in a line of words, and back.

use std::fmt::{self, Write};

use super::NOTHING;
use crate::escape::is_unsafe;

/// The empty text: only a text can be empty and there.
const EMPTY: &str = "\"\"";

/// A string as it stands in a script: on one line, and so that its words tell where it ends.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    string: &'a str,
    /// Whether a space between two words may stay, since the string goes on to the end of the line.
    is_last: bool,
}

impl<'a> Escaped<'a> {
    /// A string that must be one word.
    pub fn word(string: &'a str) -> Self {
        Escaped { string, is_last: false }
    }

    /// A string that goes on to the end of the line.
    pub fn text(string: &'a str) -> Self {
        Escaped { string, is_last: true }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.string.is_empty() {
            return f.write_str(EMPTY);
        }
        // What would be taken for nothing, or for an empty text.
        let is_taken = self.string == NOTHING || self.string == EMPTY;
        // A space on its own between two words is what parting words means anyway.
        let mut may_part = false;
        let mut chars = self.string.chars().peekable();
        while let Some(c) = chars.next() {
            let parts = self.is_last && may_part && c == ' ' && chars.peek().is_some();
            may_part = !parts;
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                ' ' if parts => f.write_char(c)?,
                ' ' => f.write_str("\\s")?,
                _ if is_taken || c.is_whitespace() || is_unsafe(c) => write!(f, "{}", c.escape_unicode())?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The string that was escaped; none if it never was one.
pub fn unescape(escaped: &str) -> Option<String> {
    if escaped == EMPTY {
        return Some(String::new());
    }
    let mut string = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('\\') {
        string.push_str(before);
        let mut after = after.chars();
        let c = match after.next()? {
            '\\' => '\\',
            's' => ' ',
            'n' => '\n',
            't' => '\t',
            'u' => {
                let (number, behind) = after.as_str().strip_prefix('{')?.split_once('}')?;
                after = behind.chars();
                char::from_u32(u32::from_str_radix(number, 16).ok()?)?
            }
            _ => return None,
        };
        string.push(c);
        rest = after.as_str();
    }
    string.push_str(rest);
    Some(string)
}
