//! The contract between the recorder and the analyzer: trace format v1.
//!
//! ```text
//! recorder ─▶ Batch ─▶ TraceWriter ─▶ x.parquet ─▶ Trace ─▶ Batch ─▶ analyzer
//! ```
//!
//! One row is one [`Event`]; rows travel in columns, as a [`Batch`], with their strings interned in [`Names`].
//! What is true of the whole recording stands in the [`Manifest`]. This is the only crate that speaks Parquet;
//! `docs/format.md` describes the file for everybody else.

mod archive;
mod attempt;
mod batch;
mod bounds;
mod calls;
mod code;
mod column;
mod decode;
mod delta;
mod dictionary;
mod error;
mod fields;
mod file;
mod footer;
mod format;
mod hybrid;
mod journal;
mod listed;
mod loss;
mod manifest;
mod marker;
mod names;
mod page;
mod pages;
mod profile;
mod profile_file;
mod reader;
mod row_group;
mod shapes;
mod spacing;
mod tail;
mod thrift;
mod trace;
mod unsettled;
mod writer;

pub use archive::archive;
pub use batch::{Batch, Event};
pub use calls::{CallRow, CallsWriter};
pub use code::Code;
pub use error::{Error, Result};
pub use journal::Positions;
pub use loss::Lost;
pub use manifest::{Clock, Ended, FORMAT_VERSION, Host, Manifest, Part, Python, Session, Slice};
pub use marker::{Group, Marker};
pub use names::{CodeId, Names, TextId};
pub use profile::{PathId, Profile, ProfileKey, ProfileRow, ProfileSums};
pub use profile_file::{PROFILE_VERSION, is_profile, read_profile, write_profile};
pub use reader::{Columns, TraceReader};
pub use trace::{Trace, files_at};
pub use writer::{Resumed, Sealed, TraceWriter, WriterOptions};
