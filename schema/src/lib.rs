//! The contract between the recorder and the analyzer: trace format v1.
//!
//! ```text
//! recorder ─▶ Batch ─▶ TraceWriter ─▶ x.parquet ─▶ Trace ─▶ Batch ─▶ analyzer
//! ```
//!
//! One row is one [`Event`]; rows travel in columns, as a [`Batch`], with their strings interned in [`Names`].
//! What is true of the whole recording stands in the [`Manifest`]. This is the only crate that speaks Parquet;
//! `docs/format.md` describes the file for everybody else.

mod encode;
mod error;
mod file;
mod format;
mod limits;
mod model;
mod reader;
mod tables;
mod writer;

pub use error::{Error, Result};
pub use file::zip_archive::write_zip;
pub use model::{
    Batch, Clock, Code, CodeId, Event, Excerpt, FORMAT_VERSION, Host, JournalLocation, LostEvents, Manifest,
    Marker, MarkerGroup, Names, Python, RecordingEnd, RotationPart, TextId,
};
pub use reader::{Columns, Trace, TraceReader, trace_files};
pub use tables::{
    CallRow, CallsWriter, PROFILE_VERSION, PathId, Profile, ProfileKey, ProfileRowKind, ProfileSums,
    is_profile, read_profile, write_profile,
};
pub use writer::journal::ProviderPositions;
pub use writer::{RecoveredTrace, SnapshotParts, TraceWriter, WriterOptions};
