//! Where events come from.

pub(crate) mod agent;
pub(crate) mod usdt;

use std::os::fd::BorrowedFd;

use crate::Result;
use crate::output::counts::Sums;
use crate::output::rows::Rows;

/// A source of events.
pub(crate) trait Provider {
    /// Moves what happened since the last call into `rows`. Returns the number of events.
    fn drain(&mut self, rows: &mut Rows) -> Result<u64>;

    /// Readable when the next drain is wanted at once; none for a provider that can always wait.
    fn call(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Adds what it has counted itself up to now, instead of giving rows.
    fn count(&self, _: &mut Sums, _now_ns: i64) -> Result<()> {
        Ok(())
    }

    /// Lets go of the program, which runs on untraced, and moves the rest. Nothing is drained after this.
    fn stop(&mut self, rows: &mut Rows) -> Result<()>;
}
