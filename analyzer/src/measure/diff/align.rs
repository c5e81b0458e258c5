//! One list of functions for all runs, whatever each run calls them.
//!
//! A function is its module and its qualified name. Where several in one module share a name, as lambdas do, their first
//! lines tell them apart, followed through changes of the source.

use std::collections::BTreeMap;

use pyrec_schema::{Code, Manifest, Names};
use rustc_hash::{FxHashMap, FxHashSet};

use super::places::{PlaceId, Places};
use super::rename::Rename;
use super::texts::{LineId, Ran, Row, Texts};
use crate::measure::Sources;
use crate::measure::module::Modules;
use crate::measure::naming;
use crate::tree::Frame;
use crate::{Error, Result};

/// The number of a function in [`Alignment::functions`].
pub type FunctionId = usize;

/// Which of the two sides a run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "there is no more to say")]
pub enum Side {
    Old,
    New,
}

/// A run as far as its names go.
#[derive(Debug)]
pub struct RunNames<'a> {
    /// Which side it is on.
    pub side: Side,
    /// Its strings.
    pub names: &'a Names,
    /// The facts of the recording.
    pub manifest: &'a Manifest,
    /// Its source files.
    pub sources: &'a Sources,
    /// What is to be aligned; some may come twice.
    pub frames: Vec<Frame>,
    /// Files that are to be aligned, beside those of the frames.
    pub files: Vec<String>,
}

/// A function, as every view knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its module, as far as anything tells.
    pub module: Option<String>,
    /// Its file in the run that `first_line` is of; none where it is unknown, and for what is not written in Python.
    pub file: Option<String>,
    /// `co_qualname`, or what stands for it.
    pub qualname: String,
    /// Which one it is of those with the same name, from 1.
    pub ordinal: usize,
    /// `co_firstlineno` in the first new run that has it, else in the first old one.
    pub first_line: Option<u32>,
    /// What it is.
    pub kind: Kind,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A function of Python.
    Python,
    /// A function written in C.
    C,
    /// A garbage collection.
    Gc,
    /// What is called by nobody knows whom, since events were lost.
    Lost,
}

/// One list of functions for all runs.
#[derive(Debug, Default)]
pub struct Alignment {
    /// Every function of any run.
    pub functions: Vec<Function>,
    runs: Vec<Known>,
    places: Places,
    texts: FxHashMap<PlaceId, Texts>,
}

/// What is known of one run's names.
#[derive(Debug, Default)]
struct Known {
    functions: FxHashMap<Frame, FunctionId>,
    files: FxHashMap<String, File>,
}

/// A file of a run.
#[derive(Clone, Copy, Debug)]
struct File {
    place: PlaceId,
    /// Its place before anything moved.
    origin: PlaceId,
    version: u32,
    has_text: bool,
}

/// What functions are told apart by, their lines left aside.
type Key = (Kind, Option<PlaceId>, String);

/// Where a function begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Start {
    id: Option<LineId>,
    line: Option<u32>,
    /// The version of the text that the line is of, where that is known.
    version: Option<u32>,
}

impl Start {
    /// Whether both can be one function: two lines of one text are two.
    fn can_be(&self, other: &Start) -> bool {
        self.version.is_none() || self.version != other.version || self.line == other.line
    }
}

impl Function {
    /// Its name for people, with its module or file.
    pub fn label(&self) -> String {
        match self.kind {
            Kind::Python => {
                naming::label(&self.qualname, self.module.as_deref(), self.file.as_deref(), self.first_line)
            }
            Kind::C => format!("{} (C)", self.qualname),
            Kind::Gc | Kind::Lost => self.qualname.clone(),
        }
    }
}

impl Alignment {
    /// Aligns the names of all runs. Those of new runs come first, so a function is called as it is now.
    pub fn of(runs: &[RunNames], renames: &[Rename]) -> Result<Alignment> {
        let mut building = Building { renames, used: FxHashSet::default(), ..Building::default() };
        building.alignment.runs.resize_with(runs.len(), Known::default);
        for side in [Side::New, Side::Old] {
            for (number, run) in runs.iter().enumerate().filter(|(_, run)| run.side == side) {
                building.add(number, run);
            }
        }
        match renames.iter().enumerate().find(|(at, _)| !building.used.contains(at)) {
            Some((_, rename)) => Err(Error::UnmatchedRename(rename.as_str().to_owned())),
            None => Ok(building.finish()),
        }
    }

