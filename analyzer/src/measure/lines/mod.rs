//! Hits and time per source line.
//!
//! ```text
//! rows     E f    line 2    E g       R g   line 3   R f
//! time      0      1         3         7     8        9
//! f is on   ├─ 1 ──┼─ 2 ─────┼┄┄┄ 2 ┄┄┄┼─ 2 ─┼── 3 ───┤   line 2: self 3, total 7, calls g for 4
//! ```
//!
//! A call is on one line at a time: on the line of its entry until its first `line` row. The total
//! of a line includes what is called from it, so it is the time that removing the line would save.
//! Where a line is on the stack several times, only the outermost stay counts.

mod collector;
mod line_totals;
mod merge;

#[cfg(test)]
mod tests;

pub use line_totals::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
