//! The line that ends every report.

use crate::measure::Trust;

/// One line that says how far to trust a report, without a line end.
pub fn trust_line(trust: &Trust) -> String {
    todo!("{trust:?}")
}
