//! A piece of a thread's rows, rebuilt into call paths.
//!
//! The rows of a thread describe a walk over its call tree. An entry moves to a child node, a
//! return moves back to the parent, and the time between two rows is charged to the current node.
//!
//! ```text
//! rows      E a    E b        R b    R a
//! time       0      2          5      6
//!            ├──a───┼────b─────┼──a───┤         a: self 3, total 6     b: self 3, total 3
//! ```
//!
//! At the start of a piece from the middle of a thread, the stack is unknown. The piece rebuilds
//! the calls above that unknown floor. A return that matches none of them may belong to a frame
//! below the floor: it stays undecided, and ends a [`Segment`].
//!
//! ```text
//!              R x           R y    E c
//!  ┌─ segment ─┐ ┌─ segment ─┐ ┌─ segment ─▶
//!  rows that are  rows one      rows two levels
//!  inside x       level lower   lower, c open
//! ```
//!
//! [`ThreadPiece::join`] decides these returns with the stack of the piece before. It replays each
//! undecided return, grafts the calls of the segment that follows onto the node that this leads to,
//! and pushes the frames that the segment left open. Reading the rows one by one has the same
//! effect, so the result does not depend on where the rows are divided.

use pyrec_schema::{CodeId, Marker};

use super::{Frame, Node, NodeId, Nodes, OpenFrame, ROOT, Repairs, Stack, StackOp};
use crate::filter::TimeWindow;

/// A piece of a thread's rows, rebuilt.
#[derive(Debug)]
pub struct ThreadPiece {
    /// Whether it begins the thread, so that every return can be decided.
    is_first: bool,
    window: TimeWindow,
    /// The first row of a piece from the middle of a thread. Its effect depends on the piece
    /// before.
    head: Option<TimedOp>,
    has_begun: bool,
    nodes: Nodes,
    /// The segments before the current one.
    earlier: Vec<Segment>,
    /// The return that ended the last of them.
    undecided: Option<Undecided>,
    /// The root of the calls of the current segment.
    floor: NodeId,
    /// The current node of the walk.
    at: NodeId,
    stack: Stack<OpenCall>,
    /// The time of the last row.
    now_ns: i64,
    /// The measured time up to the last row. It stands still during losses and where time runs
    /// backwards. It may wrap around if times are near the limits of 64 bits; only differences are
    /// used.
    clock_ns: u64,
    repairs: Repairs,
}

/// The time and the stack operation of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOp {
    /// The time of the row.
    pub time_ns: i64,
    /// The operation.
    pub op: StackOp,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
struct OpenCall {
    node: NodeId,
    /// The piece's clock at its entry. [`NEVER`] if the entry is outside the window, [`BEFORE`] if
    /// it was not recorded.
    since_ns: u64,
}

/// Values of `since_ns` that are not times. An enum would make a frame on the stack a quarter
/// larger.
const NEVER: u64 = u64::MAX;
const BEFORE: u64 = u64::MAX - 1;

/// The rows between two undecided returns.
#[derive(Debug)]
struct Segment {
    /// The return that precedes the segment. None for the first segment.
    begin: Option<Undecided>,
    /// The root of its calls.
    floor: NodeId,
    /// The calls that are open at its end.
    open: Vec<OpenFrame<OpenCall>>,
}

/// A return that may belong to a frame below the floor, or the end of all calls.
#[derive(Clone, Copy, Debug)]
struct Undecided {
    op: UndecidedOp,
    wait_ns: u64,
    time_ns: i64,
    clock_ns: u64,
    losses: u32,
}

#[derive(Clone, Copy, Debug)]
enum UndecidedOp {
    Leave(Frame),
    Clear,
}

impl ThreadPiece {
    /// The piece that begins a thread, without rows.
    pub fn first(window: TimeWindow) -> ThreadPiece {
        ThreadPiece {
            is_first: true,
            window,
            head: None,
            has_begun: false,
            nodes: Nodes::default(),
            earlier: Vec::new(),
            undecided: None,
            floor: ROOT,
            at: ROOT,
            stack: Stack::default(),
            now_ns: 0,
            clock_ns: 0,
            repairs: Repairs::default(),
        }
    }

