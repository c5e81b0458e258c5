//! The source texts that runs have of one file, and their lines matched by a patience diff.
//!
//! The first known text is the base version. A line of another version is identified by the base
//! line that it matches:
//!
//! ```text
//! base                   1 import x     2 def f():     3     return x     4
//! other version          1 import x     2 import y     3 def f():         4     return x
//! as a line of base      1              none           2                  3
//! ```
//!
//! Merged into one text, lines that a single version has keep their position relative to the lines
//! in common:
//!
//! ```text
//! base            1 a     2 x            3 c
//! other version   1 a            2 b     3 c
//! merged          a       b       x      c
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use similar::{Algorithm, DiffOp, DiffableStr, TextDiff};

use super::run::Side;

/// The time after which the diff of two texts gives up on a minimal result and returns an
/// approximate one.
const DIFF_TIMEOUT: Duration = Duration::from_secs(2);

/// A line of a file, the same one in all versions that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId {
    /// The line number, from 1, in that version.
    pub line: u32,
    /// The version that `line` counts in: 0, the base, for every line that the base has.
    pub version: u32,
}

/// A line of the merged text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedLine {
    /// The line.
    pub line: LineId,
    /// Its number in the first text of the old side that has it.
    pub old: Option<u32>,
    /// Its number in the first text of the new side that has it.
    pub new: Option<u32>,
}

/// What is known of the text of a file that one side executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutedText<'a> {
    /// No run of the side executed the file.
    NotRun,
    /// A run executed the file, and its trace does not hold the text.
    Unknown,
    /// The text that the first run of the side executed.
    Known(&'a str),
}

/// The versions of one file's text, the base version first.
#[derive(Debug, Default)]
pub struct TextVersions {
    base: Option<Arc<str>>,
    others: Vec<OtherVersion>,
    versions: FxHashMap<Arc<str>, u32>,
    /// The version of each run, by side; none where the text is unknown.
    runs: [Vec<Option<u32>>; 2],
}

#[derive(Debug)]
struct OtherVersion {
    text: Arc<str>,
    /// The base line that each line matches. Indexed by line number; entry 0 is unused.
    to_base: Vec<Option<u32>>,
}

impl TextVersions {
    /// Adds the text of one run. Returns its version; that of an unknown text is 0, the base.
    pub fn add(&mut self, side: Side, text: Option<&str>) -> u32 {
        let version = text.map(|text| self.version(text));
        self.runs[side as usize].push(version);
        version.unwrap_or(0)
    }

    fn version(&mut self, text: &str) -> u32 {
        if let Some(&version) = self.versions.get(text) {
            return version;
        }
        let text: Arc<str> = text.into();
        let version = match &self.base {
            None => {
                self.base = Some(text.clone());
                0
            }
            Some(base) => {
                let to_base = match_lines(&text, base);
                self.others.push(OtherVersion { text: text.clone(), to_base });
                self.others.len() as u32
            }
        };
        self.versions.insert(text, version);
        version
    }

    /// The line with that number in a version.
    pub fn line_id(&self, version: u32, line: u32) -> LineId {
        let other = (version as usize).checked_sub(1).and_then(|index| self.others.get(index));
        match other.map(|other| other.to_base.get(line as usize).copied().flatten()) {
            None => LineId { line, version: 0 },
            Some(Some(line)) => LineId { line, version: 0 },
            Some(None) => LineId { line, version },
        }
    }

    /// The text of a line, if the version is known and has the line.
    pub fn line_text(&self, id: LineId) -> Option<&str> {
        let text = self.text(id.version)?;
        text.lines().nth((id.line as usize).checked_sub(1)?)
    }

    /// The text of a version.
    pub fn text(&self, version: u32) -> Option<&str> {
        match (version as usize).checked_sub(1) {
            None => self.base.as_deref(),
            Some(index) => self.others.get(index).map(|other| &*other.text),
        }
    }

    /// The text that a side executed. It is unknown if that of any run is.
    pub fn executed(&self, side: Side) -> ExecutedText<'_> {
        let runs = &self.runs[side as usize];
        match runs.iter().flatten().next().and_then(|&version| self.text(version)) {
            _ if runs.is_empty() => ExecutedText::NotRun,
            Some(text) if runs.iter().all(Option::is_some) => ExecutedText::Known(text),
            _ => ExecutedText::Unknown,
        }
    }

    /// All versions merged into one text. Each line occurs once, and the order agrees with that of
    /// every version.
    pub fn merged_lines(&self) -> Vec<MergedLine> {
        let base_lines = self.base.as_deref().map_or(0, |base| base.tokenize_lines().len() as u32);
        // Lines that the base does not have, by the base line that they follow.
        let mut insertions: BTreeMap<u32, Vec<LineId>> = BTreeMap::new();
        for (other, version) in self.others.iter().zip(1..) {
            let mut after = 0;
            for (line, &base_line) in (1..).zip(other.to_base.iter().skip(1)) {
                match base_line {
                    Some(base_line) => after = base_line,
                    None => insertions.entry(after).or_default().push(LineId { line, version }),
                }
            }
        }
        let numbers = [Side::Old, Side::New].map(|side| self.line_numbers(side));
        let merged = |line: LineId| {
            let [old, new] = numbers.each_ref().map(|numbers| numbers.get(&line).copied());
            MergedLine { line, old, new }
        };
        let lines = (0..=base_lines).flat_map(|line| {
            let inserted = insertions.get(&line).into_iter().flatten().copied();
            Some(LineId { line, version: 0 }).filter(|base| base.line > 0).into_iter().chain(inserted)
        });
        lines.map(merged).collect()
    }

    /// The lines that a side has, each with its number in the first version of the side that has
    /// it.
    fn line_numbers(&self, side: Side) -> FxHashMap<LineId, u32> {
        let mut versions: Vec<u32> = Vec::new();
        for version in self.runs[side as usize].iter().map(|version| version.unwrap_or(0)) {
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        let mut numbers = FxHashMap::default();
        for version in versions {
            let lines = self.text(version).map_or(0, |text| text.tokenize_lines().len() as u32);
            for line in 1..=lines {
                numbers.entry(self.line_id(version, line)).or_insert(line);
            }
        }
        numbers
    }
}

