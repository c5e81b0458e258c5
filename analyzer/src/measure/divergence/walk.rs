//! The walk of one thread over its calls, by the rules of `docs/design/tree.md`.

use pyrec_schema::{CodeId, Event, Marker, TextId};

use super::folder::Folder;
use super::head::{Finish, Hows, Key, Start};
use super::keys::{Function, Lookup};
use super::shapes::Shapes;
use crate::filter::TimeWindow;
use crate::measure::place::Spot;
use crate::tree::{Frame, OpenFrame, Repairs, Stack, StackOp};

/// How many of the lines that were executed last are kept in mind.
const LINES: usize = 8;

/// What the threads of a run share.
#[derive(Debug)]
pub struct Eye<'a> {
    /// Its functions.
    pub lookup: Lookup<'a>,
    /// Its calls.
    pub shapes: Shapes,
    /// How calls begin and end.
    pub hows: Hows,
    /// What had to be mended.
    pub repairs: Repairs,
    /// The stretch of time that is asked for.
    pub window: TimeWindow,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// What was called.
    pub key: Key,
    /// The line that is executing, 0 where lines were not recorded.
    pub line: i32,
    /// How many calls had been told in its thread before it.
    pub number: u64,
    /// Where what it called begins among the calls that wait for their caller's end.
    pub first: usize,
    /// How it began.
    pub start: Start,
    /// Whether it is asked for.
    pub is_told: bool,
    scene: Scene,
}

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Not in a call of what was asked for.
    Outside,
    /// In one.
    Inside,
    /// In a garbage collection. Those come when memory says, so nothing in them is told.
    Collecting,
}

/// Who is told what happens in a thread.
pub trait Tell {
    /// How many calls wait for their caller's end.
    fn waiting(&self) -> usize;

    /// A call is about to be entered. The number is how many calls were told before it.
    fn enter(&mut self, walk: &Walk, number: u64, time_ns: i64);

    /// The innermost call has ended, and stands no longer on the stack; without a finish it turned out to be none.
    fn leave(&mut self, walk: &Walk, open: &OpenFrame<Running>, finish: Option<Finish>, shapes: &mut Shapes);
}

/// The walk of one thread over its calls.
#[derive(Clone, Debug)]
pub struct Walk {
    is_wanted: bool,
    has_begun: bool,
    now_ns: i64,
    /// The number of the next call that is told.
    number: u64,
    scene: Scene,
    stack: Stack<Running>,
    lines: Recent,
}

/// Rows of one thread, in columns.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the columns are those of Event")]
pub struct Rows<'a> {
    pub times_ns: &'a [i64],
    pub markers: &'a [Marker],
    pub codes: &'a [CodeId],
    pub lines: &'a [i32],
    pub texts: &'a [TextId],
}

/// The lines that were executed last.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    ring: [(CodeId, i32); LINES],
    next: usize,
}

impl Recent {
    #[inline]
    fn push(&mut self, code: CodeId, line: i32) {
        self.ring[self.next] = (code, line);
        self.next = (self.next + 1) % LINES;
    }
}

impl Walk {
    /// A thread, before its first row.
    pub fn new(is_wanted: bool, is_open: bool) -> Walk {
        Walk {
            is_wanted,
            has_begun: false,
            now_ns: 0,
            number: 0,
            scene: if is_open { Scene::Inside } else { Scene::Outside },
            stack: Stack::default(),
            lines: Recent::default(),
        }
    }

    /// How many calls have been told.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When its last row was.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// How many calls are open.
    pub fn depth(&self) -> usize {
        self.stack.frames().len()
    }

    /// The open calls that are told, the innermost first, and the lines executing in them.
    pub fn callers(&self) -> impl Iterator<Item = Spot> {
        let told = |open: &&OpenFrame<Running>| open.data.is_told;
        let spot = |open: &OpenFrame<Running>| Spot { frame: open.frame, line: open.data.line };
        self.stack.frames().iter().rev().filter(told).map(spot)
    }

