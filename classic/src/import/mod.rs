//! Imports a capture, the text that a tracing tool printed, as a trace.
//!
//! ```text
//! text ──▶ Line ──▶ ParsedEvent, or a loss ──▶ row ──▶ in order of time ──▶ trace
//! ```
//!
//! A malformed line is counted and becomes a `lost` row: of its own thread if the line has one,
//! else of every thread seen so far. Its contents are never guessed.

mod event;
mod example_formats;
mod line;
mod reorder_buffer;
mod row_writer;

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use pyrec_schema::{Clock, Manifest, Names, Python, RecordingEnd, TraceWriter, WriterOptions};

use self::line::{Header, Line, LineReader};
use self::row_writer::{RowWriter, group_names};

/// Why a capture could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text cannot be read.
    #[error("cannot read the capture: {0}")]
    Read(#[source] io::Error),
    /// The text contains no event.
    #[error(
        "no line of the capture is an event: import the output of a script by `pyrec script`, of \
         CPython's call_stack.d, or of a SystemTap script with thread_indent"
    )]
    NoEvents,
    /// The trace cannot be written.
    #[error(transparent)]
    Trace(#[from] pyrec_schema::Error),
}

/// What an import read, and what it found missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// The number of imported events.
    pub events: u64,
    /// The number of malformed lines.
    pub malformed: u64,
    /// The first malformed line: its number, counted from 1, and its text.
    pub first_malformed: Option<(u64, String)>,
    /// Events that the tool reported as lost.
    pub lost: u64,
    /// Events that must be missing, at least, since the depths of neighbouring lines do not match.
    pub missing: u64,
    /// Events with a name that bpftrace may have truncated.
    pub maybe_truncated: u64,
    /// Whether a capture by a generated script has its end line. `None` for other formats.
    pub is_complete: Option<bool>,
    /// Whether each thread has its own time origin, so that times of different threads cannot be
    /// compared.
    pub has_per_thread_times: bool,
}

/// Imports a capture into a new trace at `path`. The manifest names `writer` as the program that
/// wrote it. Leaves no file behind on failure.
///
/// # Errors
///
/// Fails if the capture cannot be read or contains no event, or if `path` exists or cannot be
/// written.
pub fn import(capture: impl BufRead, path: &Path, writer: &str) -> Result<ImportSummary, Error> {
    let names = Arc::new(Names::new());
    let manifest = Manifest { provider: "import".into(), ..Manifest::unknown(writer) };
    let trace = TraceWriter::create(path, names.clone(), manifest, WriterOptions::default())?;
    let imported = read(capture, RowWriter::new(trace, names));
    if imported.is_err() {
        let _ = std::fs::remove_file(path);
    }
    imported
}

fn read(capture: impl BufRead, mut rows: RowWriter) -> Result<ImportSummary, Error> {
    let mut summary = ImportSummary::default();
    let mut header: Option<Header> = None;
    let mut lines = LineReader::new(capture);
    while let Some((number, line)) = lines.next_line().map_err(Error::Read)? {
        match line.map_or(Line::Malformed(None), Line::parse) {
            Line::Event(event) => {
                let is_bpftrace = header.as_ref().is_some_and(|header| header.tool == "bpftrace");
                summary.maybe_truncated += u64::from(is_bpftrace && event.may_be_truncated());
                summary.has_per_thread_times |= event.depth.is_some() && event.pid != 0;
                summary.missing = summary.missing.saturating_add(rows.add_event(&event)?);
            }
            Line::Header(new) => {
                summary.is_complete = Some(false);
                header = Some(new);
            }
            Line::End => summary.is_complete = Some(true),
            Line::Lost(count) => {
                summary.lost = summary.lost.saturating_add(count);
                rows.add_lost(None, count);
            }
            Line::ToolMessage => {}
            Line::Malformed(thread) => {
                summary.malformed += 1;
                summary.first_malformed.get_or_insert_with(|| (number, line.unwrap_or_default().to_owned()));
                rows.add_lost(thread, 1);
            }
        }
    }
    summary.events = rows.events();
    if summary.events == 0 {
        return Err(Error::NoEvents);
    }
    rows.finish(|manifest| complete(manifest, header, &summary))?;
    Ok(summary)
}

/// Adds the facts of the capture's header to the manifest.
fn complete(manifest: &mut Manifest, header: Option<Header>, summary: &ImportSummary) {
    manifest.ended = match summary.is_complete {
        Some(true) => RecordingEnd::Stopped,
        Some(false) => RecordingEnd::Recording,
        None => RecordingEnd::Unknown,
    };
    let Some(header) = header else { return };
    manifest.clock = Clock {
        source: header.tool,
        anchor_monotonic_ns: header.monotonic_ns,
        anchor_unix_ns: Some(header.unix_ns),
    };
    let python = |version| Python { version, build: None, executable: None, path: vec![] };
    manifest.python = header.version.map(python).into_iter().collect();
    manifest.markers = group_names(&header.groups);
}

#[cfg(test)]
mod tests;
