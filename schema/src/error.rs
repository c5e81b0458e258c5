//! What can go wrong with a trace. Each message names the file and the next step.

use std::io;
use std::path::PathBuf;

/// The result of anything done to a trace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a trace could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not grow, because of a full disk for example. It was cut back to its last footer.
    #[error("{path}: {source}; the {rows} rows written before are whole and readable")]
    Write {
        /// The file.
        path: PathBuf,
        /// The rows that the file holds.
        rows: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file that was being written has its name no more.
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
    /// The file does not start like a Parquet file.
    #[error("{path} is not a trace: it is not a Parquet file; give a file that `pyrec record` wrote")]
    NotParquet {
        /// The file.
        path: PathBuf,
    },
    /// The file ends within a row group, and no footer before that could be found.
    #[error(
        "{path} is cut short before its first checkpoint, so nothing in it can be read; copy it again or record again"
    )]
    Cut {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file of somebody else.
    #[error("{path} is a Parquet file but not a trace: {reason}; give a file that `pyrec record` wrote")]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// What a trace has and this file does not.
        reason: String,
    },
    /// A trace of a later version.
    #[error("{path} has trace format {found}, and this pyrec reads up to {known}; update pyrec")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest that this crate reads.
        known: u32,
    },
    /// A directory that holds no trace.
    #[error(
        "{path} holds no trace: no file in it ends in .parquet; give the directory that `pyrec record` wrote"
    )]
    NoTraces {
        /// The directory.
        path: PathBuf,
    },
    /// A trace whose contents contradict the format.
    #[error("{path} is damaged: {reason}; copy it again from where it came")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
