//! Rows into call trees.

mod repair;

use pyrec_schema::Trace;

use crate::{Filter, Result};

pub use repair::Repairs;

/// The calls of a trace: every distinct call path once, with what was counted and measured on it.
#[derive(Debug)]
pub struct CallTree {}

impl CallTree {
    /// Rebuilds the calls of a trace and keeps what the filter asks for.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<CallTree> {
        todo!("{trace:?} {filter:?}")
    }
}
