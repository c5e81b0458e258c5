//! The recorder: it takes the events of CPython processes and writes them into a trace.
//!
//! ```text
//! provider: agent, usdt ─▶ RowWriter ─▶ pipeline ─▶ RotatingWriter ─▶ TraceWriter (schema)
//! └──────── draining thread ───────┘               └────────── writing thread ───────────┘
//! ```
//!
//! [`record`] runs these stages. [`top()`] counts events instead of writing them. [`repair()`]
//! recovers the events of a killed recorder. `docs/design/life-of-an-event.md` follows one event
//! through all of it.
//!
//! # Layers
//!
//! A file uses only files further down, which `tests/architecture/main.rs` checks.
//!
//! ```text
//! inspect/  top.rs  repair.rs   what can be recorded; counting; repair
//! recording.rs                  the record loop
//! prepare.rs                    chooses the provider and prepares the target
//! provider/                     the sources of events: agent/, and usdt/ with the C program in bpf/
//! target/                       the target process: launch, attach, supervise
//! session/                      the directory shared with the agents: page, rings, lock
//! output/                       rows, the writing thread, rotation, snapshots, counts
//! os/                           the operating system: /proc, signals, credentials, clocks
//! ```
//!
//! `options.rs` and `error.rs` belong to the whole crate: every folder but `os/` may use them.
//! `error.rs` names the errors of `provider/usdt` and `target/attach`, which do not use it.

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
#[cfg(test)]
mod test_support;
mod top;

use std::path::PathBuf;

pub use error::{Error, Result};
pub use inspect::{doctor, listing};
pub use options::{Capture, OnFull, Options, ProviderChoice, Rotation, SizeOrDuration, Target};
pub use output::counts::{Counts, FunctionCount, GroupCounts, Tally};
pub use output::snapshot::snapshots;
pub use recording::{Outcome, Progress, record};
pub use repair::{Recovery, Repair, repair};
pub use session::lock::request_snapshot;
pub use target::attach::Error as AttachError;
pub use target::target_process::Exit;
pub use top::{LiveCounts, TopAction, TopOptions, TopOutcome, top};

/// The path of the agent's library if it exposes static markers to other tools
/// (`--expose-markers`).
pub fn exposed_library() -> PathBuf {
    session::agent_library::exposed_path(os::user::User::invoking().as_ref())
}

/// Runs a closure with the filesystem credentials of the invoking user under `sudo`: it can access
/// the files that this user can, and files that it creates belong to the user.
pub fn as_invoking_user<T>(work: impl FnOnce() -> T) -> Result<T> {
    os::fs_credentials::as_user(os::user::User::invoking().as_ref(), work).map_err(Error::credentials)
}
