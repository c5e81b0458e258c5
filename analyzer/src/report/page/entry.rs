//! A file in the list of files, as it stands there before any script runs.

use super::super::escape::Plain;

/// A file in the list of files. The template `page/reader.html` looks for them under the name `rows`.
#[derive(Debug)]
pub struct Entry {
    /// Its number among the data.
    pub number: usize,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// Its sums.
    pub numbers: String,
}

impl Entry {
    /// A file whose names may be anything.
    pub fn new(number: usize, name: &str, path: &str, numbers: String) -> Entry {
        Entry { number, name: Plain(name).to_string(), path: Plain(path).to_string(), numbers }
    }
}

/// A file in a few words: its module, else its name without the way there.
pub fn file_name<'a>(module: Option<&'a str>, file: &'a str) -> &'a str {
    module.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file))
}
