//! Where events come from.

pub(crate) mod agent;
pub(crate) mod usdt;

use std::os::fd::BorrowedFd;

use crate::Result;
use crate::output::counts::Sums;
use crate::output::row_writer::RowWriter;

/// A source of events.
pub(crate) trait Provider {
    /// Moves what happened since the last call into `rows`. Returns the number of events.
    fn drain(&mut self, rows: &mut RowWriter) -> Result<u64>;

    /// Readable when the next drain is wanted at once; none for a provider that can always wait.
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Adds what it has counted itself up to now, instead of giving rows.
    fn add_counts(&self, _: &mut Sums, _now_ns: i64) -> Result<()> {
        Ok(())
    }

    /// Lets go of the program, which runs on untraced, and moves the rest. Nothing is drained after this.
    fn stop(&mut self, rows: &mut RowWriter) -> Result<()>;
}
