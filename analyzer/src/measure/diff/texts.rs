//! Lines matched through changes of the source.
//!
//! ```text
//! base        1 import x     2 def f():     3     return x     4
//! other       1 import x     2 import y     3 def f():         4     return x
//! on base     1              none           2                  3
//! ```
//!
//! As one text, what only one version has stands where it was:
//!
//! ```text
//! base        1 a     2 x            3 c
//! other       1 a            2 b     3 c
//! rows        a       b       x      c
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use similar::{Algorithm, DiffOp, DiffableStr, TextDiff};

use super::align::Side;

/// A text that takes longer to compare is compared less well.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A line of a place: its number in the base text, or in the only version that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId {
    /// Its number.
    pub line: u32,
    /// The version that the number is of; 0 is the base.
    pub version: u32,
}

/// A line of the one text that all versions make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub line: LineId,
    /// Its number in the old text, where that has it.
    pub old: Option<u32>,
    /// Its number in the new text, where that has it.
    pub new: Option<u32>,
}

/// What is known of the text that one side ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran<'a> {
    /// No run of the side came to the file.
    Nothing,
    /// Some run did, and its text is unknown.
    Unknown,
    /// That of the first run that came to it.
    Text(&'a str),
}

/// The versions of one file's text, the base first.
#[derive(Debug, Default)]
pub struct Texts {
    base: Option<Arc<str>>,
    others: Vec<Other>,
    known: FxHashMap<Arc<str>, u32>,
    /// What the runs of each side have, the old side first; none is a text that nobody knows.
    sides: [Vec<Option<u32>>; 2],
}

#[derive(Debug)]
struct Other {
    text: Arc<str>,
    /// For each of its lines, from 1, that of the base.
    on_base: Vec<Option<u32>>,
}

impl Texts {
    /// Takes the text of a run in: the number of its version. The first one that is known is the base; an unknown one is
    /// taken for it.
    pub fn add(&mut self, side: Side, text: Option<&str>) -> u32 {
        let version = text.map(|text| self.version(text));
        self.sides[side as usize].push(version);
        version.unwrap_or(0)
    }

    fn version(&mut self, text: &str) -> u32 {
        if let Some(&version) = self.known.get(text) {
            return version;
        }
        let text: Arc<str> = text.into();
        let version = match &self.base {
            None => {
                self.base = Some(text.clone());
                0
            }
            Some(base) => {
                let on_base = on_base(&text, base);
                self.others.push(Other { text: text.clone(), on_base });
                self.others.len() as u32
            }
        };
        self.known.insert(text, version);
        version
    }

    /// Which line that is in a version.
    pub fn id(&self, version: u32, line: u32) -> LineId {
        let other = (version as usize).checked_sub(1).and_then(|at| self.others.get(at));
        match other.map(|other| other.on_base.get(line as usize).copied().flatten()) {
            None => LineId { line, version: 0 },
            Some(Some(line)) => LineId { line, version: 0 },
            Some(None) => LineId { line, version },
        }
    }

    /// What stands on a line, where that is known.
    pub fn line(&self, id: LineId) -> Option<&str> {
        let text = self.text(id.version)?;
        text.lines().nth((id.line as usize).checked_sub(1)?)
    }

    /// The text of a version.
    pub fn text(&self, version: u32) -> Option<&str> {
        match (version as usize).checked_sub(1) {
            None => self.base.as_deref(),
            Some(at) => self.others.get(at).map(|other| &*other.text),
        }
    }

