//! Lines with their hits and times: a page, a terminal's listing, and JSON.

mod json;
mod listing;
mod page;
mod shade;

pub use json::write_json;
pub use listing::{Options, write};
pub use page::{PageOptions, write_page};
