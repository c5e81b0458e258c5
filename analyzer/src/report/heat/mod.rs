//! The heat map: source lines with their hits and times, as an HTML page, a terminal listing, and
//! JSON.

mod bar;
mod json;
mod listing;
mod page;

pub use json::write_json;
pub use listing::{HeatListingOptions, write};
pub use page::{HeatPageOptions, write_page};
