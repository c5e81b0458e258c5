//! Values into text, SVG and JSON. Only here does anything know a terminal or inferno.

#[cfg(test)]
mod any_events;
pub mod audit;
pub mod diff;
pub mod divergence;
pub mod dump;
pub mod export;
pub mod flame;
pub mod gc;
pub mod heat;
pub mod imports;
mod indent;
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
mod units;
pub mod worst;

pub use trust::trust_line;
pub use units::{Bytes, Count, Time, plural};

use crate::escape;

/// A word of a stranger's program, safe to print.
pub fn plain(word: &str) -> String {
    escape::Plain(word).to_string()
}
