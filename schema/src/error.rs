//! Errors of reading and writing traces. Each message names the file and the next step.

use std::io;
use std::path::PathBuf;

/// The result of an operation on a trace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a trace could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on the file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A checkpoint could not be written, for example because the disk is full. The file still ends
    /// with the previous checkpoint.
    #[error("{path}: {source}; the {rows} rows of its last checkpoint are complete and readable")]
    Write {
        /// The file.
        path: PathBuf,
        /// The number of rows in the file.
        rows: u64,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file was unlinked, renamed or replaced while it was being written.
    #[error(
        "{path} was removed or replaced while it was being written, so the recording is lost; record again"
    )]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{path} is empty: nothing was recorded into it; record again with `pyrec record`")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file does not begin with Parquet's magic.
    #[error("{path} is not a trace: it is not a Parquet file; give a file that `pyrec record` wrote")]
    NotParquet {
        /// The file.
        path: PathBuf,
    },
    /// The file is truncated, and no complete footer precedes the truncation.
    #[error(
        "{path} is cut short before its first checkpoint, so nothing in it can be read; copy it again or record again"
    )]
    Cut {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file with another schema, or without a manifest.
    #[error("{path} is a Parquet file but not a trace: {reason}; give a file that `pyrec record` wrote")]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// The difference from a trace.
        reason: String,
    },
    /// A trace of a later format version.
    #[error("{path} has trace format {found}, and this pyrec reads up to {known}; update pyrec")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format version that this crate reads.
        known: u32,
    },
    /// A directory without Parquet files.
    #[error(
        "{path} holds no trace: no file in it ends in .parquet; give the directory that `pyrec record` wrote"
    )]
    NoTraces {
        /// The directory.
        path: PathBuf,
    },
    /// A trace or profile whose contents contradict the format.
    #[error("{path} is damaged: {reason}; copy it again from where it came")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        reason: String,
    },
}
