//! Single calls into lines.

use std::collections::BTreeMap;

use pyrec_schema::{Code, CodeId, Event, Manifest, Marker, Names};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
use crate::calls::{Call, CallEnd, CallEvent, Callers, TraceSummary};
use crate::measure::Trust;
use crate::measure::naming::{self, Naming};
use crate::order::ThreadId;
use crate::tree::{self, Frame, ProfileMetadata};

/// What is added up while single calls pass by.
#[derive(Debug)]
pub struct Collect<'a> {
    names: &'a Names,
    files: Vec<File>,
    file_numbers: FxHashMap<String, usize>,
    /// The file of a code object; none for code of an unknown file.
    code_files: FxHashMap<CodeId, Option<usize>>,
    spots: Vec<Spot>,
    spot_numbers: FxHashMap<(usize, u32), usize>,
    /// The spot of each line of each code object that was come to; none where it has no number.
    places: FxHashMap<(CodeId, i32), Option<usize>>,
    edges: FxHashMap<(usize, Frame), Edge>,
    threads: FxHashMap<ThreadId, Stack>,
}

#[derive(Debug)]
struct File {
    name: String,
    total_ns: u64,
}

/// What is added up for a line.
#[derive(Debug)]
struct Spot {
    file: usize,
    line: u32,
    hits: u64,
    entries: u64,
    returns: u64,
    self_ns: u64,
    total_ns: u64,
}

/// What is added up for a function that a line calls.
#[derive(Debug, Default)]
struct Edge {
    calls: u64,
    total_ns: u64,
}

/// The open calls of a thread.
#[derive(Debug, Default)]
struct Stack {
    open: Vec<Open>,
    /// The time that calls were charged with so far.
    clock_ns: u64,
    /// How often each line, and each file, is on the stack.
    spots: Stays,
    files: Stays,
}

/// An open call.
#[derive(Debug)]
struct Open {
    file: Option<usize>,
    /// The line that it is on, and the clock when it came there.
    spot: Option<(usize, u64)>,
    /// The clock at its entry.
    since_ns: u64,
    /// How much of its own time its lines were charged with.
    charged_ns: u64,
}

impl<'a> Collect<'a> {
    /// Nothing yet, of a trace with these names.
    pub fn new(names: &'a Names) -> Self {
        Collect {
            names,
            files: Vec::new(),
            file_numbers: FxHashMap::default(),
            code_files: FxHashMap::default(),
            spots: Vec::new(),
            spot_numbers: FxHashMap::default(),
            places: FxHashMap::default(),
            edges: FxHashMap::default(),
            threads: FxHashMap::default(),
        }
    }

    /// Takes the next moment.
    pub fn visit(&mut self, moment: CallEvent, callers: Callers) {
        match moment {
            CallEvent::Enter(call) => self.enter(call, callers),
            CallEvent::Leave(call, end) => self.leave(call, end),
            CallEvent::Instant(event) | CallEvent::UnmatchedReturn(_, event) => self.point(event, callers),
        }
    }

    fn enter(&mut self, call: &Call, callers: Callers) {
        self.charge(&call.entry, callers.innermost());
        let file = self.file_of(call.frame);
        let spot = self.spot_of(call.frame, call.entry.line).or_else(|| self.first_spot(call.frame));
        let stack = self.threads.entry(ThreadId::of(&call.entry)).or_default();
        if let Some((from, _)) = stack.open.last().and_then(|caller| caller.spot) {
            self.edges.entry((from, call.frame)).or_default().calls += u64::from(call.counts);
        }
        stack.files.come(file);
        stack.open.push(Open { file, spot: None, since_ns: stack.clock_ns, charged_ns: 0 });
        stack.come_to(spot);
        if let Some(spot) = spot {
            self.spots[spot].entries += u64::from(call.counts);
        }
    }

    fn leave(&mut self, call: &Call, end: CallEnd) {
        self.charge(&call.entry, Some(call));
        if let Some(event) = end.event
            && let Some(spot) = self.spot_of(call.frame, event.line)
        {
            self.spots[spot].returns += 1;
        }
        let Some(stack) = self.threads.get_mut(&ThreadId::of(&call.entry)) else { return };
        stack.go_from_line(&mut self.spots);
        let Some(open) = stack.open.pop() else { return };
        let took_ns = stack.clock_ns - open.since_ns;
        if let Some(file) = stack.files.go(open.file) {
            self.files[file].total_ns = self.files[file].total_ns.saturating_add(took_ns);
        }
        if let Some((from, _)) = stack.open.last().and_then(|caller| caller.spot)
            && let Some(edge) = self.edges.get_mut(&(from, call.frame))
        {
            edge.total_ns = edge.total_ns.saturating_add(took_ns);
        }
    }

