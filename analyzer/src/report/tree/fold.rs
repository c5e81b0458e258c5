//! Calls that repeat, told once.
//!
//! ```text
//! → f                       → f
//!   g                         g
//! ← f                       ← f
//! → f           ▶           … 2 × f
//!   g
//! ← f
//! → f
//!   g
//! ← f
//! ```
//!
//! A call is held back until it ends, or until it is too long for that. If the same calls happened in it as in the call
//! before it, it is only counted. How often something repeats in it does not matter.

use std::io;

use pyrec_schema::{CodeId, Marker, TextId};
use rustc_hash::FxHashMap;

use super::item::{Item, Since, What};
use crate::order::Thread;
use crate::tree::Frame;

/// Lines in a call that is held back. In a longer one nobody would see that it repeats.
const LONGEST: usize = 256;

/// Where a line goes.
type Sink<'s> = &'s mut dyn FnMut(Item) -> io::Result<()>;

/// Calls that repeat, told once.
#[derive(Default)]
pub struct Fold(FxHashMap<Thread, Open>);

/// The open calls of a thread, the outermost first; below them the thread itself.
struct Open(Vec<Group>);

/// An open call.
#[derive(Default)]
struct Group {
    level: usize,
    /// What is held back.
    lines: Vec<Item>,
    /// Whether nothing is held back any more.
    is_told: bool,
    /// The last call in it, if nothing happened since.
    last: Option<Last>,
}

/// A call that may repeat.
struct Last {
    shape: Vec<Key>,
    repeats: u64,
    total_ns: u64,
    /// The entry of the first repeat.
    first: Item,
}

/// What makes two lines equal: nothing of their times, and not where a function returns.
#[derive(PartialEq, Eq)]
enum Key {
    Entry(usize, Frame, TextId),
    Return(usize, Frame, TextId),
    Repeats(usize, Frame),
    Point(usize, Marker, CodeId, i32, TextId),
}

impl Fold {
    /// Takes a line, and gives those of which it is known that they are to be told.
    pub fn item(&mut self, item: Item, sink: Sink) -> io::Result<()> {
        let thread = Thread { pid: item.event.pid, tid: item.event.tid };
        self.0.entry(thread).or_default().item(item, sink)
    }

    /// Gives the rest.
    pub fn finish(self, sink: Sink) -> io::Result<()> {
        let mut threads: Vec<_> = self.0.into_iter().collect();
        threads.sort_unstable_by_key(|&(thread, _)| thread);
        threads.into_iter().try_for_each(|(_, mut open)| {
            while open.0.len() > 1 {
                open.leave(None, sink)?;
            }
            open.tell_repeats(0, sink)
        })
    }
}

impl Default for Open {
    fn default() -> Self {
        Open(vec![Group { is_told: true, ..Group::default() }])
    }
}

impl Open {
    fn item(&mut self, item: Item, sink: Sink) -> io::Result<()> {
        let is_end = match item.what {
            What::Entry(_) => {
                self.0.push(Group { level: item.level, lines: vec![item], ..Group::default() });
                return Ok(());
            }
            What::Return(_, Since::Unseen) | What::Point | What::Repeats { .. } => false,
            What::Return(..) | What::NeverReturned(_) | What::StillOpen(_) => true,
        };
        let top = self.0.len() - 1;
        // The end of a call whose entry got no line is a line like others.
        if is_end && top > 0 && self.0[top].level == item.level {
            return self.leave(Some(item), sink);
        }
        self.tell_repeats(top, sink)?;
        self.add(top, vec![item], sink)
    }

    /// Ends the innermost call, by a line or without one.
    fn leave(&mut self, end: Option<Item>, sink: Sink) -> io::Result<()> {
        let top = self.0.len() - 1;
        self.tell_repeats(top, sink)?;
        self.add(top, end.into_iter().collect(), sink)?;
        let Some(Group { lines, is_told, .. }) = self.0.pop() else { return Ok(()) };
        let caller = &mut self.0[top - 1];
        let duration_ns = end.and_then(|end| match end.what {
            What::Return(_, Since::Entry(since_ns)) if !is_told => {
                Some(u64::try_from(end.event.time_ns.saturating_sub(since_ns)).unwrap_or(0))
            }
            _ => None,
        });
        let Some(duration_ns) = duration_ns else {
            // Only what was measured can be summed up.
            self.tell_repeats(top - 1, sink)?;
            return self.add(top - 1, lines, sink);
        };
        let shape: Vec<Key> = lines.iter().map(Key::of).collect();
        match &mut caller.last {
            Some(last) if last.shape == shape => {
                last.first = if last.repeats == 0 { lines[0] } else { last.first };
                last.repeats += 1;
                last.total_ns = last.total_ns.saturating_add(duration_ns);
                Ok(())
            }
            _ => {
                let first = lines[0];
                self.tell_repeats(top - 1, sink)?;
                self.add(top - 1, lines, sink)?;
                self.0[top - 1].last = Some(Last { shape, repeats: 0, total_ns: 0, first });
                Ok(())
            }
        }
    }

    /// Tells how often the last call in that one repeated, since something else comes next.
    fn tell_repeats(&mut self, at: usize, sink: Sink) -> io::Result<()> {
        let Some(Last { repeats, total_ns, first, .. }) = self.0[at].last.take() else { return Ok(()) };
        let What::Entry(frame) = first.what else { return Ok(()) };
        match repeats {
            0 => Ok(()),
            count => {
                self.add(at, vec![Item { what: What::Repeats { frame, count, total_ns }, ..first }], sink)
            }
        }
    }

    fn add(&mut self, at: usize, mut lines: Vec<Item>, sink: Sink) -> io::Result<()> {
        let group = &mut self.0[at];
        if group.is_told {
            return lines.into_iter().try_for_each(sink);
        }
        group.lines.append(&mut lines);
        if group.lines.len() > LONGEST { self.tell(at, sink) } else { Ok(()) }
    }

    /// Tells what is held back of a call and of those that it lies in.
    fn tell(&mut self, at: usize, sink: Sink) -> io::Result<()> {
        // Where a call is told, those that it lies in have been.
        let from = self.0[..=at].iter().rposition(|group| group.is_told).unwrap_or(0);
        for outer in from..=at {
            if outer < at {
                self.tell_repeats(outer, sink)?;
            }
            let group = &mut self.0[outer];
            group.is_told = true;
            std::mem::take(&mut group.lines).into_iter().try_for_each(&mut *sink)?;
        }
        Ok(())
    }
}

impl Key {
    fn of(item: &Item) -> Key {
        let (level, event) = (item.level, &item.event);
        match item.what {
            What::Entry(frame) => Key::Entry(level, frame, event.text),
            What::Return(frame, _) | What::NeverReturned(frame) | What::StillOpen(frame) => {
                Key::Return(level, frame, event.text)
            }
            What::Repeats { frame, .. } => Key::Repeats(level, frame),
            What::Point => Key::Point(level, event.marker, event.code, event.line, event.text),
        }
    }
}