    /// What a side ran.
    pub fn ran(&self, side: Side) -> Ran<'_> {
        let runs = &self.sides[side as usize];
        match runs.iter().flatten().next().and_then(|&version| self.text(version)) {
            _ if runs.is_empty() => Ran::Nothing,
            Some(text) if runs.iter().all(Option::is_some) => Ran::Text(text),
            _ => Ran::Unknown,
        }
    }

    /// All versions as one text: each line once, in an order that is that of every version.
    pub fn rows(&self) -> Vec<Row> {
        let lines = self.base.as_deref().map_or(0, |base| base.tokenize_lines().len() as u32);
        let mut only_in: BTreeMap<u32, Vec<LineId>> = BTreeMap::new();
        for (other, version) in self.others.iter().zip(1..) {
            let mut after = 0;
            for (line, &on_base) in (1..).zip(other.on_base.iter().skip(1)) {
                match on_base {
                    Some(on_base) => after = on_base,
                    None => only_in.entry(after).or_default().push(LineId { line, version }),
                }
            }
        }
        let numbers = [Side::Old, Side::New].map(|side| self.numbers(side));
        let row = |line: LineId| {
            let [old, new] = numbers.each_ref().map(|numbers| numbers.get(&line).copied());
            Row { line, old, new }
        };
        let from_base = (0..=lines).map(|line| LineId { line, version: 0 });
        let rows = from_base.flat_map(|base| {
            let only = only_in.get(&base.line).into_iter().flatten().copied();
            Some(base).filter(|base| base.line > 0).into_iter().chain(only)
        });
        rows.map(row).collect()
    }

    /// The lines that a side has, with their numbers in the first of its versions that has them.
    fn numbers(&self, side: Side) -> FxHashMap<LineId, u32> {
        let mut versions: Vec<u32> = Vec::new();
        for version in self.sides[side as usize].iter().map(|version| version.unwrap_or(0)) {
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        let mut numbers = FxHashMap::default();
        for version in versions {
            let lines = self.text(version).map_or(0, |text| text.tokenize_lines().len() as u32);
            for line in 1..=lines {
                numbers.entry(self.id(version, line)).or_insert(line);
            }
        }
        numbers
    }
}

/// For each line of a text, which one of the base it is. The first entry is of no line, since lines begin with 1.
fn on_base(text: &str, base: &str) -> Vec<Option<u32>> {
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).timeout(PATIENCE).diff_lines(text, base);
    let mut lines = vec![None];
    for op in diff.ops() {
        match *op {
            DiffOp::Equal { new_index, len, .. } => {
                lines.extend((new_index..new_index + len).map(|at| u32::try_from(at + 1).ok()));
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
    //! Lines that moved, came and went.

    use super::*;

    #[test]
    fn a_line_is_followed_through_changes() {
        let mut texts = Texts::default();
        let base = texts.add(Side::New, Some("import x\ndef f():\n    return x\n"));
        let other = texts.add(Side::Old, Some("import x\nimport y\ndef f():\n    return x + y\n"));
        assert_eq!((base, other), (0, 1));
        let on_base = |line| LineId { line, version: 0 };
        let own = |line| LineId { line, version: 1 };
        let found: Vec<LineId> = (1..=4).map(|line| texts.id(other, line)).collect();
        assert_eq!(found, [on_base(1), own(2), on_base(2), own(4)]);
        assert_eq!(texts.id(base, 3), on_base(3));
        assert_eq!(texts.line(own(4)), Some("    return x + y"));
        assert_eq!(texts.line(on_base(3)), Some("    return x"));
        assert_eq!(texts.line(on_base(9)), None);
    }

    #[test]
    fn the_same_text_is_one_version_and_an_unknown_one_is_the_base() {
        let mut texts = Texts::default();
        assert_eq!(
            [None, Some("a\n"), Some("b\n"), Some("a\n"), None].map(|text| texts.add(Side::Old, text)),
            [0, 0, 1, 0, 0]
        );
        assert_eq!(texts.id(0, 70), LineId { line: 70, version: 0 });
        assert_eq!(texts.id(1, 70), LineId { line: 70, version: 1 });
    }

    /// ```text
    /// old   a b c e        new   a x c d e       another new one   a x c e f
    /// ```
    #[test]
    fn all_versions_are_one_text() {
        let mut texts = Texts::default();
        texts.add(Side::New, Some("a\nx\nc\nd\ne\n"));
        texts.add(Side::New, Some("a\nx\nc\ne\nf"));
        texts.add(Side::Old, Some("a\nb\nc\ne\n"));
        let rows: Vec<_> = texts
            .rows()
            .into_iter()
            .map(|row| (texts.line(row.line).expect("it has a text"), row.old, row.new))
            .collect();
        assert_eq!(
            rows,
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
    fn of_a_side_it_is_known_what_ran_if_all_its_runs_tell() {
        let mut texts = Texts::default();
        assert_eq!((texts.ran(Side::Old), texts.rows()), (Ran::Nothing, vec![]));
        texts.add(Side::New, Some("a\n"));
        assert_eq!((texts.ran(Side::Old), texts.ran(Side::New)), (Ran::Nothing, Ran::Text("a\n")));
        texts.add(Side::New, None);
        assert_eq!(texts.ran(Side::New), Ran::Unknown);
    }
}
