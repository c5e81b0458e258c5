//! The open calls of one thread.

use pyrec_schema::{Event, LostEvents, Marker, Names};

use super::call::{Call, CallEnd, CallEvent, CallVisitor, Callers, Ending, OpenCall};
use crate::Result;
use crate::filter::TimeWindow;
use crate::tree::{Frame, FrameFilter, OpenFrame, Repairs, Stack, StackOp};

/// What the threads of a trace share.
#[derive(Debug)]
pub struct ReaderState<'a> {
    pub frames: FrameFilter<'a>,
    pub names: &'a Names,
    pub window: TimeWindow,
    /// Calls that lasted less are not visited.
    pub min_time_ns: i64,
    /// The number of the next call.
    pub next_id: u64,
    pub repairs: Repairs,
}

/// The stack of one thread, and which of its calls have been visited.
#[derive(Debug)]
pub struct ThreadCalls {
    /// Whether the filter selects the thread. Repairs of other threads count all the same.
    is_selected: bool,
    has_begun: bool,
    stack: Stack<OpenCall>,
    /// How many of the open calls have been entered for the visitor. These are the outermost ones,
    /// since a caller has lasted longer than what it calls.
    entered: usize,
    /// The time of the last row, and of the row before it.
    now_ns: i64,
    last_ns: i64,
    /// The measured time up to the last row. It stands still during losses and where time runs
    /// backwards.
    clock_ns: u64,
}

/// A row and the time before it.
#[derive(Clone, Copy)]
struct TimedRow<'a> {
    event: &'a Event,
    /// The measured time since the row before.
    wait_ns: u64,
}

impl ThreadCalls {
    /// A thread before its first row.
    pub fn new(is_selected: bool) -> Self {
        ThreadCalls {
            is_selected,
            has_begun: false,
            stack: Stack::default(),
            entered: 0,
            now_ns: 0,
            last_ns: 0,
            clock_ns: 0,
        }
    }

    /// Reads the thread's next row.
    pub fn push(
        &mut self,
        op: StackOp,
        event: &Event,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        if !self.has_begun {
            self.has_begun = true;
            self.now_ns = event.time_ns;
        }
        let until_ns = match op {
            StackOp::Lose { from_ns } => from_ns.clamp(self.now_ns.min(event.time_ns), event.time_ns),
            _ => event.time_ns,
        };
        let wait_ns = self.advance(until_ns, state);
        (self.last_ns, self.now_ns) = (self.now_ns, event.time_ns);
        self.visit_entered(self.last_ns, state, visit)?;
        let row = TimedRow { event, wait_ns };
        match op {
            StackOp::Enter(frame) | StackOp::Open(frame) => self.enter(frame, row, state, visit),
            StackOp::Leave(frame) => self.leave(frame, row, state, visit),
            StackOp::Lose { .. } => self.lose(row, state, visit),
            StackOp::Clear => self.clear(row, state, visit),
            StackOp::Instant => self.instant(row, state, visit),
            StackOp::Ignore => Ok(()),
        }
    }

    /// Ends the thread: its open calls end as [`Ending::StillOpen`].
    pub fn finish(&mut self, state: &mut ReaderState, visit: &mut impl CallVisitor) -> Result<()> {
        self.end(self.now_ns, state, visit)
    }

    /// Advances the clock to an instant. Returns the measured time since the last row.
    fn advance(&mut self, time_ns: i64, state: &mut ReaderState) -> u64 {
        state.repairs.backwards += u64::from(time_ns < self.now_ns);
        let wait_ns = state.window.overlap_ns(self.now_ns, time_ns);
        self.clock_ns = self.clock_ns.wrapping_add(wait_ns);
        wait_ns
    }

    /// Charges time to the innermost selected call.
    fn charge(&mut self, wait_ns: u64) {
        let position = self.stack.frames().len().wrapping_sub(1);
        if let Some(charged) = self.stack.top().and_then(|top| top.data.charged(position)) {
            let call = &mut self.stack.data_mut(charged).call;
            call.self_ns = call.self_ns.saturating_add(wait_ns);
        }
    }

