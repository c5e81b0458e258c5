//! The live half: from CPython's events to a trace on disk.
//!
//! ```text
//!            agent: rings and definitions ─┐
//! provider ─┤                              ├▶ drain ─▶ decode ─▶ RowWriter ─▶ pipeline ─▶ RotatingWriter ─▶ TraceWriter
//!            usdt: BPF ring buffer ────────┘
//! └──────────────── this thread ──────────────────────────────────┘      └── a second one ──┘
//! ```
//!
//! [`record`] names the stages. [`top()`] counts instead: rows are added up, or the BPF program counts by itself. A `Provider` is either of the two sources; nothing after it knows which one it is.

mod error;
mod inspect;
mod options;
mod os;
mod output;
mod prepare;
mod provider;
mod recording;
mod repair;
mod session;
mod target;
mod top;

pub use error::{Error, Result};
pub use inspect::{doctor, listing};
pub use options::{Capture, OnFull, Options, ProviderChoice, Rotation, SizeOrDuration, Target};
pub use output::counts::{ByGroup, Counts, Function, Tally};
pub use output::snapshot::snapshots;
pub use recording::{Outcome, Progress, record};
pub use repair::{Recovery, Repair, repair};
pub use session::request_snapshot;
pub use target::attach::Error as AttachError;
pub use target::target_process::Exit;
pub use top::{Counted, Live, Top, Wish, top};

/// Where other tools find the agent's static markers, for whom the recording is of: `--expose-markers` puts them there.
pub fn exposed_library() -> std::path::PathBuf {
    session::agent_library::exposed_path(os::user::User::invoking().as_ref())
}

/// Does something with files as the user who called `sudo`, if somebody did: what is found, made and replaced is what that
/// user may find, make and replace.
pub fn as_invoking_user<T>(work: impl FnOnce() -> T) -> Result<T> {
    os::fs_credentials::as_user(os::user::User::invoking().as_ref(), work).map_err(Error::credentials)
}
