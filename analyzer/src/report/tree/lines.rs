//! The lines of the hierarchy: which calls and events get one, and at which level.

use std::io;

use pyrec_schema::{Event, Marker, MarkerGroup};
use rustc_hash::FxHashMap;

use crate::Result;
use crate::calls::{Call, CallEnd, CallEvent, Ending};
use crate::filter::TimeWindow;
use crate::order::ThreadId;
use crate::tree::Frame;

/// Options of the hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeOptions {
    /// The layout of a line.
    pub format: TreeFormat,
    /// The number of levels that are shown; `None` shows all.
    pub depth: Option<usize>,
    /// The marker groups that get lines. If empty: functions in the classic formats; functions,
    /// collections and imports in pyrec's.
    pub markers: Vec<MarkerGroup>,
    /// Whether consecutive equal calls are written once with a count. Only pyrec's own format
    /// supports it.
    pub fold_repeats: bool,
}

/// The layout of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TreeFormat {
    /// Pyrec's own: time, thread, duration, call.
    #[default]
    Pyrec,
    /// The output of CPython's `call_stack.d`, `gc.d` and `line.d`.
    Dtrace,
    /// The output of SystemTap's `thread_indent`.
    Stap,
}

impl TreeOptions {
    /// Whether a marker gets a line. Rows that the recorder adds itself get one in pyrec's format
    /// only.
    fn has(&self, marker: Marker) -> bool {
        let groups: &[MarkerGroup] = match (self.markers.as_slice(), self.format) {
            ([], TreeFormat::Pyrec) => &MarkerGroup::DEFAULT,
            ([], _) => &[MarkerGroup::Function],
            (groups, _) => groups,
        };
        match marker.is_event() {
            true => groups.iter().any(|group| group.markers().contains(&marker)),
            false => self.format == TreeFormat::Pyrec,
        }
    }
}

/// A line of the hierarchy before it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLine {
    /// The row that the line shows. Where no row exists, as for a missing return: the row of the
    /// entry, with the time at which the end became known.
    pub event: Event,
    /// The number of shown calls around it.
    pub level: usize,
    /// What the line shows.
    pub kind: LineKind,
}

/// What a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// The entry of a call.
    Entry(Frame),
    /// The return of a call.
    Return(Frame, EntryTime),
    /// The end of a call without a return, which a return of one of its callers implies.
    NeverReturned(Frame),
    /// A call that was open when its thread or the recording ended.
    StillOpen(Frame),
    /// Repeats of the call before, each with equal lines.
    Repeats {
        /// The function that was called.
        frame: Frame,
        /// The number of repeats.
        count: u64,
        /// The sum of their durations.
        total_ns: u64,
    },
    /// An event without a duration.
    Instant,
}

/// When a call that returned was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryTime {
    /// At this time, in nanoseconds of `CLOCK_MONOTONIC`.
    Known(i64),
    /// Events were lost since the entry, so the return may be that of another call.
    Uncertain,
    /// Before the recording, or in a gap where events were lost.
    Unseen,
}

/// The consumer of lines.
type Sink<'s> = &'s mut dyn FnMut(TreeLine) -> io::Result<()>;

/// Turns entries, returns and other events into lines with levels.
pub struct LineBuilder<'a> {
    options: &'a TreeOptions,
    window: TimeWindow,
    threads: FxHashMap<ThreadId, Vec<OpenCall>>,
}

/// An open call of a thread.
#[derive(Clone, Copy, Default)]
struct OpenCall {
    /// The level of its own lines.
    level: usize,
    /// The level of the calls and events in it.
    inner_level: usize,
    /// Whether it gets lines.
    shown: bool,
}

impl<'a> LineBuilder<'a> {
    /// A builder for the lines that the options select within the window.
    pub fn new(options: &'a TreeOptions, window: TimeWindow) -> Self {
        LineBuilder { options, window, threads: FxHashMap::default() }
    }

    /// Passes the line of an event to the sink if it gets one.
    pub fn push(&mut self, call_event: CallEvent, sink: Sink) -> Result<()> {
        match call_event {
            CallEvent::Enter(call) => self.enter(call, sink),
            CallEvent::Leave(call, end) => self.leave(call, end, sink),
            CallEvent::UnmatchedReturn(frame, event) => {
                self.instant(event, LineKind::Return(frame, EntryTime::Unseen), sink)
            }
            CallEvent::Instant(event) => self.instant(event, LineKind::Instant, sink),
        }
    }

    fn enter(&mut self, call: &Call, sink: Sink) -> Result<()> {
        let options = self.options;
        let open = self.open(&call.entry);
        let level = open.last().map_or(0, |caller| caller.inner_level);
        if call.frame == Frame::Lost {
            // The caller of what follows a loss is unknown, so it starts at level 0 until a return
            // shows its caller.
            open.push(OpenCall::default());
            return Ok(());
        }
        let has_marker = options.has(call.entry.marker);
        // DTrace's and SystemTap's scripts indent by functions only.
        let nests =
            has_marker && (options.format == TreeFormat::Pyrec || matches!(call.frame, Frame::Function(_)));
        let shown = has_marker && options.depth.is_none_or(|depth| level < depth);
        open.push(OpenCall { level, inner_level: level + usize::from(nests), shown });
        let line = TreeLine { event: call.entry, level, kind: LineKind::Entry(call.frame) };
        self.emit(shown, line, sink)
    }

    fn leave(&mut self, call: &Call, end: CallEnd, sink: Sink) -> Result<()> {
        let Some(OpenCall { level, shown, .. }) = self.open(&call.entry).pop() else { return Ok(()) };
        let kind = match end.ending {
            Ending::Returned => LineKind::Return(call.frame, EntryTime::Known(call.entry.time_ns)),
            Ending::AcrossLoss => LineKind::Return(call.frame, EntryTime::Uncertain),
            Ending::NeverReturned | Ending::InLoss => LineKind::NeverReturned(call.frame),
            Ending::StillOpen => LineKind::StillOpen(call.frame),
        };
        let event = end.event.copied().unwrap_or(Event { time_ns: end.known_ns, ..call.entry });
        self.emit(shown, TreeLine { event, level, kind }, sink)
    }

    fn instant(&mut self, event: &Event, kind: LineKind, sink: Sink) -> Result<()> {
        let level = match event.marker {
            Marker::Lost => 0,
            _ => self.open(event).last().map_or(0, |caller| caller.inner_level),
        };
        // An event in the deepest shown call is one level deeper than that call.
        let is_shallow = level == 0 || self.options.depth.is_none_or(|depth| level <= depth);
        let shown = is_shallow && self.options.has(event.marker);
        self.emit(shown, TreeLine { event: *event, level, kind }, sink)
    }

    fn emit(&self, shown: bool, line: TreeLine, sink: Sink) -> Result<()> {
        if shown && self.window.contains(line.event.time_ns) {
            sink(line)?;
        }
        Ok(())
    }

    /// The open calls of the event's thread, outermost first.
    fn open(&mut self, event: &Event) -> &mut Vec<OpenCall> {
        self.threads.entry(ThreadId::of(event)).or_default()
    }
}
