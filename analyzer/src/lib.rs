//! Turns traces into call trees, measures and reports.
//!
//! The analyzer reads files only: it needs no live process, no privileges and no network.
//!
//! ```text
//! Trace ──order──▶ rows by thread ──tree──▶ CallTree ──measure──▶ Totals │ Folded │ … ──report──▶ bytes
//!                                   └calls─▶ CallStream ────────────▲─────────────────────▲
//! ```
//!
//! - [`tree`] merges the calls of a trace into a [`CallTree`], which has one node for each distinct
//!   call path.
//! - [`calls`] visits single calls, for measures and reports that need more than counts and times
//!   per call path.
//! - [`measure`] computes plain values from a call tree or from single calls.
//! - [`report`] writes these values. A report of every row, such as [`report::dump`], writes rows
//!   as it reads them.
//! - [`share`] writes a redacted copy of a trace.
//!
//! A module imports only from modules below it:
//!
//! ```text
//! report     tables, pages, pictures and exports
//! share      redacted copies of traces
//! measure    what reports show, as plain values
//! calls      single calls, as a stream
//! testing    traces and call trees from scripts, for tests only
//! tree       calls merged by call path
//! order      rows by thread and by time
//! filter     the selection of calls and rows for a report
//! script     rows as text
//! escape     text without terminal control characters
//! error      the error type of all modules
//! ```
//!
//! ```no_run
//! use pyrec_analyzer::{CallTree, Filter, measure::Totals, report::stats};
//!
//! let trace = pyrec_schema::Trace::open(&["pyrec.parquet"])?;
//! let calls = CallTree::read(&trace, &Filter::default())?;
//! stats::write(&Totals::of(&calls), &stats::StatsOptions::default(), &mut std::io::stdout())?;
//! # Ok::<(), pyrec_analyzer::Error>(())
//! ```

pub mod calls;
mod error;
mod escape;
pub mod filter;
pub mod measure;
mod order;
pub mod report;
pub mod script;
pub mod share;
#[cfg(test)]
mod testing;
pub mod tree;

pub use error::{Error, Result};
pub use escape::Printable;
pub use filter::Filter;
pub use tree::CallTree;