    fn point(&mut self, event: &Event, callers: Callers) {
        self.charge(event, callers.innermost());
        if event.marker != Marker::Line {
            return;
        }
        let frame = Frame::Function(event.code);
        let Some(spot) = self.spot_of(frame, event.line) else { return };
        self.spots[spot].hits += 1;
        // A function whose entry was not seen is not on the stack. Its time cannot be told from its callers'.
        if callers.innermost().is_some_and(|call| call.frame == frame)
            && let Some(stack) = self.threads.get_mut(&ThreadId::of(event))
        {
            stack.go_from_line(&mut self.spots);
            stack.come_to(Some(spot));
        }
    }

    /// Charges the line that the innermost call is on with what has passed since the moment before.
    fn charge(&mut self, event: &Event, innermost: Option<&Call>) {
        let (Some(call), Some(stack)) = (innermost, self.threads.get_mut(&ThreadId::of(event))) else {
            return;
        };
        let Some(open) = stack.open.last_mut() else { return };
        let passed_ns = call.self_ns - open.charged_ns;
        open.charged_ns = call.self_ns;
        stack.clock_ns = stack.clock_ns.saturating_add(passed_ns);
        if let Some((spot, _)) = open.spot {
            self.spots[spot].self_ns = self.spots[spot].self_ns.saturating_add(passed_ns);
        }
    }

    fn file_of(&mut self, frame: Frame) -> Option<usize> {
        let Frame::Function(code) = frame else { return None };
        if let Some(&file) = self.code_files.get(&code) {
            return file;
        }
        let name = self.names.code_str(code);
        let name = Code::parse(&name).file;
        let file = (!name.is_empty()).then(|| {
            *self.file_numbers.entry(name.to_owned()).or_insert_with(|| {
                self.files.push(File { name: name.to_owned(), total_ns: 0 });
                self.files.len() - 1
            })
        });
        self.code_files.insert(code, file);
        file
    }

    fn spot_of(&mut self, frame: Frame, line: i32) -> Option<usize> {
        let Frame::Function(code) = frame else { return None };
        if let Some(&spot) = self.places.get(&(code, line)) {
            return spot;
        }
        let spot = self.new_spot(frame, line);
        self.places.insert((code, line), spot);
        spot
    }

    /// The spot of a code object's first line, for an entry on none: from 3.11 on modules begin on line 0.
    fn first_spot(&mut self, frame: Frame) -> Option<usize> {
        let Frame::Function(code) = frame else { return None };
        let first_line = Code::parse(&self.names.code_str(code)).first_line?;
        self.spot_of(frame, i32::try_from(first_line).ok()?)
    }

    /// Lines begin with 1: some code objects have none, and their rows say 0.
    #[cold]
    fn new_spot(&mut self, frame: Frame, line: i32) -> Option<usize> {
        let file = self.file_of(frame)?;
        let line = u32::try_from(line).ok().filter(|&line| line > 0)?;
        let spot = self.spot_numbers.entry((file, line)).or_insert_with(|| {
            self.spots.push(Spot { file, line, hits: 0, entries: 0, returns: 0, self_ns: 0, total_ns: 0 });
            self.spots.len() - 1
        });
        Some(*spot)
    }

    /// What was added up, file by file.
    pub fn finish(self, manifest: &Manifest, has_hits: bool, seen: &TraceSummary) -> Lines {
        let naming = Naming::new(self.names, manifest);
        let mut functions = self.functions();
        let (callees, mut calls) = calls(self.edges, self.names, &naming);
        let mut files: Vec<FileLines> = self
            .files
            .iter()
            .zip(0..)
            .map(|(file, number)| FileLines {
                file: file.name.clone(),
                module: naming.module(&file.name),
                self_ns: 0,
                total_ns: file.total_ns,
                functions: functions.remove(&number).unwrap_or_default(),
                lines: Vec::new(),
            })
            .collect();
        for (number, spot) in self.spots.iter().enumerate() {
            let file = &mut files[spot.file];
            file.self_ns = file.self_ns.saturating_add(spot.self_ns);
            file.lines.push(spot.totals(has_hits, calls.remove(&number).unwrap_or_default()));
        }
        files.retain(|file| !file.lines.is_empty());
        files.iter_mut().for_each(|file| file.lines.sort_unstable_by_key(|line| line.line));
        files.sort_unstable_by(|a, b| a.file.cmp(&b.file));
        let total_ns = tree::saturating_sum(self.threads.values().map(|stack| stack.clock_ns));
        Lines {
            files,
            callees,
            total_ns,
            has_hits,
            trust: Trust::of_seen(manifest, seen),
            facts: ProfileMetadata::rows(manifest, &seen.counts, seen.repairs, seen.torn_bytes),
        }
    }

