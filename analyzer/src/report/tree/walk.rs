//! Moments into what gets a line, each at its level.

use std::io;

use pyrec_schema::{Event, Marker};
use rustc_hash::FxHashMap;

use super::item::{Item, Since, What};
use super::{Options, Style};
use crate::Result;
use crate::calls::{Call, End, Ending, Moment};
use crate::order::Thread;
use crate::tree::{Frame, Window};

/// Where a line goes.
type Sink<'s> = &'s mut dyn FnMut(Item) -> io::Result<()>;

/// Moments into what gets a line.
pub struct Walk<'a> {
    options: &'a Options,
    window: Window,
    threads: FxHashMap<Thread, Vec<Place>>,
}

/// An open call.
#[derive(Clone, Copy, Default)]
struct Place {
    /// How many shown calls it lies in, and what it calls lies in.
    level: usize,
    inner_level: usize,
    /// Whether it gets a line.
    shown: bool,
}

impl<'a> Walk<'a> {
    /// Shows what these options leave of that stretch of time.
    pub fn new(options: &'a Options, window: Window) -> Self {
        Walk { options, window, threads: FxHashMap::default() }
    }

    /// Shows what happens next.
    pub fn show(&mut self, moment: Moment, sink: Sink) -> Result<()> {
        match moment {
            Moment::Enter(call) => self.enter(call, sink),
            Moment::Leave(call, end) => self.leave(call, end, sink),
            Moment::Unseen(frame, event) => self.point(event, What::Return(frame, Since::Unseen), sink),
            Moment::Point(event) => self.point(event, What::Point, sink),
        }
    }

    fn enter(&mut self, call: &Call, sink: Sink) -> Result<()> {
        let options = self.options;
        let open = self.open(&call.entry);
        let level = open.last().map_or(0, |caller| caller.inner_level);
        if call.frame == Frame::Lost {
            // Nobody knows who calls what follows, so it stands at the outermost level until a return shows it.
            open.push(Place::default());
            return Ok(());
        }
        let counts = options.has(call.entry.marker);
        // DTrace's and SystemTap's scripts count functions only.
        let nests = counts && (options.style == Style::Pyrec || matches!(call.frame, Frame::Function(_)));
        let shown = counts && options.depth.is_none_or(|depth| level < depth);
        open.push(Place { level, inner_level: level + usize::from(nests), shown });
        let item = Item { event: call.entry, level, what: What::Entry(call.frame) };
        self.write(shown, item, sink)
    }

    fn leave(&mut self, call: &Call, end: End, sink: Sink) -> Result<()> {
        let Some(Place { level, shown, .. }) = self.open(&call.entry).pop() else { return Ok(()) };
        let what = match end.ending {
            Ending::Returned => What::Return(call.frame, Since::Entry(call.entry.time_ns)),
            Ending::AcrossLoss => What::Return(call.frame, Since::Unsure),
            Ending::NeverReturned | Ending::InLoss => What::NeverReturned(call.frame),
            Ending::StillOpen => What::StillOpen(call.frame),
        };
        let event = end.event.copied().unwrap_or(Event { time_ns: end.known_ns, ..call.entry });
        self.write(shown, Item { event, level, what }, sink)
    }

    fn point(&mut self, event: &Event, what: What, sink: Sink) -> Result<()> {
        let level = match event.marker {
            Marker::Lost => 0,
            _ => self.open(event).last().map_or(0, |caller| caller.inner_level),
        };
        // What lies in a shown call is at most one level deeper.
        let is_shallow = level == 0 || self.options.depth.is_none_or(|depth| level <= depth);
        let shown = is_shallow && self.options.has(event.marker);
        self.write(shown, Item { event: *event, level, what }, sink)
    }

    fn write(&self, shown: bool, item: Item, sink: Sink) -> Result<()> {
        if shown && self.window.contains(item.event.time_ns) {
            sink(item)?;
        }
        Ok(())
    }

    fn open(&mut self, event: &Event) -> &mut Vec<Place> {
        self.threads.entry(Thread::of(event)).or_default()
    }
}
