//! The text form of rows, called a script: what `pyrec dump` prints and what tests are written in.
//!
//! ```text
//! # a calls b; the garbage collector runs inside b.
//! 0   7/7  function__entry   run.py:1:a  1
//! 5   7/7  function__entry   run.py:9:b  9
//! 10  7/7  gc__start         -           0  2
//! 15  7/7  gc__done          -           0  30
//! 18  7/7  function__return  run.py:9:b  9
//! 20  7/7  function__return  run.py:1:a  2   -  unwind
//! ```
//!
//! Each line is a row: `time pid/tid marker code line [value [text]]`. The fields are separated by
//! any number of spaces, and `-` stands for an absent value. The text extends to the end of the
//! line. Lines that begin with `#` are comments. `docs/reference/format.md` specifies how
//! characters are escaped that a field or a terminal cannot hold.

use std::fmt::{self, Write};

use pyrec_schema::{Batch, CodeId, Event, Marker, Names, TextId};

use crate::escape::is_control;

/// An absent field.
const ABSENT: &str = "-";

/// An empty text. Of all fields, only a text can be present and empty.
const EMPTY: &str = "\"\"";

/// Displays a row as a line, without a line end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The row.
    pub event: &'a Event,
    /// The strings of the row's ids.
    pub names: &'a Names,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { time_ns, pid, tid, marker, code, line, value, text } = *self.event;
        write!(f, "{time_ns}  {pid}/{tid}  {:<16}  ", marker.name())?;
        match code {
            CodeId::NONE => f.write_str(ABSENT)?,
            code => write!(f, "{}", Escaped::word(&self.names.code_str(code)))?,
        }
        write!(f, "  {line}")?;
        let text = self.names.text_str(text);
        match (value, &text) {
            (Some(value), _) => write!(f, "  {value}")?,
            (None, Some(_)) => write!(f, "  {ABSENT}")?,
            (None, None) => {}
        }
        text.map_or(Ok(()), |text| write!(f, "  {}", Escaped::text(&text)))
    }
}

/// Parses the rows of a script.
///
/// # Errors
///
/// The first line that is not a row.
pub fn parse(script: &str, names: &Names) -> Result<Batch, ScriptError> {
    let lines = script.lines().map(str::trim).enumerate();
    let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    rows.map(|(at, row)| {
        parse_row(row, names).ok_or_else(|| ScriptError { line: at + 1, row: row.to_owned() })
    })
    .collect::<Result<Vec<Event>, ScriptError>>()
    .map(Batch::from_iter)
}

fn parse_row(row: &str, names: &Names) -> Option<Event> {
    let mut words = row.split_whitespace();
    let time_ns = words.next()?.parse().ok()?;
    let (pid, tid) = words.next()?.split_once('/')?;
    let (pid, tid) = (pid.parse().ok()?, tid.parse().ok()?);
    let marker = Marker::from_name(words.next()?)?;
    let code = match words.next()? {
        ABSENT => CodeId::NONE,
        code => names.code(&unescape(code)?),
    };
    let line = words.next()?.parse().ok()?;
    let value = match words.next() {
        None | Some(ABSENT) => None,
        Some(value) => Some(value.parse().ok()?),
    };
    let text = match words.collect::<Vec<_>>().join(" ").as_str() {
        "" | ABSENT => TextId::NONE,
        text => names.text(&unescape(text)?),
    };
    Some(Event { time_ns, pid, tid, marker, code, line, value, text })
}

/// A line of a script that is not a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a row: `{row}`; write `time pid/tid marker code line [value [text]]`")]
pub struct ScriptError {
    /// The line number, from 1.
    pub line: usize,
    /// The line, without the spaces around it.
    pub row: String,
}

/// Displays a string as a field of a line.
#[derive(Clone, Copy, Debug)]
struct Escaped<'a> {
    string: &'a str,
    /// Whether it is the last field, so that a single space between two words needs no escape.
    is_last: bool,
}

impl<'a> Escaped<'a> {
    /// A string in a field without spaces.
    fn word(string: &'a str) -> Self {
        Escaped { string, is_last: false }
    }

