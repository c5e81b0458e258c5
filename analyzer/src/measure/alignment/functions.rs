//! The functions of all runs as one list.
//!
//! A function is identified by its source file and its qualified name. Functions of one file that
//! share a qualified name, such as lambdas, are told apart by their first lines, which are matched
//! across versions of the source.

use std::collections::BTreeMap;

use pyrec_schema::{Code, Names};
use rustc_hash::{FxHashMap, FxHashSet};

use super::files::{AlignedFiles, FileId};
use super::rename::Rename;
use super::run::{RunNames, Side};
use super::text_versions::{ExecutedText, LineId, MergedLine, TextVersions};
use crate::measure::frame_names;
use crate::measure::module_names::ModuleNames;
use crate::tree::Frame;
use crate::{Error, Result};

/// The index of a function in [`Alignment::functions`].
pub type FunctionId = usize;

/// A function, the same one in all runs that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlignedFunction {
    /// The name of the module; none where it could not be derived.
    pub module: Option<String>,
    /// `co_filename` in the first run that has the file; none where it is unknown, and for what is
    /// not Python code.
    pub file: Option<String>,
    /// `co_qualname`, or a description of what is not a function.
    pub qualname: String,
    /// The position among functions with the same file and qualified name in the order of their
    /// lines, from 1.
    pub ordinal: usize,
    /// `co_firstlineno` in the first new run that has the function, else in the first old one.
    pub first_line: Option<u32>,
    /// The kind of frame.
    pub kind: FunctionKind,
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FunctionKind {
    /// A Python function.
    Python,
    /// A function written in C.
    C,
    /// A garbage collection.
    Gc,
    /// The unknown caller of the calls that follow a loss of events.
    Lost,
}

/// The functions, source files and lines of all runs, each once.
#[derive(Debug, Default)]
pub struct Alignment {
    /// The functions of all runs.
    pub functions: Vec<AlignedFunction>,
    runs: Vec<RunIndex>,
    files: AlignedFiles,
    texts: FxHashMap<FileId, TextVersions>,
}

/// The aligned names of one run.
#[derive(Debug, Default)]
struct RunIndex {
    functions: FxHashMap<Frame, FunctionId>,
    files: FxHashMap<String, RunFile>,
}

/// A source file of one run.
#[derive(Clone, Copy, Debug)]
struct RunFile {
    id: FileId,
    /// The file before renames were applied.
    original: FileId,
    version: u32,
    has_text: bool,
}

/// The identity of a function apart from its first line.
type FunctionKey = (FunctionKind, Option<FileId>, String);

/// The first line of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FirstLine {
    id: Option<LineId>,
    line: Option<u32>,
    /// The version of the text that `line` counts in; none where the text is unknown.
    version: Option<u32>,
}

impl FirstLine {
    /// Whether both can belong to one function. Two lines of one text belong to two functions.
    fn can_match(&self, other: &FirstLine) -> bool {
        self.version.is_none() || self.version != other.version || self.line == other.line
    }
}

impl AlignedFunction {
    fn new((kind, file, qualname): &FunctionKey, start: &FirstLine, files: &AlignedFiles) -> AlignedFunction {
        let file = file.map(|file| files.get(file));
        AlignedFunction {
            module: file.and_then(|file| file.module.clone()),
            file: file.map(|file| file.path.clone()),
            qualname: qualname.clone(),
            ordinal: 1,
            first_line: start.line,
            kind: *kind,
        }
    }

    /// The name for reports, with module or file.
    pub fn label(&self) -> String {
        match self.kind {
            FunctionKind::Python => frame_names::function_label(
                &self.qualname,
                self.module.as_deref(),
                self.file.as_deref(),
                self.first_line,
            ),
            FunctionKind::C => format!("{} (C)", self.qualname),
            FunctionKind::Gc | FunctionKind::Lost => self.qualname.clone(),
        }
    }
}

impl Alignment {
    /// Aligns the names of all runs. New runs are added before old ones, so a function carries its
    /// new name and line.
    ///
    /// # Errors
    ///
    /// Fails if a rename applies to no name of the old runs.
    pub fn of(runs: &[RunNames], renames: &[Rename]) -> Result<Alignment> {
        let mut builder = AlignmentBuilder { renames, ..AlignmentBuilder::default() };
        builder.alignment.runs.resize_with(runs.len(), RunIndex::default);
        for side in [Side::New, Side::Old] {
            for (number, run) in runs.iter().enumerate().filter(|(_, run)| run.side == side) {
                builder.add(number, run);
            }
        }
        match renames.iter().enumerate().find(|(index, _)| !builder.applied.contains(index)) {
            Some((_, rename)) => Err(Error::UnmatchedRename(rename.as_str().to_owned())),
            None => Ok(builder.finish()),
        }
    }

