//! What the agent writes for the recorder: rings of records, and the log of definitions.

pub mod definitions;
pub mod thread;
mod writer;

pub use writer::Ring;
