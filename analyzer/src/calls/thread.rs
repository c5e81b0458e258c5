//! The open calls of one thread.

use pyrec_schema::{Event, LostEvents, Marker, Names};

use super::call::{Call, End, Ending};
use super::moment::{Callers, Moment, Visit};
use crate::Result;
use crate::tree::{Frame, Lens, Open, Repairs, Stack, Step, Window};

/// What the threads of a trace share.
#[derive(Debug)]
pub struct Eye<'a> {
    pub lens: Lens<'a>,
    pub names: &'a Names,
    pub window: Window,
    /// No call is told that lasted less.
    pub min_time_ns: i64,
    /// The number of the next call.
    pub next_id: u64,
    pub repairs: Repairs,
}

/// One thread.
#[derive(Debug)]
pub struct ThreadCalls {
    /// Whether it is asked for. If not, its repairs count all the same.
    is_wanted: bool,
    has_begun: bool,
    stack: Stack<Running>,
    /// How many of the open calls have been told: the outermost ones, since a caller is older than what it calls.
    ripe: usize,
    /// The time of the last row, and of the one before it.
    now_ns: i64,
    last_ns: i64,
    /// The time that was measured up to that row. It stands still across losses and where time runs backwards.
    clock_ns: u64,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub call: Call,
    /// The position in the stack of the nearest call below that is asked for.
    pub caller: Option<usize>,
    /// Whether it is asked for. If not, its time is its caller's.
    is_shown: bool,
    /// Whether it is within a call of the function that was asked for.
    is_inside: bool,
    /// The thread's clock at its entry.
    since_ns: u64,
}

impl Running {
    /// Whose time passes while the call at that position runs.
    pub fn holder(&self, position: usize) -> Option<usize> {
        if self.is_shown { Some(position) } else { self.caller }
    }
}

/// A row, and what passed before it.
#[derive(Clone, Copy)]
struct Row<'a> {
    event: &'a Event,
    /// The time since the row before it that counts.
    wait_ns: u64,
}

impl ThreadCalls {
    /// A thread, before its first row.
    pub fn new(is_wanted: bool) -> Self {
        ThreadCalls {
            is_wanted,
            has_begun: false,
            stack: Stack::default(),
            ripe: 0,
            now_ns: 0,
            last_ns: 0,
            clock_ns: 0,
        }
    }

    /// Reads its next row.
    pub fn push(&mut self, step: Step, event: &Event, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        if !self.has_begun {
            self.has_begun = true;
            self.now_ns = event.time_ns;
        }
        let until_ns = match step {
            Step::Lose { from_ns } => from_ns.clamp(self.now_ns.min(event.time_ns), event.time_ns),
            _ => event.time_ns,
        };
        let wait_ns = self.pass_to(until_ns, eye);
        (self.last_ns, self.now_ns) = (self.now_ns, event.time_ns);
        self.ripen(self.last_ns, eye, visit)?;
        let row = Row { event, wait_ns };
        match step {
            Step::Enter(frame) | Step::Open(frame) => self.enter(frame, row, eye, visit),
            Step::Leave(frame) => self.leave(frame, row, eye, visit),
            Step::Lose { .. } => self.lose(row, eye, visit),
            Step::Clear => self.clear(row, eye, visit),
            Step::Pass => self.point(row, eye, visit),
            Step::Ignore => Ok(()),
        }
    }

    /// Ends the thread: what is open stays so.
    pub fn finish(&mut self, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        self.end(self.now_ns, eye, visit)
    }

    /// Goes on to an instant. Returns the time in between that counts.
    fn pass_to(&mut self, time_ns: i64, eye: &mut Eye) -> u64 {
        eye.repairs.backwards += u64::from(time_ns < self.now_ns);
        let wait_ns = eye.window.overlap_ns(self.now_ns, time_ns);
        self.clock_ns = self.clock_ns.wrapping_add(wait_ns);
        wait_ns
    }

    /// Charges the innermost call with time.
    fn charge(&mut self, wait_ns: u64) {
        let position = self.stack.frames().len().wrapping_sub(1);
        if let Some(holder) = self.stack.top().and_then(|top| top.data.holder(position)) {
            self.stack.data_mut(holder).call.self_ns =
                self.stack.data_mut(holder).call.self_ns.saturating_add(wait_ns);
        }
    }

