//! Attributes the time of single calls to lines.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pyrec_schema::{Code, CodeId, Columns, Event, Manifest, Marker, MarkerGroup, Names, Trace};
use rustc_hash::{FxHashMap, FxHashSet};

use super::line_totals::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
use crate::calls::{self, Call, CallEnd, CallEvent, Callers, TraceSummary};
use crate::measure::Trust;
use crate::measure::frame_names::{self, FrameNames};
use crate::order::ThreadId;
use crate::tree::{self, Frame, ProfileMetadata};
use crate::{Filter, Result};

impl Lines {
    /// Reads the lines of a trace. The minimum time of the filter is not applied: reports apply it.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<Lines> {
        let filter = filter.without_min_time();
        let mut collector = LineCollector::new(trace.names());
        let columns = Columns { line: true, value: false, text: false };
        let mut visit = |event: CallEvent, callers: Callers| {
            collector.visit(event, callers);
            Ok(())
        };
        let summary = calls::read(trace, &filter, columns, &mut visit)?;
        let manifest = trace.manifest();
        let has_hits = manifest.markers.iter().any(|group| group == MarkerGroup::Line.name());
        Ok(collector.finish(manifest, has_hits, &summary))
    }
}

/// Sums per line while single calls are visited.
#[derive(Debug)]
struct LineCollector<'a> {
    names: &'a Names,
    files: Vec<FileSums>,
    file_indices: FxHashMap<String, usize>,
    /// The file of a code object; none for code of an unknown file.
    code_files: FxHashMap<CodeId, Option<usize>>,
    lines: Vec<LineSums>,
    line_indices: FxHashMap<(usize, u32), usize>,
    /// The line of each line number of each executed code object; none where the file or the number
    /// is unknown.
    code_lines: FxHashMap<(CodeId, i32), Option<usize>>,
    /// The calls from each line.
    edges: FxHashMap<(usize, Frame), EdgeSums>,
    threads: FxHashMap<ThreadId, ThreadLines>,
}

/// Sums of one file.
#[derive(Debug)]
struct FileSums {
    path: String,
    total_ns: u64,
}

/// Sums of one line.
#[derive(Debug)]
struct LineSums {
    file: usize,
    number: u32,
    hits: u64,
    entries: u64,
    returns: u64,
    self_ns: u64,
    total_ns: u64,
}

/// Sums of the calls of one function from one line.
#[derive(Debug, Default)]
struct EdgeSums {
    calls: u64,
    total_ns: u64,
}

/// The open calls of a thread with their lines.
#[derive(Debug, Default)]
struct ThreadLines {
    open: Vec<OpenCall>,
    /// The time that has been charged to calls so far.
    clock_ns: u64,
    /// How often each line is on the stack.
    lines: Occurrences,
    /// How often each file is on the stack.
    files: Occurrences,
}

/// An open call.
#[derive(Debug)]
struct OpenCall {
    file: Option<usize>,
    /// The executing line, and the clock when its execution began.
    line: Option<(usize, u64)>,
    /// The clock at the entry.
    entry_ns: u64,
    /// How much of the call's self time has been charged to lines.
    charged_ns: u64,
}

impl<'a> LineCollector<'a> {
    fn new(names: &'a Names) -> Self {
        LineCollector {
            names,
            files: Vec::new(),
            file_indices: FxHashMap::default(),
            code_files: FxHashMap::default(),
            lines: Vec::new(),
            line_indices: FxHashMap::default(),
            code_lines: FxHashMap::default(),
            edges: FxHashMap::default(),
            threads: FxHashMap::default(),
        }
    }

    fn visit(&mut self, event: CallEvent, callers: Callers) {
        match event {
            CallEvent::Enter(call) => self.enter(call, callers),
            CallEvent::Leave(call, end) => self.leave(call, end),
            CallEvent::Instant(event) | CallEvent::UnmatchedReturn(_, event) => self.instant(event, callers),
        }
    }

    fn enter(&mut self, call: &Call, callers: Callers) {
        self.charge(&call.entry, callers.innermost());
        let file = self.file_of(call.frame);
        let line = self.line_of(call.frame, call.entry.line).or_else(|| self.first_line_of(call.frame));
        let thread = self.threads.entry(ThreadId::of(&call.entry)).or_default();
        if let Some((calling_line, _)) = thread.open.last().and_then(|caller| caller.line) {
            self.edges.entry((calling_line, call.frame)).or_default().calls += u64::from(call.counts);
        }
        thread.files.add(file);
        thread.open.push(OpenCall { file, line: None, entry_ns: thread.clock_ns, charged_ns: 0 });
        thread.begin_line(line);
        if let Some(line) = line {
            self.lines[line].entries += u64::from(call.counts);
        }
    }

