//! The trace format, version 1: the contract between the recorder and the analyzer.
//!
//! A trace is one Parquet file, or a directory of them. A row is one event of the recorded program
//! or one fact of the recorder. This is the whole container:
//!
//! ```text
//! PAR1 │ footer │ row group │ row group │ footer │ … │ row group │ footer │ footer tail
//!        ──┬───   ────┬────               ──┬───                   ──┬───   ────┬──────
//!          │          │                     │                        │     u32: distance back to
//!          │          │      kept: the file up to here               │     the footer; PAR1
//!          │          │      is a trace, too                         │
//!     empty trace     │                         Thrift: the schema; offsets, lengths and
//!                     │                         statistics of all column chunks; "pyrec":
//!                     │                         the manifest as JSON; "ARROW:schema"
//!                     │
//!        8 column chunks: time_ns │ pid │ tid │ marker │ code │ line │ value │ text
//!                         ───┬───               ──┬───
//!           data page │ data page │ …       dictionary page │ data page │ data page │ …
//!           ────┬────
//!        Thrift page header │ zstd frame with checksum, of at most 65,536 values
//! ```
//!
//! The file is a complete Parquet file at every checkpoint, so any Parquet reader reads it while it
//! grows, and after the recorder was killed. `writer/checkpoint_layout.rs` draws how.
//! `docs/reference/format.md` specifies the columns, the markers and the manifest for other
//! readers.
//!
//! ```text
//! recorder ─▶ Batch ─▶ TraceWriter ─▶ x.parquet ─▶ Trace ─▶ Batch ─▶ analyzer
//! ```
//!
//! Rows travel as a [`Batch`], a vector per column, with strings interned in [`Names`]. Facts of
//! the whole recording are in the [`Manifest`]. No other crate depends on Parquet or Arrow.
//!
//! # Layers
//!
//! Each module uses only the modules below it, which `tests/architecture` checks.
//!
//! ```text
//! tables    tables derived from traces: profiles, calls
//! reader    files into batches
//! writer    batches into a growing file; its journal and recovery
//! file      checked access to files: footers, page headers, zip archives
//! encode    rows into values, pages, column chunks and row groups
//! format    columns, magic numbers, Parquet's Thrift structs
//! model     events, markers, names, manifest
//! limits    how many rows and bytes a file may claim
//! error
//! ```

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
