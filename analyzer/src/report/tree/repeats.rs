//! Folding of repeated calls: consecutive equal calls are written once with a count.
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
//! The lines of a call are buffered until it returns. If they equal the lines of the call before
//! it, the call is only counted. The counts of repeats inside a call are not compared. A call of
//! more than [`MAX_BUFFERED`] lines is not folded, which bounds the memory.

use std::io;

use pyrec_schema::{CodeId, Marker, TextId};
use rustc_hash::FxHashMap;

use super::lines::{EntryTime, LineKind, TreeLine};
use crate::order::ThreadId;
use crate::tree::Frame;

/// The number of lines of a call that are buffered. A reader would not recognize a longer repeat as
/// one.
const MAX_BUFFERED: usize = 256;

/// The consumer of lines.
type Sink<'s> = &'s mut dyn FnMut(TreeLine) -> io::Result<()>;

/// Replaces consecutive equal calls of a thread by one call and a line with the number of repeats.
#[derive(Default)]
pub struct RepeatFolder(FxHashMap<ThreadId, ThreadStack>);

/// The open calls of a thread, outermost first. The first element stands for the thread itself.
struct ThreadStack(Vec<OpenCall>);

/// An open call, or the thread itself.
#[derive(Default)]
struct OpenCall {
    level: usize,
    /// The lines that are held back until the call returns.
    buffered: Vec<TreeLine>,
    /// Whether the lines are passed on at once: the call is too long to be folded.
    is_passed_on: bool,
    /// The last call in this one, if no other line followed it.
    last_callee: Option<RepeatedCall>,
}

/// A call that may repeat.
struct RepeatedCall {
    shape: Vec<LineKey>,
    repeats: u64,
    /// The sum of the repeats' durations.
    total_ns: u64,
    /// The entry of the first repeat.
    first: TreeLine,
}

/// The parts of a line that must be equal in a repeat: times and the line numbers of returns are
/// left out.
#[derive(PartialEq, Eq)]
enum LineKey {
    Entry(usize, Frame, TextId),
    Return(usize, Frame, TextId),
    Repeats(usize, Frame),
    Instant(usize, Marker, CodeId, i32, TextId),
}

impl RepeatFolder {
    /// Takes the next line, and passes on those that can no longer be folded.
    pub fn push(&mut self, line: TreeLine, sink: Sink) -> io::Result<()> {
        let thread = ThreadId { pid: line.event.pid, tid: line.event.tid };
        self.0.entry(thread).or_default().push(line, sink)
    }

    /// Passes on the buffered lines of all threads.
    pub fn finish(self, sink: Sink) -> io::Result<()> {
        let mut threads: Vec<_> = self.0.into_iter().collect();
        threads.sort_unstable_by_key(|&(thread, _)| thread);
        threads.into_iter().try_for_each(|(_, mut stack)| {
            while stack.0.len() > 1 {
                stack.leave(None, sink)?;
            }
            stack.flush_repeats(0, sink)
        })
    }
}

impl Default for ThreadStack {
    fn default() -> Self {
        ThreadStack(vec![OpenCall { is_passed_on: true, ..OpenCall::default() }])
    }
}

impl ThreadStack {
    fn push(&mut self, line: TreeLine, sink: Sink) -> io::Result<()> {
        let is_end = match line.kind {
            LineKind::Entry(_) => {
                self.0.push(OpenCall { level: line.level, buffered: vec![line], ..OpenCall::default() });
                return Ok(());
            }
            LineKind::Return(_, EntryTime::Unseen) | LineKind::Instant | LineKind::Repeats { .. } => false,
            LineKind::Return(..) | LineKind::NeverReturned(_) | LineKind::StillOpen(_) => true,
        };
        let top = self.0.len() - 1;
        // The end of a call whose entry got no line is added like any other line.
        if is_end && top > 0 && self.0[top].level == line.level {
            return self.leave(Some(line), sink);
        }
        self.flush_repeats(top, sink)?;
        self.add(top, vec![line], sink)
    }