    /// The lines that were executed last, in order.
    pub fn lines(&self) -> impl Iterator<Item = Spot> {
        let Recent { ring, next } = self.lines;
        let lines = (0..LINES).map(move |at| ring[(next + at) % LINES]).filter(|&(_, line)| line > 0);
        lines.map(|(code, line)| Spot { frame: Frame::Function(code), line })
    }

    /// Begins anew: what stood under the number of the thread has ended, and another one begins.
    pub fn restart(&mut self) {
        (self.number, self.lines) = (0, Recent::default());
    }

    /// Reads the next row.
    pub fn push(&mut self, step: StackOp, event: &Event, eye: &mut Eye, tell: &mut impl Tell) {
        if !self.has_begun {
            (self.has_begun, self.now_ns) = (true, event.time_ns);
        }
        let until_ns = match step {
            StackOp::Lose { from_ns } => from_ns.clamp(self.now_ns.min(event.time_ns), event.time_ns),
            _ => event.time_ns,
        };
        eye.repairs.backwards += u64::from(until_ns < self.now_ns);
        self.now_ns = event.time_ns;
        match step {
            StackOp::Enter(frame) | StackOp::Open(frame) => self.enter(frame, event, eye, tell),
            StackOp::Leave(frame) => self.leave(frame, event, eye, tell),
            StackOp::Lose { .. } => {
                self.stack.lose();
                self.enter(Frame::Lost, event, eye, tell);
            }
            StackOp::Clear => self.finish(eye, tell),
            StackOp::Instant => self.point(event),
            StackOp::Ignore => {}
        }
    }

    /// Reads rows of functions and lines for as long as nothing is unusual about them: several times as fast.
    pub fn push_plain(&mut self, rows: Rows, eye: &mut Eye, folder: &mut Folder) -> usize {
        if !self.has_begun || !self.is_wanted || self.scene != Scene::Inside || eye.window != TimeWindow::ALL
        {
            return 0;
        }
        let count = rows.times_ns.len();
        let (times_ns, markers) = (&rows.times_ns[..count], &rows.markers[..count]);
        let (codes, texts) = (&rows.codes[..count], &rows.texts[..count]);
        let mut at = 0;
        while at < count {
            let (time_ns, marker, code, text) = (times_ns[at], markers[at], codes[at], texts[at]);
            if time_ns < self.now_ns {
                break;
            }
            match marker {
                Marker::FunctionEntry => {
                    let function = eye.lookup.code(code, &mut eye.shapes);
                    let start = eye.hows.start(text);
                    // A call that calls nothing, as most do, need not go up and down again.
                    if start == Start::Called
                        && function.is_shown
                        && at + 1 < count
                        && markers[at + 1] == Marker::FunctionReturn
                        && codes[at + 1] == code
                        && times_ns[at + 1] >= time_ns
                        && eye.hows.finish(texts[at + 1]) == Finish::Returned
                    {
                        self.number += 1;
                        folder.leaf(function.leaf);
                        self.now_ns = times_ns[at + 1];
                        at += 2;
                        continue;
                    }
                    let number = self.number;
                    self.number += u64::from(function.is_shown);
                    let Function { key, is_shown: is_told, .. } = function;
                    let (first, scene) = (folder.waiting(), self.scene);
                    let running = Running { key, line: 0, number, first, start, is_told, scene };
                    self.stack.push(Frame::Function(code), running);
                }
                Marker::FunctionReturn => {
                    let is_sure = |top: &OpenFrame<Running>| {
                        top.frame == Frame::Function(code) && !self.stack.is_cut(top)
                    };
                    if !self.stack.top().is_some_and(is_sure) {
                        break;
                    }
                    let Some(open) = self.stack.pop() else { break };
                    if open.data.is_told {
                        folder.fold(&open.data, eye.hows.finish(text), &mut eye.shapes);
                    }
                    self.scene = self.scene_here(eye);
                    if self.scene != Scene::Inside {
                        self.now_ns = time_ns;
                        return at + 1;
                    }
                }
                Marker::Line => self.line(code, rows.lines[at]),
                _ => break,
            }
            self.now_ns = time_ns;
            at += 1;
        }
        at
    }