    /// Which function a frame of a run is; none for what is below every call.
    pub fn function(&self, run: usize, frame: Frame) -> Option<FunctionId> {
        self.runs.get(run)?.functions.get(&frame).copied()
    }

    /// Which place a run's file is.
    pub fn file(&self, run: usize, file: &str) -> Option<PlaceId> {
        Some(self.runs.get(run)?.files.get(file)?.place)
    }

    /// Which line a line of a run's file is, and where.
    pub fn line(&self, run: usize, file: &str, line: u32) -> Option<(PlaceId, LineId)> {
        let File { place, version, .. } = *self.runs.get(run)?.files.get(file)?;
        Some((place, self.texts.get(&place)?.id(version, line)))
    }

    /// What stands on a line, where that is known.
    pub fn text(&self, place: PlaceId, line: LineId) -> Option<&str> {
        self.texts.get(&place)?.line(line)
    }

    /// All lines of a place's texts as one text; none where no text is known.
    pub fn rows(&self, place: PlaceId) -> Vec<Row> {
        self.texts.get(&place).map(Texts::rows).unwrap_or_default()
    }

    /// The texts of a place, by the version that a line's number is of.
    pub fn versions(&self, place: PlaceId) -> impl Iterator<Item = &str> {
        (0..).map_while(move |version| self.texts.get(&place)?.text(version))
    }

    /// What a side ran there.
    pub fn ran(&self, place: PlaceId, side: Side) -> Ran<'_> {
        self.texts.get(&place).map_or(Ran::Nothing, |texts| texts.ran(side))
    }

    /// The module that a place is, as far as anything tells.
    pub fn module(&self, place: PlaceId) -> Option<&str> {
        self.places.get(place).module.as_deref()
    }

    /// What a place is called: its module, else its file without the way there.
    pub fn place(&self, place: PlaceId) -> &str {
        let place = self.places.get(place);
        place.module.as_deref().unwrap_or_else(|| base(&place.file))
    }
}

/// An alignment in the making.
#[derive(Default)]
struct Building<'a> {
    alignment: Alignment,
    renames: &'a [Rename],
    used: FxHashSet<usize>,
    /// The functions of each name, with where the first run that has them says that they begin.
    slots: FxHashMap<Key, Vec<(FunctionId, Start)>>,
}

