//! The parts that all pages for a browser share. A page is one HTML file that contains its styles,
//! scripts and data and loads nothing.
//!
//! ```text
//! shell.html        head, content security policy, header, footer, data   ◀─ Shell
//!  └ viewer.html    list of files, source lines, minimap, key bindings    ◀─ FileEntry
//!     └ heat.html, diff.html                                              ◀─ the report's own template
//! base.css, viewer.css                                    styles
//! dom.js, highlight.js, listing.js, minimap.js            drawing of source lines
//! data.js, file_list.js, search.js, viewer.js             files, search, navigation
//! ```
//!
//! Names and source texts come from the recorded program and are not trusted. The templates escape
//! them, data stands in elements that browsers do not run, and the policy allows only the style and
//! the script whose hashes it contains.

mod highlight;
mod shell;

use crate::escape::Printable;

pub use highlight::HighlightedSource;
pub use shell::{EmbeddedData, Shell};

/// A file in the list of files, as it is shown before the scripts run. The template
/// `page/viewer.html` reads a list of them from the field `files` of the report's template.
#[derive(Debug)]
pub struct FileEntry {
    /// Its number in the embedded data.
    pub number: usize,
    /// Its short name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its sums, as text.
    pub numbers: String,
}

impl FileEntry {
    /// An entry whose name and path are escaped.
    pub fn new(number: usize, name: &str, path: &str, numbers: String) -> FileEntry {
        FileEntry { number, name: Printable(name).to_string(), path: Printable(path).to_string(), numbers }
    }
}
