//! What the agent writes for the recorder: rings of records, and the log of definitions.

pub mod definitions;
mod thread;
mod writer;

pub use thread::{
    Thread, after_fork, create_for, current, register, retire_all, with_own_ring, with_scratch_ring,
};
pub use writer::Ring;
