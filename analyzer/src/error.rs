//! What can go wrong between a trace and a report.

use std::io;

/// The result of analyzing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trace could not be read.
    #[error(transparent)]
    Trace(#[from] pyrec_schema::Error),
    /// The report could not be written. A closed pipe comes as [`io::ErrorKind::BrokenPipe`].
    #[error("the report could not be written: {0}")]
    Write(#[from] io::Error),
    /// A profile whose rows contradict one another.
    #[error("the profile is damaged: it has {reason}; make it again with `pyrec profile`")]
    Profile {
        /// What is wrong.
        reason: &'static str,
    },
    /// A question that a profile has no answer to.
    #[error(
        "a profile knows neither times nor threads, so --time, --pid and --tid need the recording itself; name that with -i"
    )]
    NotInProfile,
    /// A flame graph of nothing.
    #[error(
        "no call was measured in what was asked for, so there is nothing to draw; `pyrec info` says what was recorded"
    )]
    NothingToDraw,
    /// A name that was said to have moved, and that no old recording has.
    #[error(
        "nothing in the old recordings is called what `{0}` says has moved; `pyrec stats` lists what they have"
    )]
    NothingMoved(String),
}
