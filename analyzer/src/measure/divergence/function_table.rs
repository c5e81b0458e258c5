//! The functions of one run, with what the replay needs to know of each.

use pyrec_schema::{Code, CodeId, Names};
use rustc_hash::FxHashMap;

use super::call_key::{CallKey, CallOutcome, CallStart, FunctionKey, THREAD_ROOT};
use super::subtrees::{HashedSubtree, Subtrees};
use crate::Filter;
use crate::measure::FrameNames;
use crate::tree::{Frame, FrameFilter};

/// The modules of the import system. Their calls are left out by default, since they depend on
/// which `.pyc` files exist.
const IMPORT_SYSTEM: &str = "importlib._bootstrap";

/// What the replay needs to know of a function.
#[derive(Clone, Copy, Debug)]
pub struct FunctionInfo {
    /// The key.
    pub key: FunctionKey,
    /// The subtree of a call that returned without callees.
    pub leaf: HashedSubtree,
    /// Whether the filter keeps it. If not, its callees count as callees of its caller.
    pub is_shown: bool,
    /// Whether the filter's root pattern matches it.
    pub is_root: bool,
}

/// Functions by frame. Each is matched against the filter once.
#[derive(Debug)]
pub struct FunctionTable<'a> {
    names: &'a Names,
    frame_names: FrameNames<'a>,
    filter: FrameFilter<'a>,
    /// Whether the filter has include patterns, which can bring the import system in.
    has_include: bool,
    /// Frames by function key.
    frames: Vec<Frame>,
    codes: Vec<Option<FunctionInfo>>,
    others: FxHashMap<Frame, FunctionInfo>,
}

impl<'a> FunctionTable<'a> {
    /// An empty table for a trace with these names.
    pub fn new(names: &'a Names, frame_names: FrameNames<'a>, filter: &'a Filter) -> FunctionTable<'a> {
        let (has_include, filter) = (!filter.include.is_empty(), FrameFilter::new(filter, names));
        let (frames, codes, others) = (vec![Frame::Thread], vec![], FxHashMap::default());
        debug_assert_eq!(frames.len(), THREAD_ROOT as usize + 1);
        FunctionTable { names, frame_names, filter, has_include, frames, codes, others }
    }

    /// Whether the filter keeps what happens outside any call.
    pub fn is_open(&self) -> bool {
        self.filter.is_unrooted()
    }

    /// The frames of all functions in the table, by key.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    /// The function of a code object.
    #[inline]
    pub fn code(&mut self, code: CodeId, subtrees: &mut Subtrees) -> FunctionInfo {
        match self.codes.get(code.0 as usize) {
            Some(&Some(function)) => function,
            _ => self.add_code(code, subtrees),
        }
    }

    /// The function of a frame.
    pub fn frame(&mut self, frame: Frame, subtrees: &mut Subtrees) -> FunctionInfo {
        if let Frame::Function(code) = frame {
            return self.code(code, subtrees);
        }
        if let Some(&function) = self.others.get(&frame) {
            return function;
        }
        let function = self.add(frame, subtrees);
        self.others.insert(frame, function);
        function
    }

    #[cold]
    fn add_code(&mut self, id: CodeId, subtrees: &mut Subtrees) -> FunctionInfo {
        let text = self.names.code_str(id);
        let code = Code::parse(&text);
        let module = self.frame_names.module(code.file);
        let mut function = self.add(Frame::Function(id), subtrees);
        let is_import_system = module.is_some_and(|module| module.starts_with(IMPORT_SYSTEM));
        function.is_shown &= self.has_include || !is_import_system;
        if self.codes.len() <= id.0 as usize {
            self.codes.resize(id.0 as usize + 1, None);
        }
        self.codes[id.0 as usize] = Some(function);
        function
    }

    fn add(&mut self, frame: Frame, subtrees: &mut Subtrees) -> FunctionInfo {
        let key = self.frames.len() as FunctionKey;
        self.frames.push(frame);
        let selection = self.filter.select(frame);
        let leaf = subtrees.leaf(CallKey::new(key, CallStart::Called, CallOutcome::Returned));
        FunctionInfo { key, leaf, is_shown: selection.shown, is_root: selection.root }
    }
}
