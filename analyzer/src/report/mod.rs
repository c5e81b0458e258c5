//! Values into text, SVG and JSON. Only here does anything know a terminal or inferno.

pub mod flame;
pub mod info;
pub mod stats;
pub mod tree;
mod trust;

pub use trust::trust_line;
