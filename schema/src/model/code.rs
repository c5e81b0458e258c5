//! Which code object a row belongs to.

use std::fmt;

/// A code object by file, first line and qualified name, as the `code` column holds it: `FILE:FIRSTLINE:QUALNAME`.
/// Read from the right, since a file's name may hold a colon; one in a qualified name is written as `;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code<'a> {
    /// `co_filename`.
    pub file: &'a str,
    /// `co_firstlineno`, none when unknown.
    pub first_line: Option<u32>,
    /// `co_qualname`, or `co_name` before CPython 3.11 and where only that is known.
    pub qualname: &'a str,
}

impl<'a> Code<'a> {
    /// Takes a `code` column's string apart. What has no two colons is a qualified name without a file.
    pub fn parse(code: &'a str) -> Self {
        let mut parts = code.rsplitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(qualname), Some(line), Some(file)) => {
                Code { file, first_line: line.parse().ok(), qualname }
            }
            _ => Code { file: "", first_line: None, qualname: code },
        }
    }

    /// `co_name`: the last part of the qualified name.
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
