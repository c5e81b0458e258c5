//! Where events go: rows, and behind them a thread that writes them into a trace or counts them.

pub(crate) mod counts;
pub(crate) mod open_state;
pub(crate) mod pipeline;
pub(crate) mod rotation;
pub(crate) mod row_writer;
pub(crate) mod snapshot;
pub(crate) mod source_files;