    /// The function of a run's frame; none for [`Frame::Thread`].
    pub fn function(&self, run: usize, frame: Frame) -> Option<FunctionId> {
        self.runs.get(run)?.functions.get(&frame).copied()
    }

    /// The file of a path in a run.
    pub fn file_id(&self, run: usize, path: &str) -> Option<FileId> {
        Some(self.runs.get(run)?.files.get(path)?.id)
    }

    /// The file and line of a path and line number in a run.
    pub fn line_id(&self, run: usize, path: &str, line: u32) -> Option<(FileId, LineId)> {
        let RunFile { id, version, .. } = *self.runs.get(run)?.files.get(path)?;
        Some((id, self.texts.get(&id)?.line_id(version, line)))
    }

    /// The source text of a line, where it is known.
    pub fn line_text(&self, file: FileId, line: LineId) -> Option<&str> {
        self.texts.get(&file)?.line_text(line)
    }

    /// The lines of all versions of a file, merged into one text; empty where no text is known.
    pub fn merged_lines(&self, file: FileId) -> Vec<MergedLine> {
        self.texts.get(&file).map(TextVersions::merged_lines).unwrap_or_default()
    }

    /// The texts of a file, indexed by [`LineId::version`].
    pub fn text_versions(&self, file: FileId) -> impl Iterator<Item = &str> {
        (0..).map_while(move |version| self.texts.get(&file)?.text(version))
    }

    /// The text of a file that a side executed.
    pub fn executed_text(&self, file: FileId, side: Side) -> ExecutedText<'_> {
        self.texts.get(&file).map_or(ExecutedText::NotRun, |texts| texts.executed(side))
    }

    /// The module of a file; none where it could not be derived.
    pub fn module(&self, file: FileId) -> Option<&str> {
        self.files.get(file).module.as_deref()
    }

    /// The name of a file for reports: its module, else the last component of its path.
    pub fn file_label(&self, file: FileId) -> &str {
        let file = self.files.get(file);
        file.module.as_deref().unwrap_or_else(|| base_name(&file.path))
    }
}

/// Builds an alignment run by run.
#[derive(Default)]
struct AlignmentBuilder<'a> {
    alignment: Alignment,
    renames: &'a [Rename],
    /// Indices of the renames that applied to a name.
    applied: FxHashSet<usize>,
    /// The functions of each key, with their first lines in the first run that has them.
    by_key: FxHashMap<FunctionKey, Vec<(FunctionId, FirstLine)>>,
}

