//! The bytes that pass from the agent to the recorder.
//!
//! Both sides meet in a session directory that only the user can enter:
//!
//! ```text
//! session          one SessionPage: what to record, whether the recording goes on
//! filter           a FunctionFilter, if there is one: which functions to record
//! lock             locked by the recorder (flock) for as long as it lives
//! PID-N.defs       a process's definitions, a log that only grows: every number in a record is defined here first
//! journal-N        the recorder's own: what it has read from the rings, and not written yet
//! PID-N.K.ring     a thread's ring: one RingHeader, then `capacity` records of 16 bytes
//! ```
//!
//! A process writes a definition before it writes the first record that needs it. So a reader that looks at the
//! rings' heads first and at the definitions after that knows every number up to those heads.
//!
//! Without the standard library: the agent, which is loaded into other people's programs, goes without it.

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

/// The environment variable that names the session directory to the agent.
pub const SESSION_VARIABLE: &str = "PYREC_SESSION";

/// Changes whenever the layouts do. The agent is embedded in the recorder, so the two always agree; a program that
/// outlived an older recorder is told apart by this.
pub const VERSION: u32 = 5;

/// Size of a page, and so of each header.
pub const PAGE_BYTES: usize = 4096;