    fn leave(&mut self, call: &Call, end: CallEnd) {
        self.charge(&call.entry, Some(call));
        if let Some(event) = end.event
            && let Some(line) = self.line_of(call.frame, event.line)
        {
            self.lines[line].returns += 1;
        }
        let Some(thread) = self.threads.get_mut(&ThreadId::of(&call.entry)) else { return };
        thread.end_line(&mut self.lines);
        let Some(open) = thread.open.pop() else { return };
        let duration_ns = thread.clock_ns - open.entry_ns;
        if let Some(file) = thread.files.remove(open.file) {
            self.files[file].total_ns = self.files[file].total_ns.saturating_add(duration_ns);
        }
        if let Some((calling_line, _)) = thread.open.last().and_then(|caller| caller.line)
            && let Some(edge) = self.edges.get_mut(&(calling_line, call.frame))
        {
            edge.total_ns = edge.total_ns.saturating_add(duration_ns);
        }
    }

    fn instant(&mut self, event: &Event, callers: Callers) {
        self.charge(event, callers.innermost());
        if event.marker != Marker::Line {
            return;
        }
        let frame = Frame::Function(event.code);
        let Some(line) = self.line_of(frame, event.line) else { return };
        self.lines[line].hits += 1;
        // A function whose entry was not recorded is not on the stack, and its time is part of its
        // caller's.
        if callers.innermost().is_some_and(|call| call.frame == frame)
            && let Some(thread) = self.threads.get_mut(&ThreadId::of(event))
        {
            thread.end_line(&mut self.lines);
            thread.begin_line(Some(line));
        }
    }

    /// Charges the time since the previous event to the executing line of the innermost call.
    fn charge(&mut self, event: &Event, innermost: Option<&Call>) {
        let (Some(call), Some(thread)) = (innermost, self.threads.get_mut(&ThreadId::of(event))) else {
            return;
        };
        let Some(open) = thread.open.last_mut() else { return };
        let passed_ns = call.self_ns - open.charged_ns;
        open.charged_ns = call.self_ns;
        thread.clock_ns = thread.clock_ns.saturating_add(passed_ns);
        if let Some((line, _)) = open.line {
            self.lines[line].self_ns = self.lines[line].self_ns.saturating_add(passed_ns);
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
            *self.file_indices.entry(name.to_owned()).or_insert_with(|| {
                self.files.push(FileSums { path: name.to_owned(), total_ns: 0 });
                self.files.len() - 1
            })
        });
        self.code_files.insert(code, file);
        file
    }

    fn line_of(&mut self, frame: Frame, number: i32) -> Option<usize> {
        let Frame::Function(code) = frame else { return None };
        if let Some(&line) = self.code_lines.get(&(code, number)) {
            return line;
        }
        let line = self.add_line(frame, number);
        self.code_lines.insert((code, number), line);
        line
    }

    /// The first line of a code object, for entries without a line: modules are entered on line 0
    /// since CPython 3.11.
    fn first_line_of(&mut self, frame: Frame) -> Option<usize> {
        let Frame::Function(code) = frame else { return None };
        let first_line = Code::parse(&self.names.code_str(code)).first_line?;
        self.line_of(frame, i32::try_from(first_line).ok()?)
    }

    /// Adds a line. Line numbers begin with 1; rows of code objects without a line table have 0.
    #[cold]
    fn add_line(&mut self, frame: Frame, number: i32) -> Option<usize> {
        let file = self.file_of(frame)?;
        let number = u32::try_from(number).ok().filter(|&number| number > 0)?;
        let line = self.line_indices.entry((file, number)).or_insert_with(|| {
            self.lines.push(LineSums {
                file,
                number,
                hits: 0,
                entries: 0,
                returns: 0,
                self_ns: 0,
                total_ns: 0,
            });
            self.lines.len() - 1
        });
        Some(*line)
    }

    fn finish(self, manifest: &Manifest, has_hits: bool, summary: &TraceSummary) -> Lines {
        let frame_names = FrameNames::new(self.names, manifest);
        let mut functions = self.functions();
        let (callees, mut calls) = calls_by_line(self.edges, self.names, &frame_names);
        let mut files: Vec<FileLines> = self
            .files
            .iter()
            .zip(0..)
            .map(|(file, index)| FileLines {
                file: file.path.clone(),
                module: frame_names.module(&file.path),
                self_ns: 0,
                total_ns: file.total_ns,
                functions: functions.remove(&index).unwrap_or_default(),
                lines: Vec::new(),
            })
            .collect();
        for (index, line) in self.lines.iter().enumerate() {
            let file = &mut files[line.file];
            file.self_ns = file.self_ns.saturating_add(line.self_ns);
            file.lines.push(line.totals(has_hits, calls.remove(&index).unwrap_or_default()));
        }
        files.retain(|file| !file.lines.is_empty());
        files.iter_mut().for_each(|file| file.lines.sort_unstable_by_key(|line| line.line));
        files.sort_unstable_by(|a, b| a.file.cmp(&b.file));
        let total_ns = tree::saturating_sum(self.threads.values().map(|thread| thread.clock_ns));
        Lines {
            files,
            callees,
            total_ns,
            has_hits,
            trust: Trust::of_summary(manifest, summary),
            facts: ProfileMetadata::rows(manifest, &summary.counts, summary.repairs, summary.torn_bytes),
        }
    }

    /// The executed functions of each file, with their executed lines.
    fn functions(&self) -> FxHashMap<usize, Vec<FunctionLines>> {
        let mut lines: BTreeMap<CodeId, Vec<u32>> = BTreeMap::new();
        for (&(code, _), line) in &self.code_lines {
            lines.entry(code).or_default().extend(line.map(|line| self.lines[line].number));
        }
        let mut functions: FxHashMap<usize, Vec<FunctionLines>> = FxHashMap::default();
        for (code, mut lines) in lines {
            lines.sort_unstable();
            if let Some(&Some(file)) = self.code_files.get(&code) {
                let code = self.names.code_str(code);
                let code = Code::parse(&code);
                let (first_line, qualname) = (code.first_line, frame_names::qualname(&code));
                functions.entry(file).or_default().push(FunctionLines { first_line, qualname, lines });
            }
        }
        functions.values_mut().for_each(|functions| functions.sort_unstable());
        functions
    }
}