    /// A string that extends to the end of the line.
    fn text(string: &'a str) -> Self {
        Escaped { string, is_last: true }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.string.is_empty() {
            return f.write_str(EMPTY);
        }
        // A string that would be read as an absent or an empty field.
        let is_reserved = self.string == ABSENT || self.string == EMPTY;
        // A parser joins the words of the last field by one space, so that space needs no escape.
        let mut may_separate = false;
        let mut chars = self.string.chars().peekable();
        while let Some(c) = chars.next() {
            let separates = self.is_last && may_separate && c == ' ' && chars.peek().is_some();
            may_separate = !separates;
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                ' ' if separates => f.write_char(c)?,
                ' ' => f.write_str("\\s")?,
                _ if is_reserved || c.is_whitespace() || is_control(c) => {
                    write!(f, "{}", c.escape_unicode())?
                }
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The string of an escaped field. None if an escape is malformed.
fn unescape(escaped: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    //! Rows to lines and back.

    use proptest::prelude::*;

    use super::*;

    fn line(event: &Event, names: &Names) -> String {
        Line { event, names }.to_string()
    }

    #[test]
    fn a_row_is_displayed_as_a_line() {
        let names = Names::new();
        let event = Event {
            time_ns: 81_234,
            pid: 7,
            tid: 8,
            marker: Marker::FunctionReturn,
            code: names.code("/srv/run.py:3:C.f"),
            line: 4,
            value: None,
            text: names.text("yield"),
        };
        assert_eq!(line(&event, &names), "81234  7/8  function__return  /srv/run.py:3:C.f  4  -  yield");
        let bare = Event { marker: Marker::GcDone, code: CodeId::NONE, line: 0, text: TextId::NONE, ..event };
        assert_eq!(line(&bare, &names), "81234  7/8  gc__done          -  0");
        assert_eq!(
            line(&Event { value: Some(-3), ..bare }, &names),
            "81234  7/8  gc__done          -  0  -3"
        );
    }

    #[test]
    fn characters_that_a_field_cannot_hold_are_escaped() {
        let names = Names::new();
        let source = Event {
            time_ns: 0,
            pid: 1,
            tid: 1,
            marker: Marker::Source,
            code: names.code("/my files/a\\b.py::"),
            line: 2,
            value: Some(9),
            text: names.text("if x:\n  print('é')"),
        };
        assert_eq!(
            line(&source, &names),
            r"0  1/1  source            /my\sfiles/a\\b.py::  2  9  if x:\n \sprint('é')"
        );
    }

    #[test]
    fn an_invalid_row_is_reported_with_its_line_number() {
        let names = Names::new();
        for row in [
            "1 7/7 function__entry a.py:1:a",
            "x 7/7 line a.py:1:a 1",
            "1 7 line a.py:1:a 1",
            "1 7/7 lines a.py:1:a 1",
            "1 7/7 line a.py:1:a 1 x",
            r"1 7/7 line a\q 1",
            r"1 7/7 line a 1 - \u{110000}",
        ] {
            let error = parse(&format!("# a comment\n\n  {row}\n"), &names).expect_err(row);
            assert_eq!(error, ScriptError { line: 3, row: row.into() });
        }
    }

    /// Strings with characters that have a meaning in a script: separators, escapes, comments.
    fn awkward_string() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            Just("-".into()),
            Just("#".into()),
            r#"[ \\"u{}\-#:a\n\t\u{1b}\u{202e}é]{0,8}"#,
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn parsing_a_displayed_row_returns_the_row(
            (time_ns, pid, tid, line, value) in any::<(i64, i32, i32, i32, Option<i64>)>(),
            (code, text, marker) in (awkward_string(), proptest::option::of(awkward_string()), 0..Marker::ALL.len()),
        ) {
            let names = Names::new();
            let text = text.map_or(TextId::NONE, |text| names.text(&text));
            let marker = Marker::ALL[marker];
            let event = Event { time_ns, pid, tid, marker, code: names.code(&code), line, value, text };
            let written = Line { event: &event, names: &names }.to_string();
            prop_assert!(written.lines().count() == 1 && !written.contains(char::is_control));
            let read = parse(&written, &names).expect("a displayed row is valid");
            prop_assert_eq!(read, Batch::from_iter([event]));
        }
    }
}
