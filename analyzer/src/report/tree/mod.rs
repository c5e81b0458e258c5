//! The hierarchy of calls and returns, in the order in which they happened.
//!
//! ```text
//! rows ──in time──▶ Calls ──Moment──▶ Walk: levels ──Item──▶ Fold ──Item──▶ Layout: ours, DTrace's, SystemTap's ──▶ lines
//! ```

mod classic;
mod fold;
mod item;
mod own;
mod walk;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use pyrec_schema::{Columns, Event, Group, Marker, Trace};

use self::classic::{Dtrace, Stap};
use self::fold::Fold;
use self::item::Item;
use self::own::Own;
use self::walk::Walk;
use super::trust_line;
use crate::calls::{Calls, Seen};
use crate::measure::Trust;
use crate::order::{self, InTime};
use crate::tree::{self, Counts, Repairs};
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
    /// Whether calls that repeat are told once, in our layout.
    pub fold: bool,
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
    let mut page = Page::new(trace, filter, options)?;
    let mut in_time = InTime::default();
    let mut counts = Counts::default();
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, Columns::ALL)? {
                let batch = batch?;
                counts.add(&batch);
                in_time.push(&batch);
            }
            page.write(in_time.end_row_group(), out)?;
        }
    }
    page.write(in_time.finish(), out)?;
    let repairs = page.finish(out)?;
    let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
    let trust = Trust::of_seen(trace.manifest(), &Seen { counts, repairs, torn_bytes });
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
    calls: Calls<'a>,
    walk: Walk<'a>,
    fold: Option<Fold>,
    layout: Layout<'a>,
}

impl<'a> Page<'a> {
    fn new(trace: &'a Trace, filter: &'a Filter, options: &'a Options) -> Result<Self> {
        let names = trace.names();
        let origin_ns = order::origin_ns(trace)?.unwrap_or(0);
        let window = tree::window(filter, origin_ns);
        let layout = match options.style {
            Style::Pyrec => Layout::Own(Own::new(names, origin_ns)),
            Style::Dtrace => Layout::Dtrace(Dtrace::new(names)),
            Style::Stap => Layout::Stap(Stap::new(names, trace.manifest())),
        };
        let (calls, walk) = (Calls::new(filter, names, window), Walk::new(options, window));
        let fold = (options.fold && options.style == Style::Pyrec).then(Fold::default);
        Ok(Page { calls, walk, fold, layout })
    }

    fn write(&mut self, events: impl Iterator<Item = Event>, out: &mut impl Write) -> Result<()> {
        let Page { calls, walk, fold, layout } = self;
        for event in events {
            layout.notice(&event);
            calls.push(&event, &mut |moment, _| {
                walk.show(moment, &mut |item| match fold {
                    Some(fold) => fold.item(item, &mut |item| layout.item(&item, out)),
                    None => layout.item(&item, out),
                })
            })?;
        }
        Ok(())
    }

    fn finish(self, out: &mut impl Write) -> Result<Repairs> {
        let Page { calls, mut walk, mut fold, mut layout } = self;
        let repairs = calls.finish(&mut |moment, _| {
            walk.show(moment, &mut |item| match &mut fold {
                Some(fold) => fold.item(item, &mut |item| layout.item(&item, out)),
                None => layout.item(&item, out),
            })
        })?;
        if let Some(fold) = fold {
            fold.finish(&mut |item| layout.item(&item, out))?;
        }
        if let Layout::Own(own) = &mut layout {
            own.flush(out)?;
        }
        Ok(repairs)
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
