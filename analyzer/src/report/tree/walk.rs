//! Rows into what gets a line: a stack per thread, seen through the filter.

use std::io;

use pyrec_schema::{Event, Marker, Names};
use rustc_hash::FxHashMap;

use super::item::{Item, Since, What};
use super::{Options, Style};
use crate::Filter;
use crate::order::Thread;
use crate::tree::{Frame, Lens, Open, Stack, Step, Window};

/// Where a line goes.
type Sink<'s> = &'s mut dyn FnMut(Item) -> io::Result<()>;

/// Rows into what gets a line.
pub struct Walk<'a> {
    eye: Eye<'a>,
    threads: FxHashMap<Thread, Calls>,
}

/// What decides whether something gets a line.
struct Eye<'a> {
    filter: &'a Filter,
    options: &'a Options,
    names: &'a Names,
    lens: Lens<'a>,
    window: Window,
    min_time_ns: i64,
}

/// The open calls of one thread.
#[derive(Default)]
struct Calls {
    stack: Stack<Call>,
    /// The time of the thread's last row.
    last_ns: i64,
    /// How many of them have lasted long enough to be shown: the outermost ones, since a caller is older than what it
    /// calls.
    ripe: usize,
}

/// An open call.
#[derive(Clone, Copy)]
struct Call {
    entry: Event,
    /// How many shown calls it lies in, and what it calls lies in.
    level: usize,
    inner_level: usize,
    /// Whether it is within a call of the function that was asked for.
    inside: bool,
    /// Whether the filter leaves it.
    shown: bool,
}

impl<'a> Walk<'a> {
    /// Looks at rows through a filter.
    pub fn new(filter: &'a Filter, options: &'a Options, names: &'a Names, window: Window) -> Self {
        let min_time_ns = i64::try_from(filter.min_time.as_nanos()).unwrap_or(i64::MAX);
        let lens = Lens::new(filter, names);
        Walk { eye: Eye { filter, options, names, lens, window, min_time_ns }, threads: FxHashMap::default() }
    }

    /// Reads the next row.
    pub fn push(&mut self, event: &Event, sink: Sink) -> io::Result<()> {
        let step = Step::of(event, self.eye.names);
        if step == Step::Ignore || !self.eye.filter.has_thread(event.pid, event.tid) {
            return Ok(());
        }
        let calls = self.threads.entry(Thread { pid: event.pid, tid: event.tid }).or_default();
        calls.last_ns = event.time_ns;
        calls.ripen(event.time_ns, &self.eye, sink)?;
        match step {
            Step::Enter(frame) => calls.enter(frame, event, &mut self.eye, sink),
            Step::Leave(frame) => calls.leave(frame, event, &mut self.eye, sink),
            Step::Lose { .. } => calls.lose(event, &self.eye, sink),
            Step::Clear => calls.clear(event, &self.eye, sink),
            Step::Pass => calls.point(event, &mut self.eye, sink),
            Step::Ignore => Ok(()),
        }
    }

    /// Ends the trace: what is open stays so.
    pub fn finish(&mut self, sink: Sink) -> io::Result<()> {
        let mut threads: Vec<_> = self.threads.drain().collect();
        threads.sort_unstable_by_key(|&(thread, _)| thread);
        threads.into_iter().try_for_each(|(_, mut calls)| calls.end(&self.eye, sink))
    }
}

