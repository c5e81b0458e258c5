//! Which functions are recorded.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{Reader, Writer};
use crate::glob::Glob;

/// Which functions are recorded, by the rules of the reports' flags of the same names. The default records all.
#[derive(Clone, Debug, Default)]
pub struct FunctionFilter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

/// A text that is no glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidGlob(pub String);

/// A glob on a function's name, its qualified name, or the end of its file's path.
#[derive(Clone, Debug)]
struct Pattern {
    whole: Glob,
    tail: Glob,
}

impl FunctionFilter {
    /// Only functions that match one of `include`, or all if that is empty; of those, none that match one of `exclude`.
    pub fn new(include: &[String], exclude: &[String]) -> Result<FunctionFilter, InvalidGlob> {
        let read = |globs: &[String]| globs.iter().map(Pattern::parse).collect::<Result<Vec<_>, _>>();
        Ok(FunctionFilter { include: read(include)?, exclude: read(exclude)? })
    }

    /// Whether every function is recorded.
    pub fn records_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether a function is recorded. One written in C has no file.
    pub fn is_recorded(&self, file: &str, qualname: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(file, qualname));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// The bytes of the file `filter`.
    pub fn encode(include: &[String], exclude: &[String]) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.list(include);
        out.list(exclude);
        out.0
    }

    /// Reads those bytes; none where no recorder of this version wrote them.
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
        Ok(Pattern { whole: glob(text)?, tail: glob(&alloc::format!("*/{text}"))? })
    }

    fn is_match(&self, file: &str, qualname: &str) -> bool {
        // As in a row's `code`, where a colon ends the line's number.
        let qualname = qualname.replace(':', ";");
        let name = qualname.rsplit('.').next().unwrap_or(&qualname);
        self.whole.is_match(name)
            || self.whole.is_match(&qualname)
            || self.whole.is_match(file)
            || self.tail.is_match(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> FunctionFilter {
        let texts = |globs: &[&str]| globs.iter().map(|glob| String::from(*glob)).collect::<Vec<_>>();
        FunctionFilter::decode(&FunctionFilter::encode(&texts(include), &texts(exclude))).expect("globs")
    }

    #[test]
    fn a_glob_matches_names_and_ends_of_paths() {
        let has = |glob| filter(&[glob], &[]).is_recorded("/lib/json/decoder.py", "JSONDecoder.decode");
        for glob in ["decode", "JSONDecoder.*", "decoder.py", "json/*", "/lib/*", "d?code"] {
            assert!(has(glob), "{glob}");
        }
        for glob in ["decod", "coder.py", "JSONDecoder", "son/*"] {
            assert!(!has(glob), "{glob}");
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
    fn only_globs_are_taken() {
        assert_eq!(FunctionFilter::new(&[], &["[".into()]).expect_err("no glob"), InvalidGlob("[".into()));
        assert_eq!(FunctionFilter::new(&[String::new()], &[]).expect_err("no glob"), InvalidGlob("".into()));
        assert!(FunctionFilter::decode(&[1, 0, 0]).is_none());
    }
}
