//! The shared-memory protocol between the agent and the recorder.
//!
//! Both sides map files in a session directory, which only the user can enter:
//!
//! ```text
//! session          a SessionPage: what to record, and whether the recording continues
//! filter           a FunctionFilter, if there is one: which functions to record
//! lock             locked by the recorder (flock) while it is alive
//! PID-N.defs       the definitions of a process: an append-only log of what ids in records refer to
//! PID-N.K.ring     the ring of a thread: a RingHeader, then `capacity` records of 16 bytes
//! journal-N        written and read only by the recorder: rows that are not in the trace file yet
//! ```
//!
//! A process writes a definition before the first record that uses it. So a recorder that first
//! reads the heads of the rings and then the definitions has the definitions of all records before
//! those heads.
//!
//! The crate does not use the standard library, because the agent, which is loaded into other
//! programs, does not.

#![no_std]

extern crate alloc;

mod definition;
mod fields;
mod filter;
mod glob;
mod record;
mod ring;
mod session;

pub use definition::{Definition, DefinitionReader, LineTable, MalformedDefinition};
pub use filter::{FunctionFilter, InvalidGlob};
pub use record::{Record, RecordKind};
pub use ring::{RING_RECORDS, RingHeader, ring_file_len, slot_offset};
pub use session::{ClockAnchor, ClockSource, OnFull, SessionPage};

/// The environment variable with the path of the session directory, which the agent reads.
pub const SESSION_VARIABLE: &str = "PYREC_SESSION";

/// The version of the protocol. The agent is embedded in the recorder, so the versions of both
/// differ only if a program with the agent of an older recorder is still running.
pub const VERSION: u32 = 5;

/// Size of a page, and so of the header of each shared file.
pub const PAGE_BYTES: usize = 4096;
