//! One call, and the events that a visitor receives about it.

use pyrec_schema::Event;

use crate::Result;
use crate::tree::{Frame, OpenFrame};

/// One call, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number. Of two calls of a thread, the one entered later has the higher number.
    pub id: u64,
    /// The number of the calling call. None for an outermost call, and after a loss.
    pub parent: Option<u64>,
    /// The number of calls around it.
    pub depth: u32,
    /// What was called. [`Frame::Lost`] stands for the unknown caller of what follows a loss.
    pub frame: Frame,
    /// The row that began it. Its text states how a generator was resumed; its value is the
    /// generation of a garbage collection.
    pub entry: Event,
    /// Whether it counts as a call: false if it began outside the time window.
    pub counts: bool,
    /// Self time so far, in nanoseconds.
    pub self_ns: u64,
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallEnd<'a> {
    /// How it ended.
    pub ending: Ending,
    /// The last instant at which the call is known to have run: its return, or the last row
    /// inside it.
    pub time_ns: i64,
    /// When the end became known. Later than `time_ns` if no row marks the end.
    pub known_ns: i64,
    /// The time from entry to return, if both are known and inside the time window.
    pub duration_ns: Option<u64>,
    /// The row of the return, if there is one. Its text distinguishes a yield or an
    /// exception from a plain return.
    pub event: Option<&'a Event>,
}

/// How a call ended, as far as the rows show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its return was recorded.
    Returned,
    /// A return was recorded, but events were lost since the entry, so that it may be the return
    /// of another call.
    AcrossLoss,
    /// No return was recorded although a caller returned. It does not count as a call: CPython
    /// 3.15 fires such an entry when it creates a generator.
    NeverReturned,
    /// No return was recorded although a caller returned, and events were lost since the entry.
    InLoss,
    /// It had not ended when its thread or the recording ended.
    StillOpen,
}

/// What a [`CallVisitor`] is called with.
#[derive(Clone, Copy, Debug)]
pub enum CallEvent<'a> {
    /// A call was entered. If the filter has a minimum time, this event comes once the call has
    /// lasted that long, and before any other event inside the call.
    Enter(&'a Call),
    /// A call ended.
    Leave(&'a Call, CallEnd<'a>),
    /// A return from a call whose entry was not recorded.
    UnmatchedReturn(Frame, &'a Event),
    /// A row without a duration: a line, the start of an import, an audit event, a loss, the start
    /// of a thread.
    Instant(&'a Event),
}

/// Called with every event and the calls that are open around it: `|event, callers| …`.
pub trait CallVisitor: FnMut(CallEvent, Callers) -> Result<()> {}

impl<F: FnMut(CallEvent, Callers) -> Result<()>> CallVisitor for F {}

/// A call on the stack of its thread.
#[derive(Clone, Copy, Debug)]
pub struct OpenCall {
    pub call: Call,
    /// The stack position of the nearest call below that the filter selects.
    pub caller: Option<usize>,
    /// Whether the filter selects it. If not, its time is charged to its caller.
    pub is_shown: bool,
    /// Whether it is inside a call of the filter's root function.
    pub is_inside: bool,
    /// The thread's clock at its entry.
    pub since_ns: u64,
}

impl OpenCall {
    /// The stack position of the call that is charged with the time while this call, at
    /// `position`, is the innermost one.
    pub fn charged(&self, position: usize) -> Option<usize> {
        if self.is_shown { Some(position) } else { self.caller }
    }
}

/// The open calls around an event that the filter selects.
#[derive(Clone, Copy, Debug)]
pub struct Callers<'a>(pub(super) &'a [OpenFrame<OpenCall>]);

impl<'a> Callers<'a> {
    /// The innermost call.
    pub fn innermost(self) -> Option<&'a Call> {
        self.outwards().next()
    }

    /// All calls, the innermost first. Calls below a loss are left out, since they may have ended
    /// during it.
    pub fn outwards(self) -> impl Iterator<Item = &'a Call> {
        let mut at = self.0.last().and_then(|open| open.data.charged(self.0.len() - 1));
        std::iter::from_fn(move || {
            let open = &self.0.get(at?)?.data;
            at = open.caller;
            Some(&open.call)
        })
    }
}
