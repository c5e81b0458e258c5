//! The hits and times of source lines as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::measure::{Callee, FileLines, LineTotals, Lines, Trust};
use crate::report::json;

/// Writes
/// `{"files": [{"file", …, "lines": [{"line", "hits", "self_ns", "total_ns", …}]}], "trust": {…}}`.
pub fn write_json(lines: &Lines, out: &mut impl Write) -> io::Result<()> {
    let files = lines.files.iter().map(|file| File::of(file, &lines.callees)).collect();
    json::write(&Heat { files, trust: &lines.trust }, out)
}

#[derive(Serialize)]
struct Heat<'a> {
    files: Vec<File<'a>>,
    trust: &'a Trust,
}

#[derive(Serialize)]
struct File<'a> {
    file: &'a str,
    module: Option<&'a str>,
    self_ns: u64,
    total_ns: u64,
    lines: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    line: u32,
    hits: Option<u64>,
    entries: u64,
    returns: u64,
    self_ns: u64,
    total_ns: u64,
    calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(flatten)]
    callee: &'a Callee,
    calls: u64,
    total_ns: u64,
}

impl<'a> File<'a> {
    fn of(file: &'a FileLines, callees: &'a [Callee]) -> Self {
        File {
            file: &file.file,
            module: file.module.as_deref(),
            self_ns: file.self_ns,
            total_ns: file.total_ns,
            lines: file.lines.iter().map(|line| Line::of(line, callees)).collect(),
        }
    }
}

impl<'a> Line<'a> {
    fn of(totals: &LineTotals, callees: &'a [Callee]) -> Self {
        let LineTotals { line, hits, entries, returns, self_ns, total_ns, ref calls } = *totals;
        let calls = calls.iter().map(|call| Call {
            callee: &callees[call.callee],
            calls: call.calls,
            total_ns: call.total_ns,
        });
        Line { line, hits, entries, returns, self_ns, total_ns, calls: calls.collect() }
    }
}
