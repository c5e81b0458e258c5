//! Pages for a browser: one file that holds everything and asks nobody for anything.
//!
//! ```text
//! shell.html       head, policy, header, footer, data     ◀─ Shell: its styles, scripts and data
//!  └ reader.html   files, lines, the map, the keys        ◀─ Entry: a file in the list
//!     └ NAME.html  what is counted, and how it is told    ◀─ the report's own template
//! base.css, reader.css                                    how all of that looks
//! dom.js, paint.js, listing.js, minimap.js                what lines are drawn with
//! book.js, files.js, search.js, reader.js                 what they are, and how one finds one's way
//! ```
//!
//! Names and texts are a stranger's. The template escapes what it is given, data stands in elements that no browser runs,
//! and the policy lets nothing run but the scripts whose hashes it names.

mod data;
mod entry;
mod paint;
mod shell;

pub use data::Data;
pub use entry::{Entry, file_name};
pub use paint::Painted;
pub use shell::Shell;

/// Styles of every page.
pub const STYLE: &str = concat!(include_str!("base.css"), include_str!("reader.css"));

/// Scripts of every page: elements and numbers, highlighted lines, long listings, the map beside them, files, the search,
/// and what keys and clicks do.
pub const SCRIPT: &str = concat!(
    include_str!("dom.js"),
    include_str!("paint.js"),
    include_str!("listing.js"),
    include_str!("minimap.js"),
    include_str!("book.js"),
    include_str!("files.js"),
    include_str!("search.js"),
    include_str!("reader.js")
);