/// The base line that each line of a text matches. Indexed by line number; entry 0 is unused.
fn match_lines(text: &str, base: &str) -> Vec<Option<u32>> {
    let diff =
        TextDiff::configure().algorithm(Algorithm::Patience).timeout(DIFF_TIMEOUT).diff_lines(text, base);
    let mut lines = vec![None];
    for op in diff.ops() {
        match *op {
            DiffOp::Equal { new_index, len, .. } => {
                lines.extend((new_index..new_index + len).map(|index| u32::try_from(index + 1).ok()));
            }
            DiffOp::Delete { old_len, .. } | DiffOp::Replace { old_len, .. } => {
                lines.resize(lines.len() + old_len, None);
            }
            DiffOp::Insert { .. } => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    //! Lines that moved, and lines that were added or removed.

    use super::*;

    #[test]
    fn a_line_is_matched_across_versions() {
        let mut texts = TextVersions::default();
        let base = texts.add(Side::New, Some("import x\ndef f():\n    return x\n"));
        let other = texts.add(Side::Old, Some("import x\nimport y\ndef f():\n    return x + y\n"));
        assert_eq!((base, other), (0, 1));
        let base_line = |line| LineId { line, version: 0 };
        let other_line = |line| LineId { line, version: 1 };
        let ids: Vec<LineId> = (1..=4).map(|line| texts.line_id(other, line)).collect();
        assert_eq!(ids, [base_line(1), other_line(2), base_line(2), other_line(4)]);
        assert_eq!(texts.line_id(base, 3), base_line(3));
        assert_eq!(texts.line_text(other_line(4)), Some("    return x + y"));
        assert_eq!(texts.line_text(base_line(3)), Some("    return x"));
        assert_eq!(texts.line_text(base_line(9)), None);
    }

    #[test]
    fn equal_texts_are_one_version_and_an_unknown_text_is_the_base() {
        let mut texts = TextVersions::default();
        assert_eq!(
            [None, Some("a\n"), Some("b\n"), Some("a\n"), None].map(|text| texts.add(Side::Old, text)),
            [0, 0, 1, 0, 0]
        );
        assert_eq!(texts.line_id(0, 70), LineId { line: 70, version: 0 });
        assert_eq!(texts.line_id(1, 70), LineId { line: 70, version: 1 });
    }

    /// ```text
    /// old   a b c e        new   a x c d e       another new one   a x c e f
    /// ```
    #[test]
    fn versions_are_merged_into_one_text() {
        let mut texts = TextVersions::default();
        texts.add(Side::New, Some("a\nx\nc\nd\ne\n"));
        texts.add(Side::New, Some("a\nx\nc\ne\nf"));
        texts.add(Side::Old, Some("a\nb\nc\ne\n"));
        let lines: Vec<_> = texts
            .merged_lines()
            .into_iter()
            .map(|merged| {
                (texts.line_text(merged.line).expect("the version is known"), merged.old, merged.new)
            })
            .collect();
        assert_eq!(
            lines,
            [
                ("a", Some(1), Some(1)),
                ("b", Some(2), None),
                ("x", None, Some(2)),
                ("c", Some(3), Some(3)),
                ("d", None, Some(4)),
                ("e", Some(4), Some(5)),
                ("f", None, Some(5)),
            ]
        );
    }

    #[test]
    fn the_executed_text_is_known_if_every_run_of_the_side_has_it() {
        let mut texts = TextVersions::default();
        assert_eq!((texts.executed(Side::Old), texts.merged_lines()), (ExecutedText::NotRun, vec![]));
        texts.add(Side::New, Some("a\n"));
        assert_eq!(
            (texts.executed(Side::Old), texts.executed(Side::New)),
            (ExecutedText::NotRun, ExecutedText::Known("a\n"))
        );
        texts.add(Side::New, None);
        assert_eq!(texts.executed(Side::New), ExecutedText::Unknown);
    }
}