impl Calls {
    /// Shows the calls that have become old enough.
    fn ripen(&mut self, now_ns: i64, eye: &Eye, sink: Sink) -> io::Result<()> {
        while let Some(Open { frame, data: call, .. }) = self.stack.frames().get(self.ripe) {
            if now_ns.saturating_sub(call.entry.time_ns) < eye.min_time_ns {
                break;
            }
            self.ripe += 1;
            if call.shown && eye.window.contains(call.entry.time_ns) {
                sink(Item { event: call.entry, level: call.level, what: What::Entry(*frame) })?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, frame: Frame, event: &Event, eye: &mut Eye, sink: Sink) -> io::Result<()> {
        let (level, inside) = self.place(eye);
        let verdict = eye.lens.verdict(frame);
        let inside = inside || verdict.root;
        let counts = inside && verdict.shown && eye.options.has(event.marker);
        // DTrace's and SystemTap's scripts count functions only.
        let nests = counts && (eye.options.style == Style::Pyrec || matches!(frame, Frame::Function(_)));
        let shown = counts && eye.is_shallow(level);
        let inner_level = level + usize::from(nests);
        self.stack.push(frame, Call { entry: *event, level, inner_level, inside, shown });
        self.ripen(event.time_ns, eye, sink)
    }

    fn leave(&mut self, frame: Frame, event: &Event, eye: &mut Eye, sink: Sink) -> io::Result<()> {
        let Some(above) = self.stack.above(frame) else { return self.leave_unseen(frame, event, eye, sink) };
        for _ in 0..above {
            self.leave_top(|call| (call.data.at(event.time_ns), What::NeverReturned(call.frame)), eye, sink)?;
        }
        let losses = self.stack.losses();
        let since = |call: &Open<Call>| match call.losses == losses {
            true => Since::Entry(call.data.entry.time_ns),
            false => Since::Unsure,
        };
        self.leave_top(|call| (*event, What::Return(frame, since(call))), eye, sink)
    }

    fn leave_top(
        &mut self,
        what: impl FnOnce(&Open<Call>) -> (Event, What),
        eye: &Eye,
        sink: Sink,
    ) -> io::Result<()> {
        let Some(call) = self.stack.pop() else { return Ok(()) };
        let is_ripe = self.ripe > self.stack.frames().len();
        self.ripe = self.ripe.min(self.stack.frames().len());
        let (event, what) = what(&call);
        if is_ripe && call.data.shown && eye.window.contains(event.time_ns) {
            sink(Item { event, level: call.data.level, what })?;
        }
        Ok(())
    }

    fn leave_unseen(&mut self, frame: Frame, event: &Event, eye: &mut Eye, sink: Sink) -> io::Result<()> {
        let (level, inside) = self.place(eye);
        let is_shown = inside && eye.lens.verdict(frame).shown;
        self.show(
            is_shown,
            Item { event: *event, level, what: What::Return(frame, Since::Unseen) },
            eye,
            sink,
        )
    }

    fn point(&mut self, event: &Event, eye: &mut Eye, sink: Sink) -> io::Result<()> {
        let (level, inside) = self.place(eye);
        let is_shown = inside && (event.marker != Marker::Line || eye.lens.function(event.code).shown);
        self.show(is_shown, Item { event: *event, level, what: What::Point }, eye, sink)
    }

    /// Nobody knows who calls what follows, so it stands at the outermost level until a return shows it.
    fn lose(&mut self, event: &Event, eye: &Eye, sink: Sink) -> io::Result<()> {
        self.show(true, Item { event: *event, level: 0, what: What::Point }, eye, sink)?;
        self.stack.lose();
        let inside = eye.lens.is_open();
        let call = Call { entry: *event, level: 0, inner_level: 0, inside, shown: false };
        self.stack.push(Frame::Lost, call);
        Ok(())
    }

    fn clear(&mut self, event: &Event, eye: &Eye, sink: Sink) -> io::Result<()> {
        self.end(eye, sink)?;
        self.show(eye.lens.is_open(), Item { event: *event, level: 0, what: What::Point }, eye, sink)
    }

    fn end(&mut self, eye: &Eye, sink: Sink) -> io::Result<()> {
        while self.stack.top().is_some() {
            let last_ns = self.last_ns;
            self.leave_top(|call| (call.data.at(last_ns), What::StillOpen(call.frame)), eye, sink)?;
        }
        Ok(())
    }

    /// Shows what is no call, unless it lies in a call that is not shown yet.
    fn show(&self, is_shown: bool, item: Item, eye: &Eye, sink: Sink) -> io::Result<()> {
        let is_ripe = self.ripe == self.stack.frames().len();
        // What lies in a shown call is at most one level deeper.
        let is_shallow = item.level == 0 || eye.is_shallow(item.level - 1);
        let is_wanted = eye.options.has(item.event.marker) && eye.window.contains(item.event.time_ns);
        if is_shown && is_ripe && is_shallow && is_wanted { sink(item) } else { Ok(()) }
    }

    /// At which level the next thing happens, and whether within what was asked for.
    fn place(&self, eye: &Eye) -> (usize, bool) {
        self.stack.top().map_or((0, eye.lens.is_open()), |top| (top.data.inner_level, top.data.inside))
    }
}

impl Call {
    /// What is said about the call at a later time.
    fn at(&self, time_ns: i64) -> Event {
        Event { time_ns, ..self.entry }
    }
}

impl Eye<'_> {
    fn is_shallow(&self, level: usize) -> bool {
        self.options.depth.is_none_or(|depth| level < depth)
    }
}
