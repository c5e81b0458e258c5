//! Syntax highlighting of Python source for the pages.
//!
//! ```text
//! text     if n: # odd                lines   if n: # odd
//!                                     runs    k2_3o1_1c5          2 characters of a keyword, 3 plain, …
//! ```
//!
//! A page creates elements only for visible lines, so the colours are run lengths beside the text
//! instead of markup in it.

use std::fmt::Write;
use std::sync::LazyLock;

use tree_sitter_highlight::{HighlightConfiguration, HighlightEvent, Highlighter};

use crate::escape;

/// The highlight names of the grammar's query, and their letters in runs and in the style sheet.
/// Names that are not listed, such as variables, are plain.
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

/// A source text split into lines as Python counts them, with control characters escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HighlightedSource {
    /// The lines without line ends.
    pub lines: Vec<String>,
    /// The runs of each line: a letter and a length in UTF-16 code units, which JavaScript counts.
    /// A plain run at the end of a line is left out.
    pub runs: Vec<String>,
}

impl HighlightedSource {
    /// Highlights a text. After an error of the highlighter the rest is plain.
    pub fn of(text: &str) -> HighlightedSource {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut writer = RunWriter::default();
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
                        writer.push(part, kinds.last().copied().unwrap_or(PLAIN));
                        done = end;
                    }
                }
            }
        }
        writer.push(text.get(done..).unwrap_or_default(), PLAIN);
        writer.finish()
    }
}

static PYTHON: LazyLock<Option<HighlightConfiguration>> = LazyLock::new(|| {
    let (language, query) = (tree_sitter_python::LANGUAGE.into(), tree_sitter_python::HIGHLIGHTS_QUERY);
    let mut python = HighlightConfiguration::new(language, "python", query, "", "").ok()?;
    python.configure(&KINDS.map(|(name, _)| name));
    Some(python)
});

/// Collects runs and lines from highlighted parts of a text.
#[derive(Default)]
struct RunWriter {
    source: HighlightedSource,
    line: String,
    runs: String,
    /// The letter and length of the current run.
    kind: Option<char>,
    length: usize,
    /// Whether the last character was a carriage return, so that a newline does not end another
    /// line.
    after_return: bool,
}

impl RunWriter {
    fn push(&mut self, text: &str, kind: char) {
        // `and`, `in` and `not in` are operators in the grammar, but are shown as keywords.
        let is_word = kind == 'o' && text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
        let kind = if is_word { 'k' } else { kind };
        for c in text.chars() {
            match c {
                '\n' if self.after_return => {}
                '\n' | '\r' => self.end_line(),
                c if escape::is_control(c) && c != '\t' => {
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
        self.source.lines.push(std::mem::take(&mut self.line));
        self.source.runs.push(std::mem::take(&mut self.runs));
    }

    fn finish(mut self) -> HighlightedSource {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.source
    }
}

#[cfg(test)]
mod tests {
    //! Lines and their runs.

    use super::*;

    /// Each line with its runs.
    fn highlight(text: &str) -> Vec<(String, String)> {
        let source = HighlightedSource::of(text);
        source.lines.into_iter().zip(source.runs).collect()
    }

    fn lines(text: &str) -> Vec<String> {
        HighlightedSource::of(text).lines
    }

    #[test]
    fn runs_have_the_kinds_of_the_grammar() {
        let text = "if len(n) not in A: # odd\n    return f'{n}\\n'\n";
        let expected =
            [("if len(n) not in A: # odd", "k2_1b3_4k6_1n1_2c5"), ("    return f'{n}\\n'", "_4k6_1s2_3e2s1")];
        assert_eq!(highlight(text), expected.map(|(line, runs)| (line.into(), runs.into())));
    }

    #[test]
    fn lines_are_split_as_python_splits_them() {
        assert_eq!(lines("a\nb\r\nc\rd\n\n"), ["a", "b", "c", "d", ""]);
        assert_eq!(lines("a\u{c}b\u{2028}c"), ["a\\u{c}b\\u{2028}c"]);
        assert_eq!(lines("\u{feff}a"), ["a"]);
        assert!(lines("").is_empty());
    }

    #[test]
    fn bidirectional_controls_are_escaped() {
        // The emoji takes two UTF-16 code units, the escape eight.
        let source = highlight("'😀\u{202e}'\tx");
        assert_eq!(source, [("'😀\\u{202e}'\tx".into(), "s12".into())]);
    }

    #[test]
    fn invalid_python_is_shown() {
        let text = "<<<<<<< yours\n((((\n\"\"\"never ended\n";
        assert_eq!(lines(text), ["<<<<<<< yours", "((((", "\"\"\"never ended"]);
    }
}