    /// A piece from the middle of a thread, without rows.
    pub fn middle(window: TimeWindow) -> ThreadPiece {
        let mut piece = ThreadPiece::first(window);
        piece.is_first = false;
        piece.floor = piece.nodes.add_root();
        piece.at = piece.floor;
        piece
    }

    /// Reads the next row.
    #[inline]
    pub fn push(&mut self, row: TimedOp) {
        if row.op == StackOp::Ignore {
            return;
        }
        if !self.has_begun {
            self.has_begun = true;
            self.now_ns = row.time_ns;
            if !self.is_first {
                self.head = Some(row);
                return;
            }
        }
        let wait_ns = match row.op {
            StackOp::Lose { from_ns } => {
                self.advance(from_ns.clamp(self.now_ns.min(row.time_ns), row.time_ns))
            }
            _ => self.advance(row.time_ns),
        };
        match row.op {
            StackOp::Enter(frame) => self.enter(frame, wait_ns, self.clock_ns),
            StackOp::Open(frame) => self.enter(frame, wait_ns, BEFORE),
            StackOp::Leave(frame) => self.leave(frame, wait_ns),
            StackOp::Instant => self.pass(wait_ns),
            StackOp::Lose { .. } => self.lose(row.time_ns, wait_ns),
            StackOp::Clear => self.clear(wait_ns),
            StackOp::Ignore => {}
        }
    }

    /// Reads rows until one is not plain, and returns how many it read. Plain rows are entries,
    /// lines and returns of the innermost call, at times that do not run backwards. Nearly all rows
    /// are plain. The effect is that of [`Self::push`], but several times as fast, since state that
    /// plain rows do not change is read once.
    pub fn push_plain(&mut self, times_ns: &[i64], markers: &[Marker], codes: &[CodeId]) -> usize {
        if !self.has_begun || self.window != TimeWindow::ALL {
            return 0;
        }
        let (mut at, mut now_ns) = (self.at, self.now_ns);
        // The difference between time and clock, which plain rows do not change.
        let lag_ns = (now_ns as u64).wrapping_sub(self.clock_ns);
        let mut rows = times_ns.iter().zip(markers).zip(codes);
        let mut left = rows.len();
        while let Some(((&time_ns, &marker), &code)) = rows.next() {
            if time_ns < now_ns {
                break;
            }
            let wait_ns = time_ns.abs_diff(now_ns);
            let frame = Frame::Function(code);
            match marker {
                Marker::FunctionEntry => {
                    self.nodes[at].tally.self_ns = self.nodes[at].tally.self_ns.saturating_add(wait_ns);
                    let node = self.nodes.child(at, frame);
                    let tally = &mut self.nodes[node].tally;
                    tally.entries += 1;
                    // Most calls are leaf calls: entry and return without the stack.
                    if let Some(((&return_ns, Marker::FunctionReturn), &returned)) = rows.clone().next()
                        && returned == code
                        && return_ns >= time_ns
                    {
                        let duration_ns = return_ns.abs_diff(time_ns);
                        tally.self_ns = tally.self_ns.saturating_add(duration_ns);
                        self.nodes.measure(node, duration_ns);
                        now_ns = return_ns;
                        rows.next();
                        left = rows.len();
                        continue;
                    }
                    let since_ns = (time_ns as u64).wrapping_sub(lag_ns);
                    self.stack.push(frame, OpenCall { node, since_ns });
                    at = node;
                }
                Marker::FunctionReturn => {
                    let Some(call) = self.stack.pop_if(frame) else { break };
                    self.nodes[at].tally.self_ns = self.nodes[at].tally.self_ns.saturating_add(wait_ns);
                    if call.data.since_ns < BEFORE && !self.stack.is_cut(&call) {
                        let clock_ns = (time_ns as u64).wrapping_sub(lag_ns);
                        self.nodes.measure(at, clock_ns.wrapping_sub(call.data.since_ns));
                    }
                    at = self.top_node();
                }
                Marker::Line => {
                    let tally = &mut self.nodes[at].tally;
                    tally.self_ns = tally.self_ns.saturating_add(wait_ns);
                    tally.points += 1;
                }
                _ => break,
            }
            now_ns = time_ns;
            left = rows.len();
        }
        self.at = at;
        self.now_ns = now_ns;
        self.clock_ns = (now_ns as u64).wrapping_sub(lag_ns);
        times_ns.len() - left
    }

