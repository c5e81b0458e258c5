//! Reports: what a measure or a trace looks like as text, JSON, SVG, HTML, or another tool's
//! format.
//!
//! A report takes a plain value and writes it to an `impl Write`. Only here are terminals, SVG and
//! HTML known.

#[cfg(test)]
mod arbitrary_events;
pub mod audit;
pub mod diff;
mod display;
pub mod divergence;
pub mod dump;
pub mod export;
pub mod flame;
pub mod gc;
pub mod heat;
pub mod imports;
pub mod info;
pub mod instances;
mod json;
mod page;
pub mod share;
pub mod stats;
mod table;
pub mod threads;
pub mod tree;
mod trust;
pub mod worst;

pub use display::{Bytes, Count, Time, plural};
pub use trust::trust_line;

/// A text of the recorded program with control characters escaped, so that it can be printed on a
/// terminal.
pub fn printable(text: &str) -> String {
    crate::escape::Printable(text).to_string()
}
