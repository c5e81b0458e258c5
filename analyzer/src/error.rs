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
        /// The contradiction, as the object of "it has".
        reason: &'static str,
    },
    /// A filter on time or threads was applied to a profile, which has neither.
    #[error(
        "--time, --pid and --tid do not work on a profile, which holds neither times nor threads; name the recording itself with -i"
    )]
    NotInProfile,
    /// A flame graph would have no frame.
    #[error(
        "no call was measured in the selected part, so there is nothing to draw; `pyrec info` lists what was recorded"
    )]
    NothingToDraw,
    /// The old name of a `--map` option is in none of the old recordings. Holds the option's value.
    #[error(
        "no function or module of the old recordings matches `--map {0}`; `pyrec stats` lists their functions"
    )]
    UnmatchedRename(String),
}
