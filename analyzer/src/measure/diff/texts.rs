//! Lines matched through changes of the source.
//!
//! ```text
//! base        1 import x     2 def f():     3     return x     4
//! other       1 import x     2 import y     3 def f():         4     return x
//! on base     1              none           2                  3
//! ```

use std::sync::Arc;

use rustc_hash::FxHashMap;
use similar::{Algorithm, DiffOp, TextDiff};

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

/// The versions of one file's text, the base first.
#[derive(Debug, Default)]
pub struct Texts {
    base: Option<Arc<str>>,
    others: Vec<Other>,
    known: FxHashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Other {
    text: Arc<str>,
    /// For each of its lines, from 1, that of the base.
    on_base: Vec<Option<u32>>,
}

impl Texts {
    /// Takes a version in: its number. The first one that is known is the base; an unknown one is taken for it.
    pub fn add(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return 0 };
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
        let text = match (id.version as usize).checked_sub(1) {
            None => self.base.as_ref()?,
            Some(at) => &self.others.get(at)?.text,
        };
        text.lines().nth((id.line as usize).checked_sub(1)?)
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
        let base = texts.add(Some("import x\ndef f():\n    return x\n"));
        let other = texts.add(Some("import x\nimport y\ndef f():\n    return x + y\n"));
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
            [None, Some("a\n"), Some("b\n"), Some("a\n"), None].map(|text| texts.add(text)),
            [0, 0, 1, 0, 0]
        );
        assert_eq!(texts.id(0, 70), LineId { line: 70, version: 0 });
        assert_eq!(texts.id(1, 70), LineId { line: 70, version: 1 });
    }
}
