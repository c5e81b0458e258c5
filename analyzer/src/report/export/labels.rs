//! Frames by number, each with its name made once.

use pyrec_schema::{Code, Manifest, Names};
use rustc_hash::FxHashMap;

use crate::measure::Naming;
use crate::tree::Frame;

/// What a frame is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// A name for people, with its module or file.
    pub name: String,
    /// `co_filename`; none where it is unknown.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub line: Option<u32>,
}

/// Frames by number, in the order in which they came up.
#[derive(Debug)]
pub struct Labels<'a> {
    naming: Naming<'a>,
    numbers: FxHashMap<Frame, usize>,
    labels: Vec<Label>,
}

impl<'a> Labels<'a> {
    /// No frames yet.
    pub fn new(names: &'a Names, manifest: &Manifest) -> Self {
        Labels { naming: Naming::new(names, manifest), numbers: FxHashMap::default(), labels: Vec::new() }
    }

    /// The number of a frame, and whether it is new.
    pub fn number(&mut self, frame: Frame) -> (usize, bool) {
        if let Some(&number) = self.numbers.get(&frame) {
            return (number, false);
        }
        let number = self.labels.len();
        self.numbers.insert(frame, number);
        self.labels.push(self.label(frame));
        (number, true)
    }

    /// What the frame of that number is called.
    pub fn get(&self, number: usize) -> &Label {
        &self.labels[number]
    }

    /// All of them.
    pub fn all(&self) -> &[Label] {
        &self.labels
    }

    fn label(&self, frame: Frame) -> Label {
        let name = self.naming.label(frame);
        let code = self.naming.code(frame);
        let code = code.as_deref().map(Code::parse);
        let file = code.map(|code| code.file.to_owned()).filter(|file| !file.is_empty());
        Label { name, file, line: code.and_then(|code| code.first_line) }
    }
}
