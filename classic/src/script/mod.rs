//! Generates capture scripts for one Python: a probe for each marker, which prints a line that
//! [`import`](crate::import) reads.

mod bpftrace;
mod dtrace;
mod stap;

use pyrec_schema::{Marker, MarkerGroup};

use crate::capture_format::{Argument, arguments};

pub use bpftrace::bpftrace;
pub use dtrace::dtrace;
pub use stap::{stap, tapset};

/// The Python that a script is generated for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPython {
    /// The path of the program.
    pub program: String,
    /// The path of the library that contains the interpreter, if the program itself does not.
    pub library: Option<String>,
    /// The version, such as `3.13.0`, if it is known.
    pub version: Option<String>,
    /// The marker groups to capture. Only groups whose markers this Python has.
    pub groups: Vec<MarkerGroup>,
    /// Whether `function__entry` fires only while some probe is attached to `line`.
    pub entry_needs_line: bool,
}

impl TargetPython {
    fn markers(&self) -> impl Iterator<Item = Marker> {
        self.groups.iter().flat_map(|group| group.markers()).copied()
    }

    /// Whether the script needs a probe on `line` that prints nothing.
    fn needs_line_probe(&self) -> bool {
        self.entry_needs_line
            && self.groups.contains(&MarkerGroup::Function)
            && !self.groups.contains(&MarkerGroup::Line)
    }

    /// The path of the file that contains the markers.
    fn image(&self) -> &str {
        self.library.as_deref().unwrap_or(&self.program)
    }

    /// The last fields of the capture's header line: the version and the groups.
    fn header_fields(&self) -> String {
        let groups: Vec<&str> = self.groups.iter().map(|group| group.name()).collect();
        format!("{}\\t{}", self.version.as_deref().unwrap_or("unknown"), groups.join(","))
    }

    /// Comment lines that describe the script and its usage. Each line begins with `prefix`.
    fn usage_comment(&self, prefix: &str, usage: &[&str]) -> String {
        let version = self.version.as_deref().unwrap_or("of an unknown version");
        let mut comment = format!(
            "{prefix} Captures the static markers of CPython {version} in {}, for `pyrec import`.\n{prefix}\n",
            printable(self.image())
        );
        for line in usage {
            comment += &format!("{prefix}     {line}\n");
        }
        comment += &format!("{prefix}     pyrec import capture.txt\n");
        if self.needs_line_probe() {
            comment += &format!(
                "{prefix}\n{prefix} This version fires function__entry only while line is probed, too, hence the line probe.\n"
            );
        }
        comment
    }
}

/// A path for use in a comment.
fn printable(path: &str) -> String {
    path.chars().map(|c| if c.is_control() || c == '*' { '?' } else { c }).collect()
}

/// A path for use within double quotes.
fn quoted(path: &str) -> String {
    path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The `printf` format of a marker's event line, and the list of values for it. `digits` formats an
/// integer. `head` holds the tool's expressions for time, process and thread; `number` and `text`
/// give its expressions for arguments.
fn print_arguments(
    marker: Marker,
    digits: &str,
    head: [&str; 3],
    number: impl Fn(Argument) -> String,
    text: impl Fn(u8) -> String,
) -> (String, String) {
    let mut format = format!("{digits}\\t%d\\t%d\\t{}", marker.name());
    let mut values = head.map(str::to_owned).to_vec();
    for &argument in arguments(marker).unwrap_or_default() {
        match argument {
            Argument::Int(_) | Argument::Long(_) => {
                format += "\\t";
                format += digits;
                values.push(number(argument));
            }
            Argument::Text(at) => {
                format += "\\t%s";
                values.push(text(at));
            }
        }
    }
    (format + "\\n", values.join(", "))
}

#[cfg(test)]
mod tests;
