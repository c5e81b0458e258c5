//! Lines with their hits and times: a terminal's listing, and JSON.

mod json;
mod listing;
mod shade;

pub use json::write_json;
pub use listing::{Options, write};
