//! Source text in the colours of its grammar.
//!
//! ```text
//! text     if n: # odd                lines   if n: # odd
//!                                     runs    k2_3o1_1c5          two of a keyword, three plain, …
//! ```
//!
//! A page draws only the lines that are seen, so colours come as lengths beside the text and not as elements.

use std::fmt::Write;
use std::sync::LazyLock;

use tree_sitter_highlight::{HighlightConfiguration, HighlightEvent, Highlighter};

use crate::escape;

/// What the grammar's own query tells apart, and the letter that it has in runs and style sheets. Variables are plain.
const KINDS: [(&str, char); 12] = [
    ("comment", 'c'),
    ("constant", 'n'),
    ("constructor", 't'),
    ("embedded", PLAIN),
    ("escape", 'e'),
    ("function", 'f'),
    ("function.builtin", 'b'),
    ("keyword", 'k'),
    ("number", 'n'),
    ("operator", 'o'),
    ("string", 's'),
    ("type", 't'),
];

const PLAIN: char = '_';

/// A source text, line by line as Python counts lines, safe to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Painted {
    /// The lines without their ends.
    pub lines: Vec<String>,
    /// For each line a letter and a length for each run, in units of UTF-16, as scripts count. What is plain at the end of
    /// a line is left out.
    pub runs: Vec<String>,
}

impl Painted {
    /// Paints a text. What is no Python is plain from there on.
    pub fn of(text: &str) -> Painted {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut brush = Brush::default();
        let mut kinds = vec![PLAIN];
        let mut highlighter = Highlighter::new();
        let mut done = 0;
        if let Some(python) = PYTHON.as_ref()
            && let Ok(events) = highlighter.highlight(python, text.as_bytes(), None, |_| None)
        {
            for event in events.map_while(Result::ok) {
                match event {
                    HighlightEvent::HighlightStart(kind) => kinds.push(KINDS[kind.0].1),
                    HighlightEvent::HighlightEnd => {
                        kinds.pop();
                    }
                    HighlightEvent::Source { start, end } => {
                        let Some(part) = text.get(start..end) else { break };
                        brush.draw(part, kinds.last().copied().unwrap_or(PLAIN));
                        done = end;
                    }
                }
            }
        }
        brush.draw(text.get(done..).unwrap_or_default(), PLAIN);
        brush.finish()
    }
}

static PYTHON: LazyLock<Option<HighlightConfiguration>> = LazyLock::new(|| {
    let (language, query) = (tree_sitter_python::LANGUAGE.into(), tree_sitter_python::HIGHLIGHTS_QUERY);
    let mut python = HighlightConfiguration::new(language, "python", query, "", "").ok()?;
    python.configure(&KINDS.map(|(name, _)| name));
    Some(python)
});

/// Draws runs, and ends lines.
#[derive(Default)]
struct Brush {
    painted: Painted,
    line: String,
    runs: String,
    /// The run that is being drawn.
    kind: Option<char>,
    length: usize,
    after_return: bool,
}

impl Brush {
    fn draw(&mut self, text: &str, kind: char) {
        // `and`, `in` and `not in` are operators to the grammar, and words to the eye.
        let is_word = kind == 'o' && text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
        let kind = if is_word { 'k' } else { kind };
        for c in text.chars() {
            match c {
                '\n' if self.after_return => {}
                '\n' | '\r' => self.end_line(),
                c if escape::is_unsafe(c) && c != '\t' => {
                    let number = c.escape_unicode();
                    self.extend(kind, number.len());
                    self.line.extend(number);
                }
                c => {
                    self.extend(kind, c.len_utf16());
                    self.line.push(c);
                }
            }
            self.after_return = c == '\r';
        }
    }

    fn extend(&mut self, kind: char, length: usize) {
        if self.kind != Some(kind) {
            self.end_run();
            self.kind = Some(kind);
        }
        self.length += length;
    }

    fn end_run(&mut self) {
        let length = std::mem::take(&mut self.length);
        if let Some(kind) = self.kind.take() {
            let _ = write!(self.runs, "{kind}{length}");
        }
    }

    fn end_line(&mut self) {
        if self.kind == Some(PLAIN) {
            (self.kind, self.length) = (None, 0);
        }
        self.end_run();
        self.painted.lines.push(std::mem::take(&mut self.line));
        self.painted.runs.push(std::mem::take(&mut self.runs));
    }

    fn finish(mut self) -> Painted {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.painted
    }
}

#[cfg(test)]
mod tests {
    //! Lines and their colours.

    use super::*;

    /// Each line with its runs.
    fn paint(text: &str) -> Vec<(String, String)> {
        let painted = Painted::of(text);
        painted.lines.into_iter().zip(painted.runs).collect()
    }

    fn lines(text: &str) -> Vec<String> {
        Painted::of(text).lines
    }

    #[test]
    fn words_have_their_colours() {
        let text = "if len(n) not in A: # odd\n    return f'{n}\\n'\n";
        let expected =
            [("if len(n) not in A: # odd", "k2_1b3_4k6_1n1_2c5"), ("    return f'{n}\\n'", "_4k6_1s2_3e2s1")];
        assert_eq!(paint(text), expected.map(|(line, runs)| (line.into(), runs.into())));
    }

    #[test]
    fn lines_are_those_that_python_counts() {
        assert_eq!(lines("a\nb\r\nc\rd\n\n"), ["a", "b", "c", "d", ""]);
        assert_eq!(lines("a\u{c}b\u{2028}c"), ["a\\u{c}b\\u{2028}c"]);
        assert_eq!(lines("\u{feff}a"), ["a"]);
        assert!(lines("").is_empty());
    }

    #[test]
    fn what_would_turn_the_text_around_is_shown_by_its_number() {
        // Two units of UTF-16 for the first sign, eight letters for the second.
        let painted = paint("'😀\u{202e}'\tx");
        assert_eq!(painted, [("'😀\\u{202e}'\tx".into(), "s12".into())]);
    }

    #[test]
    fn what_is_no_python_is_shown_all_the_same() {
        let text = "<<<<<<< yours\n((((\n\"\"\"never ended\n";
        assert_eq!(lines(text), ["<<<<<<< yours", "((((", "\"\"\"never ended"]);
    }
}
