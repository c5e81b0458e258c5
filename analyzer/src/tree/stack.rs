//! The call stack of one thread: frames, the operations that rows stand for, and the stack itself.

use pyrec_schema::{CodeId, Event, LostEvents, Marker, Names, TextId};
use rustc_hash::FxHashMap;

/// A frame of a thread's stack, and the last part of a call path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// The thread itself: the root below its outermost calls.
    Thread,
    /// A Python function, by its code object.
    Function(CodeId),
    /// A C function, by its name.
    Cfunction(TextId),
    /// A garbage collection.
    Gc,
    /// The unknown caller of the calls after a loss.
    Lost,
}

impl Frame {
    /// Whether it stands for a call or a garbage collection of the program.
    pub fn is_call(self) -> bool {
        matches!(self, Frame::Function(_) | Frame::Cfunction(_) | Frame::Gc)
    }
}

/// The operation on the thread's stack that a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackOp {
    /// A call is entered, or a generator or coroutine is resumed.
    Enter(Frame),
    /// A call was already open when the recording began; its entry time is unknown.
    Open(Frame),
    /// A call returns, or a generator or coroutine is suspended.
    Leave(Frame),
    /// Events were lost from `from_ns` until the time of the row.
    Lose {
        /// The last instant before the loss.
        from_ns: i64,
    },
    /// A thread or process begins or ends, so the stack is empty.
    Clear,
    /// A row without a duration in the innermost call: a line, an import, an audit event.
    Instant,
    /// A row with a source text, which has nothing to do with its thread or time.
    Ignore,
}

impl StackOp {
    /// The operation of a row.
    #[inline]
    pub fn of(event: &Event, names: &Names) -> StackOp {
        match event.marker {
            Marker::FunctionEntry => StackOp::Enter(Frame::Function(event.code)),
            Marker::FunctionOpen => StackOp::Open(Frame::Function(event.code)),
            Marker::FunctionReturn => StackOp::Leave(Frame::Function(event.code)),
            Marker::CfunctionEntry => StackOp::Enter(Frame::Cfunction(event.text)),
            Marker::CfunctionReturn => StackOp::Leave(Frame::Cfunction(event.text)),
            Marker::GcStart => StackOp::Enter(Frame::Gc),
            Marker::GcDone => StackOp::Leave(Frame::Gc),
            Marker::Line | Marker::ImportStart | Marker::ImportDone | Marker::Audit => StackOp::Instant,
            Marker::InstanceStart | Marker::InstanceDone => StackOp::Instant,
            Marker::ThreadStart | Marker::ThreadExit | Marker::ProcessStart | Marker::ProcessExit => {
                StackOp::Clear
            }
            Marker::Lost => StackOp::Lose {
                from_ns: LostEvents::from_event(event, names).map_or(event.time_ns, |lost| lost.from_ns),
            },
            Marker::Source => StackOp::Ignore,
        }
    }
}

/// The open frames of a thread, the outermost first, each with data of the stack's user.
///
/// Nearly every return is from the innermost frame. The frame of any other return is found in
/// constant time, however deep it is: equal frames form a linked list, with the innermost one in
/// `innermost` and the next one further out in `below`. Frames are linked only when such a return
/// is looked up, so the others cost nothing.
///
/// ```text
/// position     0     1     2     3   │   4
/// frame        a     b     a     c   │   b        innermost: a → 2, b → 1, c → 3
/// below        –     –     0     –   │
///              linked                  entered since
/// ```
#[derive(Clone, Debug)]
pub struct Stack<T> {
    open: Vec<OpenFrame<T>>,
    /// For each linked frame, the position of the next equal frame below, plus one. 0 if there is
    /// none.
    below: Vec<u32>,
    /// For each frame, the position of the innermost linked one that is equal, plus one. 0 or
    /// absent if there is none.
    innermost: FxHashMap<Frame, u32>,
    /// The number of losses so far.
    losses: u32,
}

/// An open frame.
#[derive(Clone, Copy, Debug)]
pub struct OpenFrame<T> {
    /// The frame.
    pub frame: Frame,
    /// The number of losses when it was entered.
    pub losses: u32,
    /// Data of the stack's user.
    pub data: T,
}

impl<T> Default for Stack<T> {
    fn default() -> Self {
        Stack { open: Vec::new(), below: Vec::new(), innermost: FxHashMap::default(), losses: 0 }
    }
}

impl<T> Stack<T> {
    /// Enters a frame.
    #[inline]
    pub fn push(&mut self, frame: Frame, data: T) {
        self.push_since(frame, self.losses, data);
    }

    /// Enters a frame as if it had been entered when there had been `losses` losses.
    #[inline]
    pub fn push_since(&mut self, frame: Frame, losses: u32, data: T) {
        self.open.push(OpenFrame { frame, losses, data });
    }

    /// Leaves the innermost frame.
    #[inline]
    pub fn pop(&mut self) -> Option<OpenFrame<T>> {
        let open = self.open.pop()?;
        if self.below.len() > self.open.len() {
            self.unlink(open.frame);
        }
        Some(open)
    }

    /// Leaves the innermost frame if it equals `frame`.
    #[inline]
    pub fn pop_if(&mut self, frame: Frame) -> Option<OpenFrame<T>> {
        if self.top()?.frame == frame { self.pop() } else { None }
    }

    /// The innermost frame.
    #[inline]
    pub fn top(&self) -> Option<&OpenFrame<T>> {
        self.open.last()
    }

    /// The number of frames above the innermost one that equals `frame`. None if none does.
    pub fn above(&mut self, frame: Frame) -> Option<usize> {
        self.link();
        let position = self.innermost.get(&frame)?.checked_sub(1)?;
        Some(self.open.len() - 1 - position as usize)
    }

    /// Links the frames that were entered since the last lookup.
    fn link(&mut self) {
        for (position, open) in self.open.iter().enumerate().skip(self.below.len()) {
            let innermost = self.innermost.entry(open.frame).or_default();
            self.below.push(std::mem::replace(innermost, position as u32 + 1));
        }
    }

    #[cold]
    fn unlink(&mut self, frame: Frame) {
        if let Some(below) = self.below.pop() {
            self.innermost.insert(frame, below);
        }
    }

    /// The open frames, the outermost first.
    pub fn frames(&self) -> &[OpenFrame<T>] {
        &self.open
    }

    /// The data of the frame at a position.
    #[inline]
    pub fn data_mut(&mut self, position: usize) -> &mut T {
        &mut self.open[position].data
    }

    /// Removes and returns all frames, the outermost first.
    pub fn take(&mut self) -> Vec<OpenFrame<T>> {
        self.below.clear();
        self.innermost.clear();
        std::mem::take(&mut self.open)
    }

    /// Counts a loss. Any of the open frames may have been left during it.
    pub fn lose(&mut self) {
        self.losses += 1;
    }

    /// The number of losses so far.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    /// Sets the number of losses.
    pub fn set_losses(&mut self, losses: u32) {
        self.losses = losses;
    }

    /// Whether there was a loss since a frame was entered.
    #[inline]
    pub fn is_cut(&self, open: &OpenFrame<T>) -> bool {
        open.losses != self.losses
    }
}