    /// Ends the thread: what is open stays so.
    pub fn finish(&mut self, eye: &mut Eye, tell: &mut impl Tell) {
        while self.stack.top().is_some() {
            self.abandon(Finish::StillOpen, eye, tell);
        }
    }

    fn scene_here(&self, eye: &Eye) -> Scene {
        let outside = if eye.lookup.is_open() { Scene::Inside } else { Scene::Outside };
        self.stack.top().map_or(outside, |top| top.data.scene)
    }

    fn enter(&mut self, frame: Frame, event: &Event, eye: &mut Eye, tell: &mut impl Tell) {
        let function = eye.lookup.frame(frame, &mut eye.shapes);
        let scene = match (self.scene, frame) {
            (_, Frame::Gc) => Scene::Collecting,
            (_, Frame::Lost) if eye.lookup.is_open() => Scene::Inside,
            (_, Frame::Lost) => Scene::Outside,
            (Scene::Outside, _) if function.is_root => Scene::Inside,
            (scene, _) => scene,
        };
        let is_told = self.is_wanted
            && function.is_shown
            && scene == Scene::Inside
            && eye.window.contains(event.time_ns);
        if is_told {
            tell.enter(self, self.number, event.time_ns);
        }
        let (key, number, first) = (function.key, self.number, tell.waiting());
        let start = eye.hows.start(event.text);
        self.number += u64::from(is_told);
        self.scene = scene;
        self.stack.push(frame, Running { key, line: 0, number, first, start, is_told, scene });
    }

    fn leave(&mut self, frame: Frame, event: &Event, eye: &mut Eye, tell: &mut impl Tell) {
        let above = match self.stack.top() {
            Some(top) if top.frame == frame => Some(0),
            _ => self.stack.above(frame),
        };
        let Some(above) = above else {
            eye.repairs.unmatched_returns += 1;
            return;
        };
        for _ in 0..above {
            let is_cut = |top: &OpenFrame<Running>| top.frame == Frame::Lost || self.stack.is_cut(top);
            let finish = self.stack.top().is_some_and(is_cut).then_some(Finish::CutByLoss);
            self.abandon(finish.unwrap_or(Finish::Returned), eye, tell);
        }
        let finish = eye.hows.finish(event.text);
        self.close(Some(finish), eye, tell);
    }

    /// Takes off the innermost call, which no row ends.
    fn abandon(&mut self, finish: Finish, eye: &mut Eye, tell: &mut impl Tell) {
        let is_call = self.stack.top().is_some_and(|top| top.frame.is_call());
        match finish {
            _ if !is_call => {}
            Finish::CutByLoss => eye.repairs.cut_by_loss += 1,
            Finish::StillOpen => eye.repairs.still_open += 1,
            _ => eye.repairs.orphan_entries += 1,
        }
        // An entry that never returned was no call.
        self.close(Some(finish).filter(|&finish| finish != Finish::Returned), eye, tell);
    }

    fn close(&mut self, finish: Option<Finish>, eye: &mut Eye, tell: &mut impl Tell) {
        let Some(open) = self.stack.pop() else { return };
        self.scene = self.scene_here(eye);
        if open.data.is_told {
            tell.leave(self, &open, finish, &mut eye.shapes);
        }
    }

    fn point(&mut self, event: &Event) {
        if event.marker == Marker::Line && self.scene == Scene::Inside {
            self.line(event.code, event.line);
        }
    }

    #[inline]
    fn line(&mut self, code: CodeId, line: i32) {
        self.lines.push(code, line);
        let top = self.stack.frames().len().wrapping_sub(1);
        // The line of a function that is filtered out while recording is not that of its caller.
        if self.stack.top().is_some_and(|open| open.frame == Frame::Function(code)) {
            self.stack.data_mut(top).line = line;
        }
    }
}
