//! Single calls, one after the other, as the rows give them.
//!
//! ```text
//! rows       E a    E b    R b    R a
//! moments    Enter  Enter  Leave  Leave
//!            a      b      b      a       each with its call, and who called it
//! ```
//!
//! A call tree holds every path once; this is every call once, under the same rules (`docs/design/tree.md`) and the same
//! filters, in memory that grows with the open calls alone. Within a thread, moments come in the order of its time and
//! are balanced: every [`Moment::Enter`] has its [`Moment::Leave`], however the stream is damaged.

mod call;
mod moment;
mod stream;
mod thread;

#[cfg(test)]
pub(crate) mod tests;

use pyrec_schema::{Columns, Trace};

pub use call::{Call, End, Ending};
pub use moment::{Callers, Moment, Visit};
pub use stream::Calls;

use crate::order;
use crate::tree::{self, Counts, Repairs, Window};
use crate::{Filter, Result};

/// What a whole trace holds, whatever was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What was counted.
    pub counts: Counts,
    /// What had to be mended.
    pub repairs: Repairs,
    /// Bytes of a cut file that could not be read.
    pub torn_bytes: u64,
}

/// Reads a trace and tells every moment that the filter leaves, thread by thread in stretches of a row group or less.
/// Columns that are not read are missing in the events of the moments; `value` and `text` are read in any case.
pub fn read(trace: &Trace, filter: &Filter, columns: Columns, visit: &mut impl Visit) -> Result<Seen> {
    let columns = Columns { value: true, text: true, ..columns };
    let mut calls = Calls::new(filter, trace.names(), window(trace, filter)?);
    let mut counts = Counts::default();
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, columns)? {
                let batch = batch?;
                counts.add(&batch);
                batch.iter().try_for_each(|event| calls.push(&event, visit))?;
            }
        }
    }
    let repairs = calls.finish(visit)?;
    Ok(Seen { counts, repairs, torn_bytes: trace.files().iter().map(|file| file.torn_bytes()).sum() })
}

/// The stretch of time that a filter asks for.
pub(crate) fn window(trace: &Trace, filter: &Filter) -> Result<Window> {
    Ok(match filter.time {
        Some(_) => tree::window(filter, order::origin_ns(trace)?.unwrap_or(0)),
        None => Window::ALL,
    })
}