    /// Tells the calls that have become old enough, and that reach into the time that was asked for. They have been open
    /// since that instant at least, which may be later than now where time runs backwards.
    fn ripen(&mut self, since_ns: i64, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        while let Some(Open { data: running, .. }) = self.stack.frames().get(self.ripe) {
            let entry_ns = running.call.entry.time_ns;
            let is_old = self.now_ns.saturating_sub(entry_ns).max(0) >= eye.min_time_ns;
            let reaches = eye.window.from_ns <= self.now_ns && entry_ns.min(since_ns) < eye.window.to_ns;
            if !(is_old && reaches) {
                break;
            }
            let position = self.ripe;
            self.ripe += 1;
            if running.is_shown {
                let caller = running.caller;
                let parent = caller.map(|caller| self.stack.frames()[caller].data.call.id);
                let call = &mut self.stack.data_mut(position).call;
                (call.id, call.parent) = (eye.next_id, parent);
                eye.next_id += 1;
                visit(Moment::Enter(&self.stack.frames()[position].data.call), self.callers(caller))?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, frame: Frame, row: Row, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        self.charge(row.wait_ns);
        let (caller, is_inside) = self.place(eye);
        let verdict = eye.lens.verdict(frame);
        let is_inside = is_inside || verdict.root;
        self.open(frame, caller, is_inside, is_inside && verdict.shown, row.event, eye);
        self.ripen(self.now_ns, eye, visit)
    }

    fn open(
        &mut self,
        frame: Frame,
        caller: Option<usize>,
        is_inside: bool,
        is_shown: bool,
        entry: &Event,
        eye: &Eye,
    ) {
        let depth = caller.map_or(0, |caller| self.stack.frames()[caller].data.call.depth + 1);
        let counts = frame != Frame::Lost && eye.window.contains(entry.time_ns);
        let call = Call { id: 0, parent: None, depth, frame, entry: *entry, counts, self_ns: 0 };
        let is_shown = is_shown && self.is_wanted;
        self.stack.push(frame, Running { call, caller, is_shown, is_inside, since_ns: self.clock_ns });
    }

    fn leave(&mut self, frame: Frame, row: Row, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        // Mostly the innermost one returns, and asking for others has its price.
        let above = match self.stack.top() {
            Some(top) if top.frame == frame => Some(0),
            _ => self.stack.above(frame),
        };
        let Some(above) = above else { return self.unseen(frame, row, eye, visit) };
        let Row { event, wait_ns } = row;
        let mut last_ns = self.last_ns;
        for _ in 0..above {
            let is_cut = |top: &Open<Running>| top.frame == Frame::Lost || self.stack.is_cut(top);
            let ending = match self.stack.top().is_some_and(is_cut) {
                true => Ending::InLoss,
                false => Ending::NeverReturned,
            };
            last_ns = self.abandon(ending, last_ns, eye, visit)?;
        }
        self.charge(wait_ns);
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let ending = if self.stack.is_cut(&open) { Ending::AcrossLoss } else { Ending::Returned };
        let Call { counts, entry, .. } = open.data.call;
        let is_measured = ending == Ending::Returned && counts && entry.marker != Marker::FunctionOpen;
        let duration_ns = (is_measured && eye.window.contains(event.time_ns))
            .then(|| self.clock_ns.wrapping_sub(open.data.since_ns));
        let end =
            End { ending, time_ns: event.time_ns, known_ns: event.time_ns, duration_ns, event: Some(event) };
        self.tell_end(&open.data, end, visit)
    }

    /// Takes off the innermost call, which no row ends. Returns up to when the call below it is known to have run.
    fn abandon(
        &mut self,
        ending: Ending,
        last_ns: i64,
        eye: &mut Eye,
        visit: &mut impl Visit,
    ) -> Result<i64> {
        let Some(Open { frame, data: running, .. }) = self.stack.pop() else { return Ok(last_ns) };
        match ending {
            _ if !frame.is_call() => {}
            Ending::InLoss => eye.repairs.cut_by_loss += 1,
            Ending::StillOpen => eye.repairs.still_open += 1,
            _ => eye.repairs.orphan_entries += 1,
        }
        let end = End { ending, time_ns: last_ns, known_ns: self.now_ns, duration_ns: None, event: None };
        self.tell_end(&running, end, visit)?;
        // What was open when events were lost is known to have run up to there.
        Ok(LostEvents::from_event(&running.call.entry, eye.names)
            .map_or(last_ns, |lost| lost.from_ns.min(last_ns)))
    }

    /// Tells the end of a call that is off the stack by now.
    fn tell_end(&mut self, running: &Running, end: End, visit: &mut impl Visit) -> Result<()> {
        let is_ripe = self.ripe > self.stack.frames().len();
        self.ripe = self.ripe.min(self.stack.frames().len());
        match running.caller {
            _ if !running.is_shown => Ok(()),
            caller if is_ripe => visit(Moment::Leave(&running.call, end), self.callers(caller)),
            // A call that is too short to be told is part of its caller.
            Some(caller) => {
                self.stack.data_mut(caller).call.self_ns =
                    self.stack.data_mut(caller).call.self_ns.saturating_add(running.call.self_ns);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn unseen(&mut self, frame: Frame, row: Row, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        self.charge(row.wait_ns);
        eye.repairs.unmatched_returns += 1;
        let (_, is_inside) = self.place(eye);
        let is_shown = is_inside && eye.lens.verdict(frame).shown;
        self.tell(is_shown, Moment::Unseen(frame, row.event), row.event, eye, visit)
    }

    fn point(&mut self, row: Row, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        let event = row.event;
        self.charge(row.wait_ns);
        let (_, is_inside) = self.place(eye);
        let is_shown = is_inside && (event.marker != Marker::Line || eye.lens.function(event.code).shown);
        self.tell(is_shown, Moment::Point(event), event, eye, visit)
    }

    /// Nobody knows which of the open calls go on after a loss. They stay on the stack, since a return may still show
    /// it, but until one does, what follows has an unknown caller.
    fn lose(&mut self, row: Row, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        self.charge(row.wait_ns);
        self.tell(true, Moment::Point(row.event), row.event, eye, visit)?;
        self.stack.lose();
        let is_inside = eye.lens.is_open();
        self.open(Frame::Lost, None, is_inside, is_inside, row.event, eye);
        self.ripen(self.now_ns, eye, visit)
    }

    /// A thread begins or ends: what is still open stays so, and the time since its last row is nobody's.
    fn clear(&mut self, row: Row, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        self.end(self.last_ns, eye, visit)?;
        self.tell(eye.lens.is_open(), Moment::Point(row.event), row.event, eye, visit)
    }

    fn end(&mut self, last_ns: i64, eye: &mut Eye, visit: &mut impl Visit) -> Result<()> {
        let mut last_ns = last_ns;
        while self.stack.top().is_some() {
            last_ns = self.abandon(Ending::StillOpen, last_ns, eye, visit)?;
        }
        Ok(())
    }

    /// Tells what is no call, unless it lies in one that is not told yet.
    fn tell(
        &self,
        is_shown: bool,
        moment: Moment,
        event: &Event,
        eye: &Eye,
        visit: &mut impl Visit,
    ) -> Result<()> {
        let is_ripe = self.ripe == self.stack.frames().len();
        let is_wanted = self.is_wanted && eye.window.contains(event.time_ns);
        if is_shown && is_ripe && is_wanted { visit(moment, Callers(self.stack.frames())) } else { Ok(()) }
    }

    /// The calls up to that one.
    fn callers(&self, innermost: Option<usize>) -> Callers<'_> {
        Callers(&self.stack.frames()[..innermost.map_or(0, |innermost| innermost + 1)])
    }

    /// In which call the next thing happens, and whether within what was asked for.
    fn place(&self, eye: &Eye) -> (Option<usize>, bool) {
        let position = self.stack.frames().len().wrapping_sub(1);
        let top = self.stack.top().map(|top| (top.data.holder(position), top.data.is_inside));
        top.unwrap_or((None, eye.lens.is_open()))
    }
}
