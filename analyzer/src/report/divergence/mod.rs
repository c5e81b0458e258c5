//! Where two runs part: for people, in the manner of a diff, and as JSON.

mod json;
mod listing;

pub use json::write_json;
pub use listing::{Options, write};