/// The sorted callees of all lines, and the calls from each line.
fn calls_by_line(
    edges: FxHashMap<(usize, Frame), EdgeSums>,
    names: &Names,
    frame_names: &FrameNames,
) -> (Vec<Callee>, FxHashMap<usize, Vec<LineCalls>>) {
    let frames: FxHashSet<Frame> = edges.keys().map(|&(_, frame)| frame).collect();
    let mut callees: Vec<(Callee, Frame)> =
        frames.into_iter().map(|frame| (callee(frame, names, frame_names), frame)).collect();
    callees.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let indices: FxHashMap<Frame, usize> =
        callees.iter().zip(0..).map(|(&(_, frame), index)| (frame, index)).collect();
    let mut calls: FxHashMap<usize, Vec<LineCalls>> = FxHashMap::default();
    for ((line, frame), EdgeSums { calls: count, total_ns }) in edges {
        calls.entry(line).or_default().push(LineCalls { callee: indices[&frame], calls: count, total_ns });
    }
    (callees.into_iter().map(|(callee, _)| callee).collect(), calls)
}

fn callee(frame: Frame, names: &Names, frame_names: &FrameNames) -> Callee {
    let code = match frame {
        Frame::Function(code) => names.code_str(code),
        _ => "".into(),
    };
    let Code { file, first_line, .. } = Code::parse(&code);
    let file = (!file.is_empty()).then(|| file.to_owned());
    Callee { file, first_line, label: frame_names.label(frame) }
}

impl LineSums {
    fn totals(&self, has_hits: bool, mut calls: Vec<LineCalls>) -> LineTotals {
        calls.sort_unstable_by_key(|call| (Reverse(call.total_ns), call.callee));
        LineTotals {
            line: self.number,
            hits: has_hits.then_some(self.hits),
            entries: self.entries,
            returns: self.returns,
            self_ns: self.self_ns,
            total_ns: self.total_ns,
            calls,
        }
    }
}

impl ThreadLines {
    /// The innermost call begins a line.
    fn begin_line(&mut self, line: Option<usize>) {
        self.lines.add(line);
        if let Some(open) = self.open.last_mut() {
            open.line = line.map(|line| (line, self.clock_ns));
        }
    }

    /// The innermost call ends its line. If the line is on the stack elsewhere, the outermost stay
    /// includes this time.
    fn end_line(&mut self, lines: &mut [LineSums]) {
        let Some((line, since_ns)) = self.open.last_mut().and_then(|open| open.line.take()) else { return };
        if self.lines.remove(Some(line)).is_some() {
            lines[line].total_ns = lines[line].total_ns.saturating_add(self.clock_ns - since_ns);
        }
    }
}

/// How often each index occurs on a stack.
#[derive(Debug, Default)]
struct Occurrences(FxHashMap<usize, u32>);

impl Occurrences {
    fn add(&mut self, index: Option<usize>) {
        if let Some(index) = index {
            *self.0.entry(index).or_default() += 1;
        }
    }

    /// Removes one occurrence. Returns the index if it was the last one.
    fn remove(&mut self, index: Option<usize>) -> Option<usize> {
        let index = index?;
        let count = self.0.get_mut(&index)?;
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.0.remove(&index);
        }
        is_last.then_some(index)
    }
}
