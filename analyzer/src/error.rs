//! The error type of the analyzer.

use std::io;

/// A result with the analyzer's error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading the trace failed.
    #[error(transparent)]
    Trace(#[from] pyrec_schema::Error),
    /// Writing the report failed. A closed pipe is reported as [`io::ErrorKind::BrokenPipe`].
    #[error("the report could not be written: {0}")]
    Write(#[from] io::Error),
    /// The rows of a profile contradict one another.
    #[error("the profile is damaged: it has {reason}; make it again with `pyrec profile`")]
    Profile {
        /// The contradiction, worded to follow "it has" in the message.
        reason: &'static str,
    },
    /// A profile was filtered by time, process or thread. Its rows are per call path and hold none
    /// of these.
    #[error(
        "--time, --pid and --tid do not work on a profile, which holds neither times nor threads; name the recording itself with -i"
    )]
    NotInProfile,
    /// The selected part of the trace has no call, so a flame graph of it would be empty.
    #[error(
        "no call was measured in the selected part, so there is nothing to draw; `pyrec info` lists what was recorded"
    )]
    NothingToDraw,
    /// `OLD` of a `--map OLD=NEW` option matches no function or module of the old recordings. Holds
    /// the option's value.
    #[error(
        "no function or module of the old recordings matches `--map {0}`; `pyrec stats` lists their functions"
    )]
    UnmatchedRename(String),
}
