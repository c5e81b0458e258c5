//! Replays the rows of one thread over a call stack, by the rules of `docs/design/tree.md`.

use pyrec_schema::{CodeId, Event, Marker, TextId};

use super::call_key::{CallOutcome, CallStart, FunctionKey, TransitionTexts};
use super::function_table::{FunctionInfo, FunctionTable};
use super::subtrees::{HashedSubtree, Subtrees};
use crate::filter::TimeWindow;
use crate::measure::source_location::FrameLocation;
use crate::tree::{Frame, OpenFrame, Repairs, Stack, StackOp};

/// The number of most recently executed lines that are kept.
const RECENT_LINES: usize = 8;

/// What the replays of a run's threads share.
#[derive(Debug)]
pub struct ReplayContext<'a> {
    /// The functions of the run.
    pub functions: FunctionTable<'a>,
    /// The subtrees of the run.
    pub subtrees: Subtrees,
    /// The texts of rows that give the start and outcome of calls.
    pub transitions: TransitionTexts,
    /// The repairs in all threads.
    pub repairs: Repairs,
    /// The window of the filter.
    pub window: TimeWindow,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
pub struct OpenCall {
    /// The function.
    pub function: FunctionKey,
    /// The executing line; 0 where lines were not recorded.
    pub line: i32,
    /// The number of calls that the thread had made before, as far as the filter keeps them.
    pub number: u64,
    /// The position of its first callee among the pending calls.
    pub first_callee: usize,
    /// How it began.
    pub start: CallStart,
    /// Whether it is compared. If not, its callees count as those of its caller.
    pub is_compared: bool,
    scope: Scope,
}

/// Whether calls are compared at a point of the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Outside the filter's root function: no.
    Outside,
    /// Within it, or no root function was given: yes.
    Inside,
    /// In a garbage collection: no, since collections start at arbitrary points of a program.
    Collection,
}

/// Receives the calls of a thread.
pub trait CallObserver {
    /// The number of calls that have ended, and whose callers have not.
    fn pending(&self) -> usize;

    /// A call is about to be pushed onto the stack. `number` is its [`OpenCall::number`].
    fn enter(&mut self, replay: &ThreadReplay, number: u64, time_ns: i64);

    /// The innermost call has been popped from the stack. Without an outcome, its entry never
    /// returned and it was no call.
    fn leave(
        &mut self,
        replay: &ThreadReplay,
        open: &OpenFrame<OpenCall>,
        outcome: Option<CallOutcome>,
        subtrees: &mut Subtrees,
    );
}

/// An observer that can also receive calls from [`ThreadReplay::push_plain`], which reports no
/// entries.
pub trait FastPathObserver: CallObserver {
    /// A call returned without callees.
    fn leaf(&mut self, leaf: HashedSubtree);

    /// A call ended.
    fn end(&mut self, call: &OpenCall, outcome: CallOutcome, subtrees: &mut Subtrees);
}

/// The replay of one thread.
#[derive(Clone, Debug)]
pub struct ThreadReplay {
    is_wanted: bool,
    has_begun: bool,
    now_ns: i64,
    /// The number of the next compared call.
    number: u64,
    scope: Scope,
    stack: Stack<OpenCall>,
    lines: RecentLines,
}

/// Rows of one thread, column by column. The columns are those of [`Event`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are columns of Event")]
pub struct RowColumns<'a> {
    pub times_ns: &'a [i64],
    pub markers: &'a [Marker],
    pub codes: &'a [CodeId],
    pub lines: &'a [i32],
    pub texts: &'a [TextId],
}

/// A ring of the most recently executed lines.
#[derive(Clone, Copy, Debug, Default)]
struct RecentLines {
    ring: [(CodeId, i32); RECENT_LINES],
    next: usize,
}

impl RecentLines {
    #[inline]
    fn push(&mut self, code: CodeId, line: i32) {
        self.ring[self.next] = (code, line);
        self.next = (self.next + 1) % RECENT_LINES;
    }
}

impl ThreadReplay {
    /// A thread before its first row. `is_wanted` is whether the filter keeps the thread, `is_open`
    /// whether it keeps what happens outside any call.
    pub fn new(is_wanted: bool, is_open: bool) -> ThreadReplay {
        ThreadReplay {
            is_wanted,
            has_begun: false,
            now_ns: 0,
            number: 0,
            scope: if is_open { Scope::Inside } else { Scope::Outside },
            stack: Stack::default(),
            lines: RecentLines::default(),
        }
    }

    /// The number of compared calls so far.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The time of the last row.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// The number of open calls.
    pub fn depth(&self) -> usize {
        self.stack.frames().len()
    }

