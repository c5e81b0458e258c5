//! Capture scripts for one Python: for each marker a probe that prints a line of [the layout](crate::import).

mod bpftrace;
mod dtrace;
mod stap;

use pyrec_schema::{Group, Marker};

use crate::layout::{Field, fields};

pub use bpftrace::bpftrace;
pub use dtrace::dtrace;
pub use stap::{stap, tapset};

/// A Python, as far as a script has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// Its program.
    pub program: String,
    /// The library that holds the interpreter, where the program itself does not.
    pub library: Option<String>,
    /// Its version, as `3.13.0`.
    pub version: Option<String>,
    /// The groups of markers to capture, all of which it has.
    pub groups: Vec<Group>,
    /// Whether `function__entry` fires only while somebody listens to `line`.
    pub entry_needs_line: bool,
}

impl Python {
    fn markers(&self) -> impl Iterator<Item = Marker> {
        self.groups.iter().flat_map(|group| group.markers()).copied()
    }

    /// Whether a probe that prints nothing has to listen to `line`.
    fn listens_to_line(&self) -> bool {
        self.entry_needs_line && self.groups.contains(&Group::Function) && !self.groups.contains(&Group::Line)
    }

    /// The file that has the markers.
    fn image(&self) -> &str {
        self.library.as_deref().unwrap_or(&self.program)
    }

    /// What the head of a capture says of it.
    fn facts(&self) -> String {
        let groups: Vec<&str> = self.groups.iter().map(|group| group.name()).collect();
        format!("{}\\t{}", self.version.as_deref().unwrap_or("unknown"), groups.join(","))
    }

    /// Lines that say what the script is for and how to use it, each after that sign.
    fn about(&self, sign: &str, usage: &[&str]) -> String {
        let version = self.version.as_deref().unwrap_or("of an unknown version");
        let mut about = format!(
            "{sign} Captures what CPython {version} in {} does, for `pyrec import`.\n{sign}\n",
            printable(self.image())
        );
        for line in usage {
            about += &format!("{sign}     {line}\n");
        }
        about += &format!("{sign}     pyrec import capture.txt\n");
        if self.listens_to_line() {
            about += &format!(
                "{sign}\n{sign} This version fires function__entry only while somebody listens to line, so a probe does.\n"
            );
        }
        about
    }
}

/// A path as a comment can hold it.
fn printable(path: &str) -> String {
    path.chars().map(|c| if c.is_control() || c == '*' { '?' } else { c }).collect()
}

/// A path within double quotes.
fn quoted(path: &str) -> String {
    path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The format of a marker's line, and what is to be printed by it: time, process, thread, and the arguments, each by
/// the words of a tool, which are also what a number is printed with.
fn line(
    marker: Marker,
    digits: &str,
    head: [&str; 3],
    number: impl Fn(Field) -> String,
    text: impl Fn(u8) -> String,
) -> (String, String) {
    let mut format = format!("{digits}\\t%d\\t%d\\t{}", marker.name());
    let mut values = head.map(str::to_owned).to_vec();
    for &field in fields(marker).unwrap_or_default() {
        match field {
            Field::Int(_) | Field::Long(_) => {
                format += "\\t";
                format += digits;
                values.push(number(field));
            }
            Field::Text(at) => {
                format += "\\t%s";
                values.push(text(at));
            }
        }
    }
    (format + "\\n", values.join(", "))
}

#[cfg(test)]
mod tests;
