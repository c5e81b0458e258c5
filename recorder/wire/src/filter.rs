//! The filter of the functions to record.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{Reader, Writer};
use crate::glob::Glob;

/// Selects the functions to record, by the same rules as the analyzer's options `--include` and
/// `--exclude`. The default selects all.
#[derive(Clone, Debug, Default)]
pub struct FunctionFilter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

/// A pattern with invalid syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidGlob(pub String);

/// Matches a function's name, its qualified name, its file's path, or the end of that path after a
/// slash.
#[derive(Clone, Debug)]
struct Pattern {
    whole: Glob,
    /// The glob after `*/`.
    path_end: Glob,
}

impl FunctionFilter {
    /// Selects the functions that match one of `include`, or all if that is empty, except for those
    /// that match one of `exclude`.
    ///
    /// # Errors
    ///
    /// Fails if a pattern has invalid syntax or is empty.
    pub fn new(include: &[String], exclude: &[String]) -> Result<FunctionFilter, InvalidGlob> {
        let parse = |globs: &[String]| globs.iter().map(Pattern::parse).collect::<Result<Vec<_>, _>>();
        Ok(FunctionFilter { include: parse(include)?, exclude: parse(exclude)? })
    }

    /// Whether all functions are recorded.
    pub fn records_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether a function is recorded. The file of a C function is empty.
    pub fn is_recorded(&self, file: &str, qualname: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(file, qualname));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Encodes a filter as the contents of the file `filter`.
    pub fn encode(include: &[String], exclude: &[String]) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.list(include);
        out.list(exclude);
        out.0
    }

    /// Decodes the contents of the file `filter`. Returns `None` if they are malformed.
    pub fn decode(bytes: &[u8]) -> Option<FunctionFilter> {
        let mut fields = Reader(bytes);
        let (include, exclude) = (fields.list()?, fields.list()?);
        FunctionFilter::new(&include, &exclude).ok().filter(|_| fields.0.is_empty())
    }
}

impl Pattern {
    fn parse(text: &String) -> Result<Pattern, InvalidGlob> {
        let glob = |text: &str| Glob::parse(text).ok_or_else(|| InvalidGlob(text.into()));
        if text.is_empty() {
            return Err(InvalidGlob(String::new()));
        }
        Ok(Pattern { whole: glob(text)?, path_end: glob(&alloc::format!("*/{text}"))? })
    }

    fn is_match(&self, file: &str, qualname: &str) -> bool {
        // As in the trace's `code` column, where colons separate the parts.
        let qualname = qualname.replace(':', ";");
        let name = qualname.rsplit('.').next().unwrap_or(&qualname);
        self.whole.is_match(name)
            || self.whole.is_match(&qualname)
            || self.whole.is_match(file)
            || self.path_end.is_match(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> FunctionFilter {
        let texts = |globs: &[&str]| globs.iter().map(|glob| String::from(*glob)).collect::<Vec<_>>();
        FunctionFilter::decode(&FunctionFilter::encode(&texts(include), &texts(exclude)))
            .expect("the patterns are valid")
    }

    #[test]
    fn a_pattern_matches_names_and_ends_of_paths() {
        let is_recorded =
            |glob| filter(&[glob], &[]).is_recorded("/lib/json/decoder.py", "JSONDecoder.decode");
        for glob in ["decode", "JSONDecoder.*", "decoder.py", "json/*", "/lib/*", "d?code"] {
            assert!(is_recorded(glob), "{glob}");
        }
        for glob in ["decod", "coder.py", "JSONDecoder", "son/*"] {
            assert!(!is_recorded(glob), "{glob}");
        }
    }

    #[test]
    fn exclude_wins_over_include() {
        let filter = filter(&["json/*", "len"], &["scan"]);
        assert!(filter.is_recorded("/lib/json/a.py", "parse"));
        assert!(filter.is_recorded("", "len"));
        assert!(!filter.is_recorded("/lib/json/a.py", "scan"));
        assert!(!filter.is_recorded("/lib/xml/a.py", "parse"));
        assert!(FunctionFilter::default().is_recorded("a.py", "f"));
    }

    #[test]
    fn invalid_patterns_are_rejected() {
        assert_eq!(
            FunctionFilter::new(&[], &["[".into()]).expect_err("the pattern is invalid"),
            InvalidGlob("[".into())
        );
        assert_eq!(
            FunctionFilter::new(&[String::new()], &[]).expect_err("the pattern is invalid"),
            InvalidGlob("".into())
        );
        assert!(FunctionFilter::decode(&[1, 0, 0]).is_none());
    }
}
