//! Functions of one run by numbers.

use pyrec_schema::{Code, CodeId, Names};
use rustc_hash::FxHashMap;

use super::head::{Finish, Head, Key, Start, THREAD};
use super::shapes::{Known, Shapes};
use crate::Filter;
use crate::measure::Naming;
use crate::tree::{Frame, FrameFilter};

/// What the import system is written in. What it does depends on which `.pyc` files are there already.
const IMPORT_SYSTEM: &str = "importlib._bootstrap";

/// What there is to know about a function when it is called.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its number.
    pub key: Key,
    /// A call of it in which nothing was called.
    pub leaf: Known,
    /// Whether it is asked for; if not, what it calls is as if called by its caller.
    pub is_shown: bool,
    /// Whether what is asked for begins in it.
    pub is_root: bool,
}

/// Frames into functions, each looked up once.
#[derive(Debug)]
pub struct Lookup<'a> {
    names: &'a Names,
    naming: Naming<'a>,
    filter: FrameFilter<'a>,
    /// Whether the filter names what it wants.
    is_narrow: bool,
    /// By number.
    frames: Vec<Frame>,
    codes: Vec<Option<Function>>,
    others: FxHashMap<Frame, Function>,
}

impl<'a> Lookup<'a> {
    /// Functions of those names, through a filter.
    pub fn new(names: &'a Names, naming: Naming<'a>, filter: &'a Filter) -> Lookup<'a> {
        let (is_narrow, filter) = (!filter.include.is_empty(), FrameFilter::new(filter, names));
        let (frames, codes, others) = (vec![Frame::Thread], vec![], FxHashMap::default());
        debug_assert_eq!(frames.len(), THREAD as usize + 1);
        Lookup { names, naming, filter, is_narrow, frames, codes, others }
    }

    /// Whether everything is asked for that happens outside any call.
    pub fn is_open(&self) -> bool {
        self.filter.is_unrooted()
    }

    /// What has been looked up, by its number.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    /// A function of Python.
    #[inline]
    pub fn code(&mut self, code: CodeId, shapes: &mut Shapes) -> Function {
        match self.codes.get(code.0 as usize) {
            Some(&Some(function)) => function,
            _ => self.new_code(code, shapes),
        }
    }

    /// Whatever is on a stack.
    pub fn frame(&mut self, frame: Frame, shapes: &mut Shapes) -> Function {
        if let Frame::Function(code) = frame {
            return self.code(code, shapes);
        }
        if let Some(&function) = self.others.get(&frame) {
            return function;
        }
        let function = self.function(frame, shapes);
        self.others.insert(frame, function);
        function
    }

    #[cold]
    fn new_code(&mut self, id: CodeId, shapes: &mut Shapes) -> Function {
        let text = self.names.code_str(id);
        let code = Code::parse(&text);
        let module = self.naming.module(code.file);
        let mut function = self.function(Frame::Function(id), shapes);
        let is_importing = module.is_some_and(|module| module.starts_with(IMPORT_SYSTEM));
        function.is_shown &= self.is_narrow || !is_importing;
        if self.codes.len() <= id.0 as usize {
            self.codes.resize(id.0 as usize + 1, None);
        }
        self.codes[id.0 as usize] = Some(function);
        function
    }

    fn function(&mut self, frame: Frame, shapes: &mut Shapes) -> Function {
        let key = self.frames.len() as Key;
        self.frames.push(frame);
        let selection = self.filter.select(frame);
        let leaf = shapes.leaf(Head::new(key, Start::Called, Finish::Returned));
        Function { key, leaf, is_shown: selection.shown, is_root: selection.root }
    }
}