    /// The functions of each file that were run, with the lines that they came to.
    fn functions(&self) -> FxHashMap<usize, Vec<FunctionLines>> {
        let mut lines: BTreeMap<CodeId, Vec<u32>> = BTreeMap::new();
        for (&(code, _), spot) in &self.places {
            lines.entry(code).or_default().extend(spot.map(|spot| self.spots[spot].line));
        }
        let mut functions: FxHashMap<usize, Vec<FunctionLines>> = FxHashMap::default();
        for (code, mut lines) in lines {
            lines.sort_unstable();
            if let Some(&Some(file)) = self.code_files.get(&code) {
                let code = self.names.code_str(code);
                let code = Code::parse(&code);
                let (first_line, qualname) = (code.first_line, naming::qualname(&code));
                functions.entry(file).or_default().push(FunctionLines { first_line, qualname, lines });
            }
        }
        functions.values_mut().for_each(|functions| functions.sort_unstable());
        functions
    }
}

/// What was called, in order, and for each spot the calls that it made.
fn calls(
    edges: FxHashMap<(usize, Frame), Edge>,
    names: &Names,
    naming: &Naming,
) -> (Vec<Callee>, FxHashMap<usize, Vec<LineCalls>>) {
    let frames: FxHashSet<Frame> = edges.keys().map(|&(_, frame)| frame).collect();
    let mut callees: Vec<(Callee, Frame)> =
        frames.into_iter().map(|frame| (callee(frame, names, naming), frame)).collect();
    callees.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let numbers: FxHashMap<Frame, usize> =
        callees.iter().zip(0..).map(|(&(_, frame), at)| (frame, at)).collect();
    let mut calls: FxHashMap<usize, Vec<LineCalls>> = FxHashMap::default();
    for ((spot, frame), Edge { calls: count, total_ns }) in edges {
        calls.entry(spot).or_default().push(LineCalls { callee: numbers[&frame], calls: count, total_ns });
    }
    (callees.into_iter().map(|(callee, _)| callee).collect(), calls)
}

fn callee(frame: Frame, names: &Names, naming: &Naming) -> Callee {
    let code = match frame {
        Frame::Function(code) => names.code_str(code),
        _ => "".into(),
    };
    let Code { file, first_line, .. } = Code::parse(&code);
    let file = (!file.is_empty()).then(|| file.to_owned());
    Callee { file, first_line, label: naming.label(frame) }
}

impl Spot {
    fn totals(&self, has_hits: bool, mut calls: Vec<LineCalls>) -> LineTotals {
        calls.sort_unstable_by_key(|call| (std::cmp::Reverse(call.total_ns), call.callee));
        LineTotals {
            line: self.line,
            hits: has_hits.then_some(self.hits),
            entries: self.entries,
            returns: self.returns,
            self_ns: self.self_ns,
            total_ns: self.total_ns,
            calls,
        }
    }
}

impl Stack {
    /// The innermost call comes to a line.
    fn come_to(&mut self, spot: Option<usize>) {
        self.spots.come(spot);
        if let Some(open) = self.open.last_mut() {
            open.spot = spot.map(|spot| (spot, self.clock_ns));
        }
    }

    /// It goes from the line that it is on. Where that line is on the stack once more, the time is in that stay's.
    fn go_from_line(&mut self, spots: &mut [Spot]) {
        let Some((spot, since_ns)) = self.open.last_mut().and_then(|open| open.spot.take()) else { return };
        if self.spots.go(Some(spot)).is_some() {
            spots[spot].total_ns = spots[spot].total_ns.saturating_add(self.clock_ns - since_ns);
        }
    }
}

/// How often each of some things is on a stack.
#[derive(Debug, Default)]
struct Stays(FxHashMap<usize, u32>);

impl Stays {
    fn come(&mut self, what: Option<usize>) {
        if let Some(what) = what {
            *self.0.entry(what).or_default() += 1;
        }
    }

    /// Gives back what is on the stack no more.
    fn go(&mut self, what: Option<usize>) -> Option<usize> {
        let what = what?;
        let stays = self.0.get_mut(&what)?;
        *stays -= 1;
        let is_gone = *stays == 0;
        if is_gone {
            self.0.remove(&what);
        }
        is_gone.then_some(what)
    }
}
