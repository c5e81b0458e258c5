//! What happens in a thread.

use pyrec_schema::Event;

use super::call::{Call, End};
use super::thread::Running;
use crate::Result;
use crate::tree::{Frame, Open};

/// What happens in a thread.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// A call was entered. With a least time that is told when it has lasted as long, and before anything else in it.
    Enter(&'a Call),
    /// It ended.
    Leave(&'a Call, End<'a>),
    /// A return from a call whose entry was not seen.
    Unseen(Frame, &'a Event),
    /// Something without a duration: a line, an import's start, an audit event, a loss, a thread's start.
    Point(&'a Event),
}

/// The open calls in which something happens: those that the filter leaves.
#[derive(Clone, Copy, Debug)]
pub struct Callers<'a>(pub(super) &'a [Open<Running>]);

impl<'a> Callers<'a> {
    /// The innermost.
    pub fn innermost(self) -> Option<&'a Call> {
        self.outwards().next()
    }

    /// All of them, the innermost first. What lies below a loss is left out: nobody knows whether it was a caller.
    pub fn outwards(self) -> impl Iterator<Item = &'a Call> {
        let mut at = self.0.last().and_then(|open| open.data.holder(self.0.len() - 1));
        std::iter::from_fn(move || {
            let running = &self.0.get(at?)?.data;
            at = running.caller;
            Some(&running.call)
        })
    }
}

/// Who is told: `|moment, callers| …`.
pub trait Visit: FnMut(Moment, Callers) -> Result<()> {}

impl<F: FnMut(Moment, Callers) -> Result<()>> Visit for F {}