    /// Advances the clock to an instant. Returns the measured time since the last row.
    #[inline]
    fn advance(&mut self, time_ns: i64) -> u64 {
        if time_ns < self.now_ns {
            self.repairs.backwards += 1;
        }
        let wait_ns = self.window.overlap_ns(self.now_ns, time_ns);
        self.now_ns = time_ns;
        self.clock_ns = self.clock_ns.wrapping_add(wait_ns);
        wait_ns
    }

    #[inline]
    fn enter(&mut self, frame: Frame, wait_ns: u64, since_ns: u64) {
        self.nodes[self.at].tally.self_ns = self.nodes[self.at].tally.self_ns.saturating_add(wait_ns);
        let node = self.nodes.child(self.at, frame);
        let counts = self.window.contains(self.now_ns);
        self.nodes[node].tally.entries += u64::from(counts);
        self.stack.push(frame, OpenCall { node, since_ns: if counts { since_ns } else { NEVER } });
        self.at = node;
    }

    #[inline]
    fn leave(&mut self, frame: Frame, wait_ns: u64) {
        match self.stack.top() {
            Some(top) if top.frame == frame => self.leave_top(wait_ns),
            _ => self.leave_deeper(frame, wait_ns),
        }
    }

    #[inline]
    fn leave_top(&mut self, wait_ns: u64) {
        let Some(call) = self.stack.pop() else { return };
        self.nodes[call.data.node].tally.self_ns =
            self.nodes[call.data.node].tally.self_ns.saturating_add(wait_ns);
        if call.data.since_ns < BEFORE && !self.stack.is_cut(&call) && self.window.contains(self.now_ns) {
            self.nodes.measure(call.data.node, self.clock_ns.wrapping_sub(call.data.since_ns));
        }
        self.at = self.top_node();
    }

    #[inline]
    fn pass(&mut self, wait_ns: u64) {
        let counts = self.window.contains(self.now_ns);
        let tally = &mut self.nodes[self.at].tally;
        tally.self_ns = tally.self_ns.saturating_add(wait_ns);
        tally.points += u64::from(counts);
    }

    /// A return that is not of the innermost call.
    ///
    /// ```text
    /// E a   E b   E c          R a        c and b have no return. They are taken to have ended with the
    ///  ├─a───┼─b───┼─c──┄┄┄┄┄┄┄┄┤         last row inside them, so the time since then is charged to a.
    ///                   a
    /// ```
    #[cold]
    fn leave_deeper(&mut self, frame: Frame, wait_ns: u64) {
        match self.stack.above(frame) {
            Some(above) => {
                (0..above).for_each(|_| self.abandon_top());
                self.leave_top(wait_ns);
            }
            None if self.is_first => {
                self.nodes[self.at].tally.self_ns = self.nodes[self.at].tally.self_ns.saturating_add(wait_ns);
                self.repairs.unmatched_returns += 1;
            }
            None => self.leave_undecided(UndecidedOp::Leave(frame), wait_ns),
        }
    }

    fn abandon_top(&mut self) {
        let Some(call) = self.stack.pop() else { return };
        if !call.frame.is_call() {
            return;
        }
        if self.stack.is_cut(&call) {
            self.repairs.cut_by_loss += 1;
        } else {
            self.repairs.orphan_entries += 1;
            self.nodes[call.data.node].tally.orphans += u64::from(call.data.since_ns != NEVER);
        }
    }

    /// After a loss, any of the open calls may have ended. They stay on the stack, since a later
    /// return may show that they did not; until then, what follows has an unknown caller.
    ///
    /// ```text
    /// E a   E b    ▒▒ lost ▒▒    E c   R c    R a           a
    ///  ├─a───┼─b──┤              ├──c───┤                   └ b
    ///              not measured                             (lost)
    ///                                                       └ c
    /// ```
    #[cold]
    fn lose(&mut self, to_ns: i64, wait_ns: u64) {
        self.nodes[self.at].tally.self_ns = self.nodes[self.at].tally.self_ns.saturating_add(wait_ns);
        self.now_ns = to_ns;
        self.stack.lose();
        let node = self.nodes.child(ROOT, Frame::Lost);
        self.stack.push(Frame::Lost, OpenCall { node, since_ns: NEVER });
        self.at = node;
    }

