//! The way of events behind a provider: into rows, and on a second thread into a trace or counts.
//!
//! ```text
//! RowWriter ── batches, manifests ─▶ Pipeline ─▶ RotatingWriter ─▶ TraceWriter (schema)
//!                                                or counts
//! └────────── draining thread ─────────┘         └─────────── writing thread ──────────┘
//! ```

pub(crate) mod counts;
pub(crate) mod open_state;
pub(crate) mod pipeline;
pub(crate) mod rotation;
pub(crate) mod row_writer;
pub(crate) mod snapshot;
pub(crate) mod source_files;
