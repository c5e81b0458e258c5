//! The live half: from CPython's events to a trace on disk.
//!
//! ```text
//!            agent: rings and definitions ─┐
//! provider ─┤                              ├▶ drain ─▶ decode ─▶ Rows ─▶ pipeline ─▶ TraceWriter
//!            usdt: BPF ring buffer ────────┘
//! └──────────────── this thread ──────────────────────────────────┘      └── a second one ──┘
//! ```
//!
//! [`record`] names the stages. A `Provider` is either of the two sources; nothing after it knows which one it is.

mod agent;
mod attach;
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
mod rights;
mod ring;
mod rows;
mod session;
mod signals;
mod sources;
mod start;
mod subject;
mod usdt;
mod user;

pub use attach::Error as AttachError;
pub use error::{Error, Result};
pub use options::{OnFull, Options, ProviderChoice, Target};
pub use recording::{Exit, Outcome, Progress, record};

/// Where other tools find the agent's static markers, for whom the recording is of: `--expose-markers` puts them there.
pub fn exposed_library() -> std::path::PathBuf {
    library::exposed_path(user::User::invoking().as_ref())
}
