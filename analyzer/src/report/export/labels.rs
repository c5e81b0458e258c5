//! The names of commands, threads and frames in exports.

use pyrec_schema::{Code, Manifest, Names};
use rustc_hash::FxHashMap;

use crate::CallTree;
use crate::escape::Printable;
use crate::measure::FrameNames;
use crate::tree::{Frame, ThreadSummary};

/// The name and source location of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The qualified name with the module or file.
    pub name: String,
    /// `co_filename`; `None` if it is unknown.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub line: Option<u32>,
}

/// A table of labels. Frames are numbered in the order in which they are first looked up.
#[derive(Debug)]
pub struct Labels<'a> {
    naming: FrameNames<'a>,
    numbers: FxHashMap<Frame, usize>,
    labels: Vec<Label>,
}

impl<'a> Labels<'a> {
    /// An empty table.
    pub fn new(names: &'a Names, manifest: &Manifest) -> Self {
        Labels { naming: FrameNames::new(names, manifest), numbers: FxHashMap::default(), labels: Vec::new() }
    }

    /// The number of a frame, and whether it was added by this call.
    pub fn number(&mut self, frame: Frame) -> (usize, bool) {
        if let Some(&number) = self.numbers.get(&frame) {
            return (number, false);
        }
        let number = self.labels.len();
        self.numbers.insert(frame, number);
        self.labels.push(self.label(frame));
        (number, true)
    }

    /// The label of the frame with a number.
    pub fn get(&self, number: usize) -> &Label {
        &self.labels[number]
    }

    /// All labels, in the order of their numbers.
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

/// The command that was recorded, or `pyrec` if it is unknown.
pub fn command(manifest: &Manifest) -> String {
    match manifest.command.is_empty() {
        true => "pyrec".into(),
        false => Printable(&manifest.command.join(" ")).to_string(),
    }
}

/// The thread of a call tree with these ids. Threads are sorted by pid and tid.
pub fn find_thread(calls: &CallTree, pid: i32, tid: i32) -> Option<&ThreadSummary> {
    let at = calls.threads.binary_search_by_key(&(pid, tid), |thread| (thread.pid, thread.tid)).ok()?;
    Some(&calls.threads[at])
}

/// The name and id of a thread: `MainThread 8274`.
pub fn thread_name(thread: &ThreadSummary, names: &Names) -> String {
    match names.text_str(thread.info.name) {
        Some(name) => format!("{} {}", Printable(&name), thread.tid),
        None => format!("thread {}", thread.tid),
    }
}