    /// Visits the entry of each call that has now lasted the minimum time and overlaps the time
    /// window. The calls have been open since `since_ns` at least, which may be later than now
    /// where time runs backwards.
    fn visit_entered(
        &mut self,
        since_ns: i64,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        while let Some(OpenFrame { data: open, .. }) = self.stack.frames().get(self.entered) {
            let entry_ns = open.call.entry.time_ns;
            let is_long = self.now_ns.saturating_sub(entry_ns).max(0) >= state.min_time_ns;
            let overlaps = state.window.from_ns <= self.now_ns && entry_ns.min(since_ns) < state.window.to_ns;
            if !(is_long && overlaps) {
                break;
            }
            let position = self.entered;
            self.entered += 1;
            if open.is_shown {
                let caller = open.caller;
                let parent = caller.map(|caller| self.stack.frames()[caller].data.call.id);
                let call = &mut self.stack.data_mut(position).call;
                (call.id, call.parent) = (state.next_id, parent);
                state.next_id += 1;
                visit(CallEvent::Enter(&self.stack.frames()[position].data.call), self.callers(caller))?;
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        frame: Frame,
        row: TimedRow,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        self.charge(row.wait_ns);
        let (caller, is_inside) = self.surroundings(state);
        let selection = state.frames.select(frame);
        let is_inside = is_inside || selection.root;
        self.open(frame, caller, is_inside, is_inside && selection.shown, row.event, state);
        self.visit_entered(self.now_ns, state, visit)
    }

    fn open(
        &mut self,
        frame: Frame,
        caller: Option<usize>,
        is_inside: bool,
        is_shown: bool,
        entry: &Event,
        state: &ReaderState,
    ) {
        let depth = caller.map_or(0, |caller| self.stack.frames()[caller].data.call.depth + 1);
        let counts = frame != Frame::Lost && state.window.contains(entry.time_ns);
        let call = Call { id: 0, parent: None, depth, frame, entry: *entry, counts, self_ns: 0 };
        let is_shown = is_shown && self.is_selected;
        self.stack.push(frame, OpenCall { call, caller, is_shown, is_inside, since_ns: self.clock_ns });
    }

    fn leave(
        &mut self,
        frame: Frame,
        row: TimedRow,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        // Most returns are from the innermost call, and looking for others has its cost.
        let above = match self.stack.top() {
            Some(top) if top.frame == frame => Some(0),
            _ => self.stack.above(frame),
        };
        let Some(above) = above else { return self.unmatched_return(frame, row, state, visit) };
        let TimedRow { event, wait_ns } = row;
        let mut last_ns = self.last_ns;
        for _ in 0..above {
            let is_cut = |top: &OpenFrame<OpenCall>| top.frame == Frame::Lost || self.stack.is_cut(top);
            let ending = match self.stack.top().is_some_and(is_cut) {
                true => Ending::InLoss,
                false => Ending::NeverReturned,
            };
            last_ns = self.abandon(ending, last_ns, state, visit)?;
        }
        self.charge(wait_ns);
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let ending = if self.stack.is_cut(&open) { Ending::AcrossLoss } else { Ending::Returned };
        let Call { counts, entry, .. } = open.data.call;
        let is_measured = ending == Ending::Returned && counts && entry.marker != Marker::FunctionOpen;
        let duration_ns = (is_measured && state.window.contains(event.time_ns))
            .then(|| self.clock_ns.wrapping_sub(open.data.since_ns));
        let time_ns = event.time_ns;
        let end = CallEnd { ending, time_ns, known_ns: time_ns, duration_ns, event: Some(event) };
        self.visit_end(&open.data, end, visit)
    }

    /// Pops the innermost call, which no row ends. Returns the last instant at which the call below
    /// it is known to have run.
    fn abandon(
        &mut self,
        ending: Ending,
        last_ns: i64,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<i64> {
        let Some(OpenFrame { frame, data: open, .. }) = self.stack.pop() else { return Ok(last_ns) };
        match ending {
            _ if !frame.is_call() => {}
            Ending::InLoss => state.repairs.cut_by_loss += 1,
            Ending::StillOpen => state.repairs.still_open += 1,
            _ => state.repairs.orphan_entries += 1,
        }
        let end = CallEnd { ending, time_ns: last_ns, known_ns: self.now_ns, duration_ns: None, event: None };
        self.visit_end(&open, end, visit)?;
        // Calls that were open when events were lost are known to have run until the loss began.
        let loss = LostEvents::from_event(&open.call.entry, state.names);
        Ok(loss.map_or(last_ns, |lost| lost.from_ns.min(last_ns)))
    }

    /// Visits the end of a call that has been popped.
    fn visit_end(&mut self, open: &OpenCall, end: CallEnd, visit: &mut impl CallVisitor) -> Result<()> {
        let was_entered = self.entered > self.stack.frames().len();
        self.entered = self.entered.min(self.stack.frames().len());
        match open.caller {
            _ if !open.is_shown => Ok(()),
            caller if was_entered => visit(CallEvent::Leave(&open.call, end), self.callers(caller)),
            // A call below the minimum time counts as part of its caller.
            Some(caller) => {
                let call = &mut self.stack.data_mut(caller).call;
                call.self_ns = call.self_ns.saturating_add(open.call.self_ns);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn unmatched_return(
        &mut self,
        frame: Frame,
        row: TimedRow,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        self.charge(row.wait_ns);
        state.repairs.unmatched_returns += 1;
        let (_, is_inside) = self.surroundings(state);
        let is_shown = is_inside && state.frames.select(frame).shown;
        self.visit_row(is_shown, CallEvent::UnmatchedReturn(frame, row.event), row.event, state, visit)
    }

    fn instant(
        &mut self,
        row: TimedRow,
        state: &mut ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        let event = row.event;
        self.charge(row.wait_ns);
        let (_, is_inside) = self.surroundings(state);
        let is_shown =
            is_inside && (event.marker != Marker::Line || state.frames.select_code(event.code).shown);
        self.visit_row(is_shown, CallEvent::Instant(event), event, state, visit)
    }

    /// After a loss, any of the open calls may have ended. They stay on the stack, since a later
    /// return may show that they did not; until then, what follows has an unknown caller.
    fn lose(&mut self, row: TimedRow, state: &mut ReaderState, visit: &mut impl CallVisitor) -> Result<()> {
        self.charge(row.wait_ns);
        self.visit_row(true, CallEvent::Instant(row.event), row.event, state, visit)?;
        self.stack.lose();
        let is_inside = state.frames.is_unrooted();
        self.open(Frame::Lost, None, is_inside, is_inside, row.event, state);
        self.visit_entered(self.now_ns, state, visit)
    }

    /// A thread or a process begins or ends. Open calls end as [`Ending::StillOpen`], and the time
    /// since the last row is charged to no call.
    fn clear(&mut self, row: TimedRow, state: &mut ReaderState, visit: &mut impl CallVisitor) -> Result<()> {
        self.end(self.last_ns, state, visit)?;
        self.visit_row(state.frames.is_unrooted(), CallEvent::Instant(row.event), row.event, state, visit)
    }

    fn end(&mut self, last_ns: i64, state: &mut ReaderState, visit: &mut impl CallVisitor) -> Result<()> {
        let mut last_ns = last_ns;
        while self.stack.top().is_some() {
            last_ns = self.abandon(Ending::StillOpen, last_ns, state, visit)?;
        }
        Ok(())
    }

    /// Visits an event that is not the entry or the end of a call, unless it is inside a call that
    /// has not been entered for the visitor.
    fn visit_row(
        &self,
        is_shown: bool,
        call_event: CallEvent,
        row: &Event,
        state: &ReaderState,
        visit: &mut impl CallVisitor,
    ) -> Result<()> {
        let are_callers_entered = self.entered == self.stack.frames().len();
        let is_selected = self.is_selected && state.window.contains(row.time_ns);
        if is_shown && are_callers_entered && is_selected {
            visit(call_event, Callers(self.stack.frames()))
        } else {
            Ok(())
        }
    }

    /// The open calls up to `innermost`, itself included.
    fn callers(&self, innermost: Option<usize>) -> Callers<'_> {
        Callers(&self.stack.frames()[..innermost.map_or(0, |innermost| innermost + 1)])
    }

    /// The innermost selected call, and whether the innermost call is inside a call of the root
    /// function.
    fn surroundings(&self, state: &ReaderState) -> (Option<usize>, bool) {
        let position = self.stack.frames().len().wrapping_sub(1);
        let top = self.stack.top().map(|top| (top.data.charged(position), top.data.is_inside));
        top.unwrap_or((None, state.frames.is_unrooted()))
    }
}
