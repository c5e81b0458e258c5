//! An event as one line of a capture describes it, whatever the line's format.

use pyrec_schema::Marker;

use crate::capture_format::STRING_BYTES;

/// A parsed event line. Fields that the line does not have are empty, 0 or `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedEvent<'a> {
    pub time_ns: i64,
    pub pid: i32,
    pub tid: i32,
    pub marker: Marker,
    pub file: &'a str,
    pub name: &'a str,
    pub line: i32,
    pub value: Option<i64>,
    /// How many calls of its thread enclose the event, if the format shows it by indentation.
    pub depth: Option<usize>,
}

impl<'a> ParsedEvent<'a> {
    /// An event without arguments.
    pub fn new(time_ns: i64, pid: i32, tid: i32, marker: Marker) -> Self {
        ParsedEvent { time_ns, pid, tid, marker, file: "", name: "", line: 0, value: None, depth: None }
    }

    /// Whether bpftrace may have truncated the file or the name. It truncates silently, so a string
    /// of exactly the maximum length is suspect.
    pub fn may_be_truncated(&self) -> bool {
        // The default of bpftrace, in effect if the script's first line was not used.
        const DEFAULT_BYTES: usize = 64;
        let is_full = |text: &str| [STRING_BYTES - 1, DEFAULT_BYTES - 1].contains(&text.len());
        is_full(self.file) || is_full(self.name)
    }
}
