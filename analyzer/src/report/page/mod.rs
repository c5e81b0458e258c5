//! Pages for a browser: one file that holds everything and asks nobody for anything.
//!
//! ```text
//! shell.html   head, policy, header, footer, data         ◀─ Shell: its styles, scripts and data
//!  └ NAME.html fills in what the page shows               ◀─ the report's own template
//! base.css, dom.js, paint.js, listing.js, minimap.js      what every page of source lines needs
//! ```
//!
//! Names and texts are a stranger's. The template escapes what it is given, data stands in elements that no browser runs,
//! and the policy lets nothing run but the scripts whose hashes it names.

mod data;
mod paint;
mod shell;

pub use data::Data;
pub use paint::Painted;
pub use shell::Shell;

/// Styles of every page.
pub const STYLE: &str = include_str!("base.css");

/// Scripts of every page: elements and numbers, highlighted lines, long listings, the map beside them.
pub const SCRIPT: &str = concat!(
    include_str!("dom.js"),
    include_str!("paint.js"),
    include_str!("listing.js"),
    include_str!("minimap.js")
);
