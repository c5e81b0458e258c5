//! A trace as a stream of single calls.
//!
//! ```text
//! rows       E a    E b    R b    R a
//! events     Enter  Enter  Leave  Leave
//!            a      b      b      a       each with its call and its open callers
//! ```
//!
//! [`crate::CallTree`] stores every call path once. This module visits every call, under the same
//! repair rules (`docs/design/tree.md`) and the same filter, in memory that grows with the open
//! calls only. The events of a thread come in the order of its rows and are balanced: every
//! [`CallEvent::Enter`] has its [`CallEvent::Leave`], however damaged the trace is.

mod call;
mod stream;
mod thread;

#[cfg(test)]
pub(crate) mod tests;

pub use call::{Call, CallEnd, CallEvent, CallVisitor, Callers, Ending};
pub use stream::{CallStream, TraceSummary, read};
