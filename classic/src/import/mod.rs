//! What a tool printed into a trace.
//!
//! ```text
//! text ──▶ Line ──▶ row, or what is wrong with it ──▶ in order ──▶ trace
//! ```
//!
//! A line that is no event is never guessed at: it is counted, and stands in the trace as a `lost` row, of its thread
//! where it says which, else of every thread that was seen.

mod depth;
mod foreign;
mod line;
mod rows;
mod text;
mod window;

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use pyrec_schema::{Clock, Ended, Group, Manifest, Names, Python, TraceWriter, WriterOptions};

use line::{Head, Line};
use rows::Rows;
use text::Text;

/// Why nothing could be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text cannot be read.
    #[error("cannot read the capture: {0}")]
    Read(#[source] io::Error),
    /// There is no event in it.
    #[error(
        "no line of the capture is an event; `pyrec script` writes scripts whose output can be imported, and the \
         layouts of call_stack.d and thread_indent can be"
    )]
    NoEvents,
    /// The trace cannot be written.
    #[error(transparent)]
    Trace(#[from] pyrec_schema::Error),
}

/// What was imported, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Lines that are no events, though they should be.
    pub malformed: u64,
    /// The first of them: its number from 1, and what stands there.
    pub first_malformed: Option<(u64, String)>,
    /// Events that the tool itself says it lost.
    pub lost: u64,
    /// Events that must be missing, at least, since the calls around them do not fit together.
    pub missing: u64,
    /// Events with a name that bpftrace may have cut.
    pub cut: u64,
    /// Whether a capture by one of our scripts ends where the script did; none for other captures.
    pub is_whole: Option<bool>,
    /// Whether times are those of each thread alone, which cannot be compared.
    pub has_own_times: bool,
}

/// Imports a text into a trace, which must not exist yet. Leaves no file behind if it fails.
pub fn import(text: impl BufRead, path: &Path, writer: &str) -> Result<Tally, Error> {
    let names = Arc::new(Names::new());
    let manifest = Manifest { provider: "import".into(), ..Manifest::unknown(writer) };
    let trace = TraceWriter::create(path, names.clone(), manifest, WriterOptions::default())?;
    let imported = read(text, Rows::new(trace, names));
    if imported.is_err() {
        // What is there has no event, or lacks those that there was no room for.
        let _ = std::fs::remove_file(path);
    }
    imported
}

fn read(text: impl BufRead, mut rows: Rows) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut head: Option<Head> = None;
    let mut text = Text::new(text);
    while let Some((number, line)) = text.next_line().map_err(Error::Read)? {
        match line.map_or(Line::Malformed(None), Line::parse) {
            Line::Event(said) => {
                let is_bpftrace = head.as_ref().is_some_and(|head| head.tool == "bpftrace");
                tally.cut += u64::from(is_bpftrace && said.may_be_cut());
                tally.has_own_times |= said.level.is_some() && said.pid != 0;
                tally.missing = tally.missing.saturating_add(rows.event(&said)?);
            }
            Line::Head(new) => {
                tally.is_whole = Some(false);
                head = Some(new);
            }
            Line::End => tally.is_whole = Some(true),
            Line::Lost(count) => {
                tally.lost = tally.lost.saturating_add(count);
                rows.lost(None, count);
            }
            Line::Remark => {}
            Line::Malformed(thread) => {
                tally.malformed += 1;
                tally.first_malformed.get_or_insert_with(|| (number, line.unwrap_or_default().to_owned()));
                rows.lost(thread, 1);
            }
        }
    }
    tally.events = rows.events();
    if tally.events == 0 {
        return Err(Error::NoEvents);
    }
    rows.finish(|manifest| complete(manifest, head, &tally))?;
    Ok(tally)
}

/// Adds to the manifest what the capture says of itself.
fn complete(manifest: &mut Manifest, head: Option<Head>, tally: &Tally) {
    manifest.ended = match tally.is_whole {
        Some(true) => Ended::Stopped,
        Some(false) => Ended::Recording,
        None => Ended::Unknown,
    };
    let Some(head) = head else { return };
    manifest.clock = Clock {
        source: head.tool,
        anchor_monotonic_ns: head.monotonic_ns,
        anchor_unix_ns: Some(head.unix_ns),
    };
    let python = |version| Python { version, build: None, executable: None, path: vec![] };
    manifest.python = head.version.map(python).into_iter().collect();
    manifest.markers = names_of(&head.groups);
}

fn names_of(groups: &[Group]) -> Vec<String> {
    groups.iter().map(|group| group.name().to_owned()).collect()
}

#[cfg(test)]
mod tests;
