//! The quiet half: a trace into trees, measures and reports. Needs no live process, no privilege, no network.
//!
//! ```text
//! Trace ──order──▶ rows, thread by thread ──tree──▶ CallTree ──measure──▶ Totals │ Folded │ Info ──report──▶ impl Write
//!                                             └─calls─▶ single calls, one by one ──────────────────┘
//! ```
//!
//! Each layer knows the ones to its left and none to its right. A measure is a plain value taken from a
//! [`CallTree`]; a report writes a plain value. What tells of single calls ([`calls`]) or rows ([`report::dump`]) is
//! written as they come, since its length is that of the trace.
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
pub mod tree;

pub use error::{Error, Result};
pub use escape::Plain;
pub use filter::Filter;
pub use tree::CallTree;
