//! Code objects, as the `code` column identifies them.

use std::fmt;

/// A code object, identified by file, first line and qualified name. Its string in the `code`
/// column is `FILE:FIRSTLINE:QUALNAME`, which is parsed from the right: a file name may contain a
/// colon, and a colon in a qualified name is written as `;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code<'a> {
    /// `co_filename`.
    pub file: &'a str,
    /// `co_firstlineno`, or `None` if it is unknown.
    pub first_line: Option<u32>,
    /// `co_qualname`. Before CPython 3.11, and for providers that only have that, `co_name`.
    pub qualname: &'a str,
}

impl<'a> Code<'a> {
    /// Parses a string of the `code` column. A string with fewer than two colons is a qualified
    /// name without a file.
    pub fn parse(code: &'a str) -> Self {
        let mut parts = code.rsplitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(qualname), Some(line), Some(file)) => {
                Code { file, first_line: line.parse().ok(), qualname }
            }
            _ => Code { file: "", first_line: None, qualname: code },
        }
    }

    /// `co_name`: the last component of the qualified name.
    pub fn name(&self) -> &'a str {
        self.qualname.rsplit('.').next().unwrap_or(self.qualname)
    }
}

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.first_line {
            write!(f, "{line}")?;
        }
        write!(f, ":{}", self.qualname.replace(':', ";"))
    }
}
