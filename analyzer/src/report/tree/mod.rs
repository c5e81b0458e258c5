//! The hierarchy of calls and returns, in the order in which they happened.
//!
//! ```text
//! rows ──in time──▶ Walk: a stack per thread ──Item──▶ Layout: ours, DTrace's, SystemTap's ──▶ lines
//! ```

mod classic;
mod item;
mod own;
mod walk;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use pyrec_schema::{Columns, Event, Group, Marker, Trace};

use self::classic::{Dtrace, Stap};
use self::item::Item;
use self::own::Own;
use self::walk::Walk;
use super::trust_line;
use crate::measure::Trust;
use crate::order::{self, InTime};
use crate::tree::{self, Streams, Window};
use crate::{Filter, Result};

/// How the hierarchy is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The layout of a line.
    pub style: Style,
    /// No calls deeper than this many levels.
    pub depth: Option<usize>,
    /// Which markers get lines: if none are named, functions in the classic layouts, and functions, collections and
    /// imports in ours.
    pub markers: Vec<Group>,
}

/// The layout of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Ours: time, thread, duration, call.
    #[default]
    Pyrec,
    /// That of CPython's `call_stack.d`, `gc.d` and `line.d`.
    Dtrace,
    /// That of SystemTap's `thread_indent`.
    Stap,
}

impl Options {
    /// Whether a marker gets a line. The recorder's own facts do in our layout.
    fn has(&self, marker: Marker) -> bool {
        let groups: &[Group] = match (self.markers.as_slice(), self.style) {
            ([], Style::Pyrec) => &Group::DEFAULT,
            ([], _) => &[Group::Function],
            (groups, _) => groups,
        };
        match marker.is_event() {
            true => groups.iter().any(|group| group.markers().contains(&marker)),
            false => self.style == Style::Pyrec,
        }
    }
}

/// Writes every call and return that the filter leaves, and the trust line.
pub fn write(trace: &Trace, filter: &Filter, options: &Options, out: &mut impl Write) -> Result<()> {
    let origin_ns = order::origin_ns(trace)?.unwrap_or(0);
    let mut page = Page::new(trace, filter, options, origin_ns);
    let mut in_time = InTime::default();
    // The calls are rebuilt as for every other report, for the trust line to say the same.
    let mut streams = Streams::first(Window::ALL);
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, Columns::ALL)? {
                let batch = batch?;
                streams.push(&batch, trace.names());
                in_time.push(&batch);
            }
            page.write(in_time.end_row_group(), out)?;
        }
    }
    page.write(in_time.finish(), out)?;
    page.finish(out)?;
    let counts = streams.counts.clone();
    let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
    let trust = Trust::new(trace.manifest(), &counts, streams.repairs(), torn_bytes);
    write_trust(options.style, &trust, out)?;
    Ok(())
}

/// In the classic layouts the trust line is a comment, so that what reads them goes on to.
fn write_trust(style: Style, trust: &Trust, out: &mut impl Write) -> io::Result<()> {
    match style {
        Style::Pyrec => writeln!(out, "{}", trust_line(trust)),
        Style::Dtrace | Style::Stap => writeln!(out, "# {}", trust_line(trust)),
    }
}

/// Rows on their way to lines.
struct Page<'a> {
    walk: Walk<'a>,
    layout: Layout<'a>,
}

impl<'a> Page<'a> {
    fn new(trace: &'a Trace, filter: &'a Filter, options: &'a Options, origin_ns: i64) -> Self {
        let (names, window) = (trace.names(), tree::window(filter, origin_ns));
        let layout = match options.style {
            Style::Pyrec => Layout::Own(Own::new(names, origin_ns)),
            Style::Dtrace => Layout::Dtrace(Dtrace::new(names)),
            Style::Stap => Layout::Stap(Stap::new(names, trace.manifest())),
        };
        Page { walk: Walk::new(filter, options, names, window), layout }
    }

    fn write(&mut self, events: impl Iterator<Item = Event>, out: &mut impl Write) -> io::Result<()> {
        for event in events {
            self.layout.notice(&event);
            self.walk.push(&event, &mut |item| self.layout.item(&item, out))?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.walk.finish(&mut |item| self.layout.item(&item, out))?;
        match &mut self.layout {
            Layout::Own(own) => own.flush(out),
            Layout::Dtrace(_) | Layout::Stap(_) => Ok(()),
        }
    }
}

enum Layout<'a> {
    Own(Own<'a>),
    Dtrace(Dtrace<'a>),
    Stap(Stap<'a>),
}

impl Layout<'_> {
    /// Takes note of a row that may get no line.
    fn notice(&mut self, event: &Event) {
        if let Layout::Stap(stap) = self {
            stap.notice(event);
        }
    }

    fn item(&mut self, item: &Item, out: &mut impl Write) -> io::Result<()> {
        match self {
            Layout::Own(own) => own.item(item, out),
            Layout::Dtrace(dtrace) => dtrace.item(item, out),
            Layout::Stap(stap) => stap.item(item, out),
        }
    }
}
