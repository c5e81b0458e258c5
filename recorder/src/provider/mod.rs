//! Providers: the sources of events.
//!
//! ```text
//! agent   hooks in the process ─▶ rings and definitions ─▶ drain ─┐
//!                                                                  ├─▶ RowWriter
//! usdt    static markers ─▶ BPF program ─▶ its ring buffer ─▶ drain ─┘
//! ```

pub(crate) mod agent;
pub(crate) mod usdt;

use std::os::fd::BorrowedFd;

use crate::Result;
use crate::output::counts::CountTotals;
use crate::output::row_writer::RowWriter;

/// A source of events. Both providers write the same rows for the same events, so nothing behind
/// this trait depends on which one it is.
pub(crate) trait Provider {
    /// Writes the events since the last call as rows. Returns their number.
    fn drain(&mut self, rows: &mut RowWriter) -> Result<u64>;

    /// A descriptor that is readable when the next drain should not wait. None if every drain can
    /// wait for its turn.
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Adds the counts that the provider keeps itself instead of writing rows.
    fn add_counts(&self, _: &mut CountTotals, _now_ns: i64) -> Result<()> {
        Ok(())
    }

    /// Detaches from the program, which continues untraced, and writes the remaining rows. The last
    /// call.
    fn stop(&mut self, rows: &mut RowWriter) -> Result<()>;
}