impl Building<'_> {
    fn add(&mut self, number: usize, run: &RunNames) {
        let frames: FxHashSet<Frame> = run.frames.iter().copied().collect();
        let codes = frames.into_iter().filter_map(|frame| Some((frame, spell(frame, run.names)?)));
        let codes: Vec<(Frame, String, Kind)> =
            codes.map(|(frame, (code, kind))| (frame, code, kind)).collect();
        let of_codes = codes.iter().map(|(_, code, _)| Code::parse(code).file.to_owned());
        let mut files: Vec<String> = of_codes.chain(run.files.iter().cloned()).collect();
        files.retain(|file| !file.is_empty());
        files.sort_unstable();
        files.dedup();
        self.add_files(number, run, &files);
        // In order, so that the same recordings always give the same numbers.
        let mut groups: BTreeMap<Key, BTreeMap<Start, Vec<Frame>>> = BTreeMap::new();
        for (frame, code, kind) in &codes {
            let (key, start) = self.key(number, run, &Code::parse(code), *kind);
            groups.entry(key).or_default().entry(start).or_default().push(*frame);
        }
        for (key, members) in groups {
            self.add_functions(number, key, members);
        }
    }

    fn add_files(&mut self, number: usize, run: &RunNames, files: &[String]) {
        let found = self.alignment.places.add(files, &Modules::of(run.manifest));
        for file in files {
            let origin = found[file];
            let mut place = origin;
            if run.side == Side::Old
                && let Some((module, _)) = self.renamed(origin, "")
            {
                place = self.alignment.places.of_module(&module, file);
            }
            let text = run.sources.text(file);
            let version = self.alignment.texts.entry(place).or_default().add(run.side, text);
            let file_of_run = File { place, origin, version, has_text: text.is_some() };
            self.alignment.runs[number].files.insert(file.clone(), file_of_run);
        }
    }

    /// What the first rename that is about it makes of a name.
    fn renamed(&mut self, place: PlaceId, qualname: &str) -> Option<(String, String)> {
        let place = self.alignment.places.get(place);
        let module = place.module.as_deref().unwrap_or_else(|| base(&place.file));
        let renames = self.renames.iter().enumerate();
        let (at, renamed) =
            renames.filter_map(|(at, rename)| Some((at, rename.apply(module, qualname)?))).next()?;
        self.used.insert(at);
        Some(renamed)
    }

    fn key(&mut self, number: usize, run: &RunNames, code: &Code, kind: Kind) -> (Key, Start) {
        let file = self.alignment.runs[number].files.get(code.file).copied();
        let mut key = (kind, file.map(|file| file.place), naming::qualname(code));
        let (line, version) = (code.first_line, file.filter(|file| file.has_text).map(|file| file.version));
        let id = line.zip(file).map(|(line, file)| self.alignment.texts[&file.place].id(file.version, line));
        if run.side == Side::Old
            && let Some(file) = file
            && let Some((module, qualname)) = self.renamed(file.origin, &key.2)
        {
            key = (kind, Some(self.alignment.places.of_module(&module, code.file)), qualname);
        }
        (key, Start { id, line, version })
    }

    /// Finds the functions of one name among those of earlier runs: by their lines, and the others in their order.
    fn add_functions(&mut self, number: usize, key: Key, members: BTreeMap<Start, Vec<Frame>>) {
        let slots = self.slots.entry(key.clone()).or_default();
        let mut open: Vec<(FunctionId, Start)> = slots.clone();
        let mut waiting = Vec::new();
        let known = &mut self.alignment.runs[number].functions;
        for (start, frames) in members {
            match open.iter().position(|(_, slot)| slot.id == start.id) {
                Some(at) => {
                    let (function, _) = open.remove(at);
                    known.extend(frames.into_iter().map(|frame| (frame, function)));
                }
                None => waiting.push((start, frames)),
            }
        }
        for (start, frames) in waiting {
            let function = match open.iter().position(|(_, slot)| slot.can_be(&start)) {
                Some(at) => open.remove(at).0,
                None => {
                    self.alignment.functions.push(function(&key, &start, &self.alignment.places));
                    slots.push((self.alignment.functions.len() - 1, start));
                    self.alignment.functions.len() - 1
                }
            };
            known.extend(frames.into_iter().map(|frame| (frame, function)));
        }
    }

    /// Numbers the functions that share a name in the order of their lines.
    fn finish(mut self) -> Alignment {
        for slots in self.slots.values_mut() {
            slots.sort_unstable_by_key(|&(function, start)| (start.id, function));
            for (&(function, _), ordinal) in slots.iter().zip(1..) {
                self.alignment.functions[function].ordinal = ordinal;
            }
        }
        self.alignment
    }
}

/// A frame as the code column would have it.
fn spell(frame: Frame, names: &Names) -> Option<(String, Kind)> {
    let nowhere = |name: &str| format!("::{}", name.replace(':', ";"));
    match frame {
        Frame::Function(code) => Some((names.code_str(code).to_string(), Kind::Python)),
        Frame::Cfunction(text) => Some((nowhere(names.text_str(text).as_deref().unwrap_or("?")), Kind::C)),
        Frame::Gc => Some((nowhere("(garbage collection)"), Kind::Gc)),
        Frame::Lost => Some((nowhere("(unknown caller: events were lost)"), Kind::Lost)),
        Frame::Thread => None,
    }
}

fn function((kind, place, qualname): &Key, start: &Start, places: &Places) -> Function {
    let place = place.map(|place| places.get(place));
    let file = place.map(|place| place.file.clone());
    Function {
        module: place.and_then(|place| place.module.clone()),
        file,
        qualname: qualname.clone(),
        ordinal: 1,
        first_line: start.line,
        kind: *kind,
    }
}

/// A path without the way there.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