    /// Closes the innermost call. `end` is the line of its end, if it has one.
    fn leave(&mut self, end: Option<TreeLine>, sink: Sink) -> io::Result<()> {
        let top = self.0.len() - 1;
        self.flush_repeats(top, sink)?;
        self.add(top, end.into_iter().collect(), sink)?;
        let Some(OpenCall { buffered, is_passed_on, .. }) = self.0.pop() else { return Ok(()) };
        let caller = &mut self.0[top - 1];
        let duration_ns = end.and_then(|end| match end.kind {
            LineKind::Return(_, EntryTime::Known(since_ns)) if !is_passed_on => {
                Some(u64::try_from(end.event.time_ns.saturating_sub(since_ns)).unwrap_or(0))
            }
            _ => None,
        });
        let Some(duration_ns) = duration_ns else {
            // Without a measured duration the call cannot be added to a sum.
            self.flush_repeats(top - 1, sink)?;
            return self.add(top - 1, buffered, sink);
        };
        let shape: Vec<LineKey> = buffered.iter().map(LineKey::of).collect();
        match &mut caller.last_callee {
            Some(last) if last.shape == shape => {
                last.first = if last.repeats == 0 { buffered[0] } else { last.first };
                last.repeats += 1;
                last.total_ns = last.total_ns.saturating_add(duration_ns);
                Ok(())
            }
            _ => {
                let first = buffered[0];
                self.flush_repeats(top - 1, sink)?;
                self.add(top - 1, buffered, sink)?;
                self.0[top - 1].last_callee = Some(RepeatedCall { shape, repeats: 0, total_ns: 0, first });
                Ok(())
            }
        }
    }

    /// Adds the line with the number of repeats of the last callee, since another line follows it.
    fn flush_repeats(&mut self, at: usize, sink: Sink) -> io::Result<()> {
        let Some(RepeatedCall { repeats, total_ns, first, .. }) = self.0[at].last_callee.take() else {
            return Ok(());
        };
        let LineKind::Entry(frame) = first.kind else { return Ok(()) };
        match repeats {
            0 => Ok(()),
            count => {
                let kind = LineKind::Repeats { frame, count, total_ns };
                self.add(at, vec![TreeLine { kind, ..first }], sink)
            }
        }
    }

    fn add(&mut self, at: usize, mut lines: Vec<TreeLine>, sink: Sink) -> io::Result<()> {
        let call = &mut self.0[at];
        if call.is_passed_on {
            return lines.into_iter().try_for_each(sink);
        }
        call.buffered.append(&mut lines);
        if call.buffered.len() > MAX_BUFFERED { self.pass_on(at, sink) } else { Ok(()) }
    }

    /// Passes on the buffered lines of a call and of the calls around it.
    fn pass_on(&mut self, at: usize, sink: Sink) -> io::Result<()> {
        // If a call is passed on, so are all calls around it.
        let from = self.0[..=at].iter().rposition(|call| call.is_passed_on).unwrap_or(0);
        for outer in from..=at {
            if outer < at {
                self.flush_repeats(outer, sink)?;
            }
            let call = &mut self.0[outer];
            call.is_passed_on = true;
            std::mem::take(&mut call.buffered).into_iter().try_for_each(&mut *sink)?;
        }
        Ok(())
    }
}

impl LineKey {
    fn of(line: &TreeLine) -> LineKey {
        let (level, event) = (line.level, &line.event);
        match line.kind {
            LineKind::Entry(frame) => LineKey::Entry(level, frame, event.text),
            LineKind::Return(frame, _) | LineKind::NeverReturned(frame) | LineKind::StillOpen(frame) => {
                LineKey::Return(level, frame, event.text)
            }
            LineKind::Repeats { frame, .. } => LineKey::Repeats(level, frame),
            LineKind::Instant => LineKey::Instant(level, event.marker, event.code, event.line, event.text),
        }
    }
}