    /// A thread or process begins or ends. Calls that are open are counted as still open, and the
    /// time since the last row is charged to no call.
    #[cold]
    fn clear(&mut self, wait_ns: u64) {
        self.repairs.still_open += self.open_calls();
        self.stack.take();
        self.at = ROOT;
        if self.is_first {
            self.nodes[ROOT].tally.self_ns = self.nodes[ROOT].tally.self_ns.saturating_add(wait_ns);
        } else {
            self.leave_undecided(UndecidedOp::Clear, wait_ns);
        }
    }

    #[cold]
    fn leave_undecided(&mut self, op: UndecidedOp, wait_ns: u64) {
        let undecided = Undecided {
            op,
            wait_ns,
            time_ns: self.now_ns,
            clock_ns: self.clock_ns,
            losses: self.stack.losses(),
        };
        let begin = self.undecided.replace(undecided);
        self.earlier.push(Segment { begin, floor: self.floor, open: self.stack.take() });
        self.floor = self.nodes.add_root();
        self.at = self.floor;
    }

    fn open_calls(&self) -> u64 {
        self.stack.frames().iter().filter(|open| open.frame.is_call()).count() as u64
    }

    fn top_node(&self) -> NodeId {
        self.stack.top().map_or(self.floor, |top| top.data.node)
    }

    /// Appends the piece that follows. Joining is associative: the result depends neither on where
    /// the rows are divided nor on the order in which pieces are joined.
    pub fn join(&mut self, mut next: ThreadPiece) {
        let Some(head) = next.head else { return };
        self.push(head);
        let (clock_ns, losses) = (self.clock_ns, self.stack.losses());
        self.repairs += next.repairs;
        let last = Segment { begin: next.undecided, floor: next.floor, open: next.stack.take() };
        let segments: Vec<Segment> = std::mem::take(&mut next.earlier).into_iter().chain([last]).collect();
        let ends: Vec<usize> =
            segments[1..].iter().map(|segment| segment.floor as usize).chain([next.nodes.len()]).collect();
        let mut grafted = vec![ROOT];
        for (segment, end) in segments.into_iter().zip(ends) {
            if let Some(undecided) = segment.begin {
                self.now_ns = undecided.time_ns;
                self.clock_ns = clock_ns.wrapping_add(undecided.clock_ns);
                self.stack.set_losses(losses + undecided.losses);
                self.decide(undecided);
            }
            self.graft(&mut next.nodes, &mut grafted, end);
            for open in segment.open {
                let since_ns = match open.data.since_ns {
                    unknown @ (NEVER | BEFORE) => unknown,
                    since_ns => clock_ns.wrapping_add(since_ns),
                };
                let call = OpenCall { node: grafted[open.data.node as usize], since_ns };
                self.stack.push_since(open.frame, losses + open.losses, call);
            }
            self.at = self.top_node();
        }
        self.now_ns = next.now_ns;
        self.clock_ns = clock_ns.wrapping_add(next.clock_ns);
        self.stack.set_losses(losses + next.stack.losses());
        self.nodes[ROOT].tally.add(&next.nodes[ROOT].tally);
    }

    fn decide(&mut self, undecided: Undecided) {
        match undecided.op {
            UndecidedOp::Leave(frame) => self.leave(frame, undecided.wait_ns),
            UndecidedOp::Clear => self.clear(undecided.wait_ns),
        }
    }

    /// Adds the nodes of one segment of the next piece below the current node.
    fn graft(&mut self, next: &mut Nodes, grafted: &mut Vec<NodeId>, end: usize) {
        for id in grafted.len() as NodeId..end as NodeId {
            let Node { parent, frame, tally, .. } = next[id];
            let to = if parent == id { self.at } else { self.nodes.child(grafted[parent as usize], frame) };
            self.nodes[to].tally.add(&tally);
            self.nodes.take_durations(to, next, id);
            grafted.push(to);
        }
    }

    /// Ends the thread. Calls that are open are counted as still open.
    pub fn finish(mut self) -> RebuiltThread {
        self.repairs.still_open += self.open_calls();
        RebuiltThread { nodes: self.nodes, repairs: self.repairs }
    }
}

/// A rebuilt thread.
#[derive(Debug)]
pub struct RebuiltThread {
    /// The call paths.
    pub nodes: Nodes,
    /// The repairs.
    pub repairs: Repairs,
}
