//! Traces as text: what `pyrec dump` prints and tests are written in.
//!
//! ```text
//! # a calls b, which is collected in.
//! 0   7/7  function__entry   run.py:1:a  1
//! 10  7/7  gc__start         -           0  2
//! 15  7/7  gc__done          -           0  30
//! 20  7/7  function__return  run.py:1:a  2   -  unwind
//! ```
//!
//! A line is a row: `time pid/tid marker code line [value [text]]`, with `-` where there is nothing. The text goes on to
//! the end of the line. Lines that begin with `#` are for people. `docs/reference/format.md` tells how characters are written
//! that a line or a terminal cannot hold.

mod escape;
#[cfg(test)]
mod testing;

use std::fmt;

use pyrec_schema::{Batch, CodeId, Event, Marker, Names, TextId};

use self::escape::{Escaped, unescape};

#[cfg(test)]
pub use self::testing::{all, calls, manifest, rows, trace, trace_on};

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A row as a line, without a line end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The row.
    pub event: &'a Event,
    /// What its numbers stand for.
    pub names: &'a Names,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { time_ns, pid, tid, marker, code, line, value, text } = *self.event;
        write!(f, "{time_ns}  {pid}/{tid}  {:<16}  ", marker.name())?;
        match code {
            CodeId::NONE => f.write_str(NOTHING)?,
            code => write!(f, "{}", Escaped::word(&self.names.code_str(code)))?,
        }
        write!(f, "  {line}")?;
        let text = self.names.text_str(text);
        match (value, &text) {
            (Some(value), _) => write!(f, "  {value}")?,
            (None, Some(_)) => write!(f, "  {NOTHING}")?,
            (None, None) => {}
        }
        text.map_or(Ok(()), |text| write!(f, "  {}", Escaped::text(&text)))
    }
}

/// Reads the rows of a script.
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
        NOTHING => CodeId::NONE,
        code => names.code(&unescape(code)?),
    };
    let line = words.next()?.parse().ok()?;
    let value = match words.next() {
        None | Some(NOTHING) => None,
        Some(value) => Some(value.parse().ok()?),
    };
    let text = match words.collect::<Vec<_>>().join(" ").as_str() {
        "" | NOTHING => TextId::NONE,
        text => names.text(&unescape(text)?),
    };
    Some(Event { time_ns, pid, tid, marker, code, line, value, text })
}

/// A line of a script that is not a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a row: `{row}`; write `time pid/tid marker code line [value [text]]`")]
pub struct ScriptError {
    /// Which line, from 1.
    pub line: usize,
    /// What stands there.
    pub row: String,
}

#[cfg(test)]
mod tests {
    //! Rows into lines and back.

    use proptest::prelude::*;

    use super::*;

    fn line(event: &Event, names: &Names) -> String {
        Line { event, names }.to_string()
    }

    #[test]
    fn a_row_is_a_line_of_words() {
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
        let nothing =
            Event { marker: Marker::GcDone, code: CodeId::NONE, line: 0, text: TextId::NONE, ..event };
        assert_eq!(line(&nothing, &names), "81234  7/8  gc__done          -  0");
        assert_eq!(
            line(&Event { value: Some(-3), ..nothing }, &names),
            "81234  7/8  gc__done          -  0  -3"
        );
    }

    #[test]
    fn what_a_line_cannot_hold_is_escaped() {
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
    fn what_is_no_row_is_refused_by_its_line() {
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
            let error = parse(&format!("# for people\n\n  {row}\n"), &names).expect_err(row);
            assert_eq!(error, ScriptError { line: 3, row: row.into() });
        }
    }

    /// Strings that try a notation of words: signs of its own, spaces, controls, nothing.
    fn nasty() -> impl Strategy<Value = String> {
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
        fn every_row_is_read_as_it_was_written(
            (time_ns, pid, tid, line, value) in any::<(i64, i32, i32, i32, Option<i64>)>(),
            (code, text, marker) in (nasty(), proptest::option::of(nasty()), 0..Marker::ALL.len()),
        ) {
            let names = Names::new();
            let text = text.map_or(TextId::NONE, |text| names.text(&text));
            let marker = Marker::ALL[marker];
            let event = Event { time_ns, pid, tid, marker, code: names.code(&code), line, value, text };
            let written = Line { event: &event, names: &names }.to_string();
            prop_assert!(written.lines().count() == 1 && !written.contains(char::is_control));
            let read = parse(&written, &names).expect("what was written");
            prop_assert_eq!(read, Batch::from_iter([event]));
        }
    }
}
