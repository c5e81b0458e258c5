//! The live half: from CPython's events to a trace on disk.
//!
//! ```text
//!            agent: rings and definitions ─┐
//! provider ─┤                              ├▶ drain ─▶ decode ─▶ Rows ─▶ pipeline ─▶ Reel ─▶ TraceWriter
//!            usdt: BPF ring buffer ────────┘
//! └──────────────── this thread ──────────────────────────────────┘      └── a second one ──┘
//! ```
//!
//! [`record`] names the stages. [`top()`] counts instead: rows are added up, or the BPF program counts by itself. A `Provider` is either of the two sources; nothing after it knows which one it is.

mod acting;
mod agent;
mod attach;
mod care;
mod carry;
mod clock;
pub mod doctor;
mod error;
mod host;
mod launch;
mod library;
mod line_table;
pub mod listing;
mod options;
mod pipeline;
mod program;
mod provider;
mod pythons;
mod recording;
mod reel;
mod repair;
mod rights;
mod ring;
mod rows;
mod session;
mod shelter;
mod shrunk;
mod signals;
mod snapshot;
mod sources;
mod start;
mod subject;
mod top;
mod usdt;
mod user;

pub use attach::Error as AttachError;
pub use error::{Error, Result};
pub use options::{Capture, OnFull, Options, ProviderChoice, Target};
pub use recording::{Exit, Outcome, Progress, record};
pub use reel::{Extent, Rotation};
pub use repair::{Found, Repair, repair};
pub use snapshot::{ask_for_snapshot, snapshots};
pub use top::{ByGroup, Counted, Counts, Function, Live, Tally, Top, Wish, top};

/// Where other tools find the agent's static markers, for whom the recording is of: `--expose-markers` puts them there.
pub fn exposed_library() -> std::path::PathBuf {
    library::exposed_path(user::User::invoking().as_ref())
}

/// Does something with files as the user who called `sudo`, if somebody did: what is found, made and replaced is what that
/// user may find, make and replace.
pub fn as_invoking_user<T>(work: impl FnOnce() -> T) -> Result<T> {
    acting::as_user(user::User::invoking().as_ref(), work)
}
