//! The call hierarchy: every call and return in the order of time, indented by depth.
//!
//! ```text
//! rows ──▶ TimeMerger        sorts rows by time
//!          CallStream        rebuilds calls                       CallEvent
//!          LineBuilder       selects what gets a line, and where  TreeLine
//!          RepeatFolder      folds repeats, with --fold           TreeLine
//!          Layout            writes text
//! ```

mod classic_layouts;
mod lines;
mod pyrec_layout;
mod repeats;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use pyrec_schema::{Columns, Event, Trace};

use self::classic_layouts::{DtraceLayout, StapLayout};
use self::lines::{LineBuilder, TreeLine};
use self::pyrec_layout::PyrecLayout;
use self::repeats::RepeatFolder;
use super::trust_line;
use crate::calls::{CallStream, TraceSummary};
use crate::measure::Trust;
use crate::order::{self, TimeMerger};
use crate::tree::{Repairs, TraceCounts};
use crate::{Filter, Result};

pub use self::lines::{TreeFormat, TreeOptions};

/// Writes a line for every call and return that the filter selects, and the trust line.
pub fn write(trace: &Trace, filter: &Filter, options: &TreeOptions, out: &mut impl Write) -> Result<()> {
    let mut pipeline = Pipeline::new(trace, filter, options)?;
    let mut merger = TimeMerger::default();
    let mut counts = TraceCounts::default();
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, Columns::ALL)? {
                let batch = batch?;
                counts.add(&batch);
                merger.push(&batch);
            }
            pipeline.write(merger.end_row_group(), out)?;
        }
    }
    pipeline.write(merger.finish(), out)?;
    let repairs = pipeline.finish(out)?;
    let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
    let trust = Trust::of_summary(trace.manifest(), &TraceSummary { counts, repairs, torn_bytes });
    write_trust(options.format, &trust, out)?;
    Ok(())
}

/// In the classic formats the trust line is a comment, so that their parsers skip it.
fn write_trust(format: TreeFormat, trust: &Trust, out: &mut impl Write) -> io::Result<()> {
    match format {
        TreeFormat::Pyrec => writeln!(out, "{}", trust_line(trust)),
        TreeFormat::Dtrace | TreeFormat::Stap => writeln!(out, "# {}", trust_line(trust)),
    }
}

/// The stages between a sorted row and a written line.
struct Pipeline<'a> {
    calls: CallStream<'a>,
    builder: LineBuilder<'a>,
    folder: Option<RepeatFolder>,
    layout: Layout<'a>,
}

impl<'a> Pipeline<'a> {
    fn new(trace: &'a Trace, filter: &'a Filter, options: &'a TreeOptions) -> Result<Self> {
        let names = trace.names();
        let origin_ns = order::origin_ns(trace)?.unwrap_or(0);
        let window = filter.window(origin_ns);
        let layout = match options.format {
            TreeFormat::Pyrec => Layout::Pyrec(PyrecLayout::new(names, origin_ns)),
            TreeFormat::Dtrace => Layout::Dtrace(DtraceLayout::new(names)),
            TreeFormat::Stap => Layout::Stap(StapLayout::new(names, trace.manifest())),
        };
        let (calls, builder) = (CallStream::new(filter, names, window), LineBuilder::new(options, window));
        let folder =
            (options.fold_repeats && options.format == TreeFormat::Pyrec).then(RepeatFolder::default);
        Ok(Pipeline { calls, builder, folder, layout })
    }

    fn write(&mut self, events: impl Iterator<Item = Event>, out: &mut impl Write) -> Result<()> {
        let Pipeline { calls, builder, folder, layout } = self;
        for event in events {
            layout.observe(&event);
            calls.push(&event, &mut |call_event, _| {
                builder.push(call_event, &mut |line| match folder {
                    Some(folder) => folder.push(line, &mut |line| layout.write(&line, out)),
                    None => layout.write(&line, out),
                })
            })?;
        }
        Ok(())
    }

    /// Writes the lines that are still held back, and returns the repairs of all calls.
    fn finish(self, out: &mut impl Write) -> Result<Repairs> {
        let Pipeline { calls, mut builder, mut folder, mut layout } = self;
        let repairs = calls.finish(&mut |call_event, _| {
            builder.push(call_event, &mut |line| match &mut folder {
                Some(folder) => folder.push(line, &mut |line| layout.write(&line, out)),
                None => layout.write(&line, out),
            })
        })?;
        if let Some(folder) = folder {
            folder.finish(&mut |line| layout.write(&line, out))?;
        }
        if let Layout::Pyrec(layout) = &mut layout {
            layout.flush(out)?;
        }
        Ok(repairs)
    }
}

/// The layout that turns a [`TreeLine`] into text.
enum Layout<'a> {
    Pyrec(PyrecLayout<'a>),
    Dtrace(DtraceLayout<'a>),
    Stap(StapLayout<'a>),
}

impl Layout<'_> {
    /// Passes on a row that may get no line: the SystemTap layout takes process names from such
    /// rows.
    fn observe(&mut self, event: &Event) {
        if let Layout::Stap(layout) = self {
            layout.observe(event);
        }
    }

    fn write(&mut self, line: &TreeLine, out: &mut impl Write) -> io::Result<()> {
        match self {
            Layout::Pyrec(layout) => layout.write(line, out),
            Layout::Dtrace(layout) => layout.write(line, out),
            Layout::Stap(layout) => layout.write(line, out),
        }
    }
}