impl AlignmentBuilder<'_> {
    fn add(&mut self, number: usize, run: &RunNames) {
        let frames: FxHashSet<Frame> = run.frames.iter().copied().collect();
        let codes = frames.into_iter().filter_map(|frame| Some((frame, code_string(frame, run.names)?)));
        let codes: Vec<(Frame, String, FunctionKind)> =
            codes.map(|(frame, (code, kind))| (frame, code, kind)).collect();
        let of_codes = codes.iter().map(|(_, code, _)| Code::parse(code).file.to_owned());
        let mut paths: Vec<String> = of_codes.chain(run.files.iter().cloned()).collect();
        paths.retain(|path| !path.is_empty());
        paths.sort_unstable();
        paths.dedup();
        self.add_files(number, run, &paths);
        // Sorted, so that equal recordings get equal ids.
        let mut by_key: BTreeMap<FunctionKey, BTreeMap<FirstLine, Vec<Frame>>> = BTreeMap::new();
        for (frame, code, kind) in &codes {
            let (key, first_line) = self.function_key(number, run, &Code::parse(code), *kind);
            by_key.entry(key).or_default().entry(first_line).or_default().push(*frame);
        }
        for (key, frames) in by_key {
            self.add_functions(number, key, frames);
        }
    }

    fn add_files(&mut self, number: usize, run: &RunNames, paths: &[String]) {
        let ids = self.alignment.files.add(paths, &ModuleNames::of(run.manifest));
        for path in paths {
            let original = ids[path];
            let mut id = original;
            if run.side == Side::Old
                && let Some((module, _)) = self.renamed(original, "")
            {
                id = self.alignment.files.of_module(&module, path);
            }
            let text = run.sources.text(path);
            let version = self.alignment.texts.entry(id).or_default().add(run.side, text);
            let file = RunFile { id, original, version, has_text: text.is_some() };
            self.alignment.runs[number].files.insert(path.clone(), file);
        }
    }

    /// Applies the first rename that matches a module and a qualified name.
    fn renamed(&mut self, file: FileId, qualname: &str) -> Option<(String, String)> {
        let module = self.alignment.file_label(file);
        let renames = self.renames.iter().enumerate();
        let (index, renamed) =
            renames.filter_map(|(index, rename)| Some((index, rename.apply(module, qualname)?))).next()?;
        self.applied.insert(index);
        Some(renamed)
    }

    fn function_key(
        &mut self,
        number: usize,
        run: &RunNames,
        code: &Code,
        kind: FunctionKind,
    ) -> (FunctionKey, FirstLine) {
        let file = self.alignment.runs[number].files.get(code.file).copied();
        let mut key = (kind, file.map(|file| file.id), frame_names::qualname(code));
        let (line, version) = (code.first_line, file.filter(|file| file.has_text).map(|file| file.version));
        let id =
            line.zip(file).map(|(line, file)| self.alignment.texts[&file.id].line_id(file.version, line));
        if run.side == Side::Old
            && let Some(file) = file
            && let Some((module, qualname)) = self.renamed(file.original, &key.2)
        {
            key = (kind, Some(self.alignment.files.of_module(&module, code.file)), qualname);
        }
        (key, FirstLine { id, line, version })
    }

    /// Matches the functions of one key with those of earlier runs: first by equal lines, then in
    /// the order of lines.
    fn add_functions(&mut self, number: usize, key: FunctionKey, frames: BTreeMap<FirstLine, Vec<Frame>>) {
        let known = self.by_key.entry(key.clone()).or_default();
        let mut unmatched: Vec<(FunctionId, FirstLine)> = known.clone();
        let mut pending = Vec::new();
        let functions = &mut self.alignment.runs[number].functions;
        for (first_line, frames) in frames {
            match unmatched.iter().position(|(_, other)| other.id == first_line.id) {
                Some(index) => {
                    let (function, _) = unmatched.remove(index);
                    functions.extend(frames.into_iter().map(|frame| (frame, function)));
                }
                None => pending.push((first_line, frames)),
            }
        }
        for (first_line, frames) in pending {
            let function = match unmatched.iter().position(|(_, other)| other.can_match(&first_line)) {
                Some(index) => unmatched.remove(index).0,
                None => {
                    let function = AlignedFunction::new(&key, &first_line, &self.alignment.files);
                    self.alignment.functions.push(function);
                    let id = self.alignment.functions.len() - 1;
                    known.push((id, first_line));
                    id
                }
            };
            functions.extend(frames.into_iter().map(|frame| (frame, function)));
        }
    }

    /// Numbers the functions of each key in the order of their lines.
    fn finish(mut self) -> Alignment {
        for functions in self.by_key.values_mut() {
            functions.sort_unstable_by_key(|&(function, first_line)| (first_line.id, function));
            for (&(function, _), ordinal) in functions.iter().zip(1..) {
                self.alignment.functions[function].ordinal = ordinal;
            }
        }
        self.alignment
    }
}

/// A frame in the notation of the code column; none for [`Frame::Thread`].
fn code_string(frame: Frame, names: &Names) -> Option<(String, FunctionKind)> {
    let without_file = |name: &str| format!("::{}", name.replace(':', ";"));
    match frame {
        Frame::Function(code) => Some((names.code_str(code).to_string(), FunctionKind::Python)),
        Frame::Cfunction(text) => {
            Some((without_file(names.text_str(text).as_deref().unwrap_or("?")), FunctionKind::C))
        }
        Frame::Gc => Some((without_file("(garbage collection)"), FunctionKind::Gc)),
        Frame::Lost => Some((without_file("(unknown caller: events were lost)"), FunctionKind::Lost)),
        Frame::Thread => None,
    }
}

/// The last component of a path.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
