//! What can stand on a thread's stack.

use pyrec_schema::{CodeId, TextId};

/// What can stand on a thread's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// Nothing: the thread itself, below its first call.
    Thread,
    /// A Python function, by its code object.
    Function(CodeId),
    /// A function written in C, by its name.
    Cfunction(TextId),
    /// A garbage collection.
    Gc,
    /// Calls after a loss, of which nobody knows who called them.
    Lost,
}

impl Frame {
    /// Whether it is a call that the program made.
    pub fn is_call(self) -> bool {
        matches!(self, Frame::Function(_) | Frame::Cfunction(_) | Frame::Gc)
    }
}
