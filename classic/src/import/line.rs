//! Lines of a capture: reading them with bounded memory, and parsing them.

use std::io::{self, BufRead, Read as _};

use pyrec_schema::{Marker, MarkerGroup};

use super::event::ParsedEvent;
use super::example_formats::{parse_dtrace, parse_thread_indent};
use crate::capture_format::{Argument, END, HEADER, arguments};

/// The maximum length of a line. An event line has two strings and some numbers.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Reads a text line by line, in memory for one line of at most 64 KiB.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> LineReader<R> {
    pub fn new(input: R) -> Self {
        LineReader { input, line: Vec::new(), number: 0 }
    }

    /// The next line and its number, counted from 1. The text is `None` if the line is too long, is
    /// not UTF-8, contains a zero byte, or is the last one and lacks its newline.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Option<&str>)>> {
        self.line.clear();
        self.number += 1;
        if self.read_piece()? == 0 {
            return Ok(None);
        }
        let mut is_whole = self.line.ends_with(b"\n");
        while !is_whole && self.line.len() as u64 == MAX_LINE_BYTES {
            // Skips the rest of a line that is too long.
            self.line.clear();
            if self.read_piece()? == 0 || self.line.ends_with(b"\n") {
                return Ok(Some((self.number, None)));
            }
        }
        is_whole &= !self.line.contains(&0);
        Ok(Some((self.number, std::str::from_utf8(&self.line).ok().filter(|_| is_whole))))
    }

    fn read_piece(&mut self) -> io::Result<usize> {
        (&mut self.input).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)
    }
}

/// A parsed line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    Event(ParsedEvent<'a>),
    /// The first line of a capture by a generated script.
    Header(Header),
    /// The last line of a capture by a generated script.
    End,
    /// A message of the tool that it lost this many events.
    Lost(u64),
    /// Any other message of the tool.
    ToolMessage,
    /// None of these. Has the process and thread if the line begins with them.
    Malformed(Option<(i32, i32)>),
}

/// The fields of a capture's header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub tool: String,
    pub monotonic_ns: i64,
    pub unix_ns: i64,
    /// The Python version that the script was generated for, if that was known.
    pub version: Option<String>,
    pub groups: Vec<MarkerGroup>,
}

impl<'a> Line<'a> {
    /// Parses a line in any of the known formats.
    pub fn parse(line: &'a str) -> Line<'a> {
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(header) = line.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\t')) {
            return Header::parse(header).map_or(Line::Malformed(None), Line::Header);
        }
        if line == END {
            return Line::End;
        }
        if let Some(lost) = parse_lost(line) {
            return Line::Lost(lost);
        }
        if is_tool_message(line) {
            return Line::ToolMessage;
        }
        let event = parse_event(line).or_else(|| parse_dtrace(line)).or_else(|| parse_thread_indent(line));
        event.map_or_else(|| Line::Malformed(parse_thread(line)), Line::Event)
    }
}

impl Header {
    fn parse(header: &str) -> Option<Header> {
        let [tool, monotonic, unix, version, groups] =
            header.split('\t').collect::<Vec<_>>().try_into().ok()?;
        Some(Header {
            tool: tool.to_owned(),
            monotonic_ns: monotonic.parse().ok()?,
            unix_ns: unix.parse().ok()?,
            version: (version != "unknown").then(|| version.to_owned()),
            groups: groups.split(',').map(MarkerGroup::from_name).collect::<Option<_>>()?,
        })
    }
}

/// The process and thread of a malformed event line.
fn parse_thread(line: &str) -> Option<(i32, i32)> {
    let mut fields = line.split('\t');
    let _: i64 = fields.next()?.parse().ok()?;
    let thread = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Without a following field the thread's number may itself be cut off, and so be another one.
    fields.next().map(|_| thread)
}

/// Parses an event line of the capture format.
fn parse_event(line: &str) -> Option<ParsedEvent<'_>> {
    let mut rest = line.split('\t');
    let mut next = || rest.next();
    let (time_ns, pid, tid) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    let mut event = ParsedEvent::new(time_ns, pid, tid, Marker::from_name(next()?)?);
    let is_code = event.marker.is_code();
    for argument in arguments(event.marker)? {
        let field = next()?;
        match argument {
            // A class body, or a generator before its first line, has line -1.
            Argument::Int(_) if is_code => event.line = field.parse::<i32>().ok()?.max(0),
            Argument::Int(_) | Argument::Long(_) => event.value = Some(field.parse().ok()?),
            Argument::Text(1) if is_code => event.file = field,
            Argument::Text(_) => event.name = field,
        }
    }
    next().is_none().then_some(event)
}

/// The number of lost events in the messages of bpftrace, DTrace and SystemTap about them.
fn parse_lost(line: &str) -> Option<u64> {
    let bpftrace = || line.strip_prefix("Lost ")?.strip_suffix(" events");
    let dtrace = || {
        let (count, rest) = line.strip_prefix("dtrace: ")?.split_once(' ')?;
        let kind = rest.split(" on CPU ").next()?;
        (kind == "drops" || kind.ends_with(" drops") || kind.ends_with(" drop") || kind == "drop")
            .then_some(count)
    };
    let stap = || line.strip_prefix("WARNING: There were ")?.strip_suffix(" transport failures.");
    bpftrace().or_else(dtrace).or_else(stap)?.parse().ok()
}

fn is_tool_message(line: &str) -> bool {
    let starts = ["#", "@", "Attaching ", "Attached ", "dtrace: ", "WARNING: ", "ERROR: ", "Pass "];
    line.trim().is_empty() || starts.iter().any(|start| line.starts_with(start))
}