    /// The compared open calls with their executing lines, the innermost first.
    pub fn callers(&self) -> impl Iterator<Item = FrameLocation> {
        let is_compared = |open: &&OpenFrame<OpenCall>| open.data.is_compared;
        let location = |open: &OpenFrame<OpenCall>| FrameLocation { frame: open.frame, line: open.data.line };
        self.stack.frames().iter().rev().filter(is_compared).map(location)
    }

    /// The most recently executed lines, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = FrameLocation> {
        let RecentLines { ring, next } = self.lines;
        let lines = (0..RECENT_LINES).map(move |index| ring[(next + index) % RECENT_LINES]);
        lines
            .filter(|&(_, line)| line > 0)
            .map(|(code, line)| FrameLocation { frame: Frame::Function(code), line })
    }

    /// Resets the call number and the recent lines: the thread has ended, and the system may reuse
    /// its id.
    pub fn restart(&mut self) {
        (self.number, self.lines) = (0, RecentLines::default());
    }

    /// Replays the next row.
    pub fn push(
        &mut self,
        step: StackOp,
        event: &Event,
        context: &mut ReplayContext,
        observer: &mut impl CallObserver,
    ) {
        if !self.has_begun {
            (self.has_begun, self.now_ns) = (true, event.time_ns);
        }
        let until_ns = match step {
            StackOp::Lose { from_ns } => from_ns.clamp(self.now_ns.min(event.time_ns), event.time_ns),
            _ => event.time_ns,
        };
        context.repairs.backwards += u64::from(until_ns < self.now_ns);
        self.now_ns = event.time_ns;
        match step {
            StackOp::Enter(frame) | StackOp::Open(frame) => self.enter(frame, event, context, observer),
            StackOp::Leave(frame) => self.leave(frame, event, context, observer),
            StackOp::Lose { .. } => {
                self.stack.lose();
                self.enter(Frame::Lost, event, context, observer);
            }
            StackOp::Clear => self.finish(context, observer),
            StackOp::Instant => self.point(event),
            StackOp::Ignore => {}
        }
    }

    /// The fast path: replays rows up to the first one that needs [`ThreadReplay::push`]. Returns
    /// how many.
    ///
    /// It handles entries, balanced returns and lines in a compared scope without a window, in the
    /// order of time.
    pub fn push_plain(
        &mut self,
        rows: RowColumns,
        context: &mut ReplayContext,
        observer: &mut impl FastPathObserver,
    ) -> usize {
        if !self.has_begun
            || !self.is_wanted
            || self.scope != Scope::Inside
            || context.window != TimeWindow::ALL
        {
            return 0;
        }
        let count = rows.times_ns.len();
        let (times_ns, markers) = (&rows.times_ns[..count], &rows.markers[..count]);
        let (codes, texts) = (&rows.codes[..count], &rows.texts[..count]);
        let mut row = 0;
        while row < count {
            let (time_ns, marker, code, text) = (times_ns[row], markers[row], codes[row], texts[row]);
            if time_ns < self.now_ns {
                break;
            }
            match marker {
                Marker::FunctionEntry => {
                    let function = context.functions.code(code, &mut context.subtrees);
                    let start = context.transitions.start(text);
                    // Most calls have no callees: their two rows need no stack.
                    if start == CallStart::Called
                        && function.is_shown
                        && row + 1 < count
                        && markers[row + 1] == Marker::FunctionReturn
                        && codes[row + 1] == code
                        && times_ns[row + 1] >= time_ns
                        && context.transitions.outcome(texts[row + 1]) == CallOutcome::Returned
                    {
                        self.number += 1;
                        observer.leaf(function.leaf);
                        self.now_ns = times_ns[row + 1];
                        row += 2;
                        continue;
                    }
                    let number = self.number;
                    self.number += u64::from(function.is_shown);
                    let FunctionInfo { key, is_shown: is_compared, .. } = function;
                    let (first_callee, scope) = (observer.pending(), self.scope);
                    let call =
                        OpenCall { function: key, line: 0, number, first_callee, start, is_compared, scope };
                    self.stack.push(Frame::Function(code), call);
                }
                Marker::FunctionReturn => {
                    let is_its_return = |top: &OpenFrame<OpenCall>| {
                        top.frame == Frame::Function(code) && !self.stack.is_cut(top)
                    };
                    if !self.stack.top().is_some_and(is_its_return) {
                        break;
                    }
                    let Some(open) = self.stack.pop() else { break };
                    if open.data.is_compared {
                        observer.end(&open.data, context.transitions.outcome(text), &mut context.subtrees);
                    }
                    self.scope = self.scope_of_top(context);
                    if self.scope != Scope::Inside {
                        self.now_ns = time_ns;
                        return row + 1;
                    }
                }
                Marker::Line => self.line(code, rows.lines[row]),
                _ => break,
            }
            self.now_ns = time_ns;
            row += 1;
        }
        row
    }

    /// Ends the thread. Open calls end as [`CallOutcome::StillOpen`].
    pub fn finish(&mut self, context: &mut ReplayContext, observer: &mut impl CallObserver) {
        while self.stack.top().is_some() {
            self.abandon(CallOutcome::StillOpen, context, observer);
        }
    }

    fn scope_of_top(&self, context: &ReplayContext) -> Scope {
        let outside_calls = if context.functions.is_open() { Scope::Inside } else { Scope::Outside };
        self.stack.top().map_or(outside_calls, |top| top.data.scope)
    }

    fn enter(
        &mut self,
        frame: Frame,
        event: &Event,
        context: &mut ReplayContext,
        observer: &mut impl CallObserver,
    ) {
        let function = context.functions.frame(frame, &mut context.subtrees);
        let scope = match (self.scope, frame) {
            (_, Frame::Gc) => Scope::Collection,
            (_, Frame::Lost) if context.functions.is_open() => Scope::Inside,
            (_, Frame::Lost) => Scope::Outside,
            (Scope::Outside, _) if function.is_root => Scope::Inside,
            (scope, _) => scope,
        };
        let is_compared = self.is_wanted
            && function.is_shown
            && scope == Scope::Inside
            && context.window.contains(event.time_ns);
        if is_compared {
            observer.enter(self, self.number, event.time_ns);
        }
        let (number, first_callee) = (self.number, observer.pending());
        let start = context.transitions.start(event.text);
        self.number += u64::from(is_compared);
        self.scope = scope;
        let call =
            OpenCall { function: function.key, line: 0, number, first_callee, start, is_compared, scope };
        self.stack.push(frame, call);
    }

    fn leave(
        &mut self,
        frame: Frame,
        event: &Event,
        context: &mut ReplayContext,
        observer: &mut impl CallObserver,
    ) {
        let above = match self.stack.top() {
            Some(top) if top.frame == frame => Some(0),
            _ => self.stack.above(frame),
        };
        let Some(above) = above else {
            context.repairs.unmatched_returns += 1;
            return;
        };
        for _ in 0..above {
            let is_cut = |top: &OpenFrame<OpenCall>| top.frame == Frame::Lost || self.stack.is_cut(top);
            let outcome = self.stack.top().is_some_and(is_cut).then_some(CallOutcome::CutByLoss);
            self.abandon(outcome.unwrap_or(CallOutcome::Returned), context, observer);
        }
        let outcome = context.transitions.outcome(event.text);
        self.close(Some(outcome), context, observer);
    }

    /// Pops the innermost call, which has no return row, and counts the repair.
    fn abandon(
        &mut self,
        outcome: CallOutcome,
        context: &mut ReplayContext,
        observer: &mut impl CallObserver,
    ) {
        let is_call = self.stack.top().is_some_and(|top| top.frame.is_call());
        match outcome {
            _ if !is_call => {}
            CallOutcome::CutByLoss => context.repairs.cut_by_loss += 1,
            CallOutcome::StillOpen => context.repairs.still_open += 1,
            _ => context.repairs.orphan_entries += 1,
        }
        // An entry that never returned was no call.
        self.close(Some(outcome).filter(|&outcome| outcome != CallOutcome::Returned), context, observer);
    }

    fn close(
        &mut self,
        outcome: Option<CallOutcome>,
        context: &mut ReplayContext,
        observer: &mut impl CallObserver,
    ) {
        let Some(open) = self.stack.pop() else { return };
        self.scope = self.scope_of_top(context);
        if open.data.is_compared {
            observer.leave(self, &open, outcome, &mut context.subtrees);
        }
    }

    fn point(&mut self, event: &Event) {
        if event.marker == Marker::Line && self.scope == Scope::Inside {
            self.line(event.code, event.line);
        }
    }

    #[inline]
    fn line(&mut self, code: CodeId, line: i32) {
        self.lines.push(code, line);
        let top = self.stack.frames().len().wrapping_sub(1);
        // The line of a function that was left out while recording is not that of its caller.
        if self.stack.top().is_some_and(|open| open.frame == Frame::Function(code)) {
            self.stack.data_mut(top).line = line;
        }
    }
}
