//! A piece of a thread's stream, rebuilt.
//!
//! A thread is read as a walk: an entry goes up to a node, a return goes down again, and the time between two rows
//! belongs to the node that the walk is at.
//!
//! ```text
//! rows      E a    E b        R b    R a
//! time       0      2          5      6
//!            ├──a───┼────b─────┼──a───┤         a: self 3, total 6     b: self 3, total 3
//! ```
//!
//! A piece that begins in mid-stream does not know what is open there. It rebuilds what it can above that unknown
//! floor, and leaves undecided the returns that may belong to frames below it. Each such return ends a [`Segment`]:
//!
//! ```text
//!              R x           R y    E c
//!  ┌─ segment ─┐ ┌─ segment ─┐ ┌─ segment ─▶
//!  rows that are  rows one      rows two levels
//!  inside x       level lower   lower, c open
//! ```
//!
//! [`Piece::join`] lets the piece before decide: it replays the undecided returns on its own stack, grafts each
//! segment's calls onto the node that this leads to, and takes over what is open. That is what reading the rows one by
//! one would have done, so the result does not depend on where a stream was cut.

use pyrec_schema::{CodeId, Marker};

use super::stack::{Open, Stack};
use super::{Frame, Node, NodeId, Nodes, ROOT, Repairs, Step, Window};

/// A piece of a thread's stream, rebuilt.
#[derive(Debug)]
pub struct Piece {
    /// Whether nothing comes before it, so that every return can be decided.
    is_first: bool,
    window: Window,
    /// The row that begins a piece in mid-stream: what it means is for the piece before to say.
    head: Option<Row>,
    has_begun: bool,
    nodes: Nodes,
    /// The segments before the present one.
    earlier: Vec<Segment>,
    /// The return that ended the last of them.
    undecided: Option<Undecided>,
    /// Where the present segment's calls begin.
    floor: NodeId,
    /// Where the walk is.
    at: NodeId,
    stack: Stack<Call>,
    /// The time of the last row.
    now_ns: i64,
    /// The time that was measured up to that row. It stands still across losses and where time runs backwards. It may
    /// wrap, where time went to the ends of its 64 bits and back: what counts are its differences.
    clock_ns: u64,
    repairs: Repairs,
}

/// A row, as far as a stack is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When.
    pub time_ns: i64,
    /// What it means.
    pub step: Step,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
struct Call {
    node: NodeId,
    /// The piece's clock at its entry; [`NEVER`] where the entry lies outside the window, [`BEFORE`] where it was not
    /// seen.
    since_ns: u64,
}

/// Times at which nothing was entered: outside the window, and before the recording began. An option would make what a stack holds a quarter longer.
const NEVER: u64 = u64::MAX;
const BEFORE: u64 = u64::MAX - 1;

/// What lies between two undecided returns.
#[derive(Debug)]
struct Segment {
    begin: Option<Undecided>,
    floor: NodeId,
    open: Vec<Open<Call>>,
}

/// A return that may belong to a frame below the piece's floor, or the end of everything.
#[derive(Clone, Copy, Debug)]
struct Undecided {
    step: Leave,
    wait_ns: u64,
    time_ns: i64,
    clock_ns: u64,
    losses: u32,
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Frame(Frame),
    Everything,
}

impl Piece {
    /// The piece that begins a thread.
    pub fn first(window: Window) -> Piece {
        Piece {
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

    /// A piece from the middle of a thread.
    pub fn middle(window: Window) -> Piece {
        let mut piece = Piece::first(window);
        piece.is_first = false;
        piece.floor = piece.nodes.begin();
        piece.at = piece.floor;
        piece
    }

    /// Reads the next row.
    #[inline]
    pub fn push(&mut self, row: Row) {
        if row.step == Step::Ignore {
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
        let wait_ns = match row.step {
            Step::Lose { from_ns } => self.pass_to(from_ns.clamp(self.now_ns.min(row.time_ns), row.time_ns)),
            _ => self.pass_to(row.time_ns),
        };
        match row.step {
            Step::Enter(frame) => self.enter(frame, wait_ns, self.clock_ns),
            Step::Open(frame) => self.enter(frame, wait_ns, BEFORE),
            Step::Leave(frame) => self.leave(frame, wait_ns),
            Step::Pass => self.pass(wait_ns),
            Step::Lose { .. } => self.lose(row.time_ns, wait_ns),
            Step::Clear => self.clear(wait_ns),
            Step::Ignore => {}
        }
    }

    /// Reads rows for as long as they are what nearly all rows are: entries, lines, and returns from the innermost frame,
    /// none earlier than the row before it. Returns how many that are. It does what [`Self::push`] does, several times as
    /// fast, since what can change only in other rows is looked at once.
    pub fn push_plain(&mut self, times_ns: &[i64], markers: &[Marker], codes: &[CodeId]) -> usize {
        if !self.has_begun || self.window != Window::ALL {
            return 0;
        }
        let (mut at, mut now_ns) = (self.at, self.now_ns);
        // What to take from a time to get the clock: the clock goes on with every plain row.
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
                    // A call that calls nothing, as most do, need not go up and down again.
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
                    self.stack.push(frame, Call { node, since_ns });
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

    /// Goes on to an instant. Returns the time in between that counts.
    #[inline]
    fn pass_to(&mut self, time_ns: i64) -> u64 {
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
        self.stack.push(frame, Call { node, since_ns: if counts { since_ns } else { NEVER } });
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

    /// A return that is not from the innermost frame.
    ///
    /// ```text
    /// E a   E b   E c          R a        c and b never returned. They ended, for all that is known, with the last
    ///  ├─a───┼─b───┼─c──┄┄┄┄┄┄┄┄┤         row inside them, so the time since then is a's.
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
            None => self.leave_undecided(Leave::Frame(frame), wait_ns),
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

    /// After a loss nobody knows which of the open calls go on. They stay on the stack, since a return may still show
    /// it, but until one does, what follows has an unknown caller.
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
        self.stack.push(Frame::Lost, Call { node, since_ns: NEVER });
        self.at = node;
    }

    /// A thread begins or ends: what is still open stays so, and the time since its last row is nobody's.
    #[cold]
    fn clear(&mut self, wait_ns: u64) {
        self.repairs.still_open += self.open_calls();
        self.stack.take();
        self.at = ROOT;
        if self.is_first {
            self.nodes[ROOT].tally.self_ns = self.nodes[ROOT].tally.self_ns.saturating_add(wait_ns);
        } else {
            self.leave_undecided(Leave::Everything, wait_ns);
        }
    }

    #[cold]
    fn leave_undecided(&mut self, step: Leave, wait_ns: u64) {
        let undecided = Undecided {
            step,
            wait_ns,
            time_ns: self.now_ns,
            clock_ns: self.clock_ns,
            losses: self.stack.losses(),
        };
        let begin = self.undecided.replace(undecided);
        self.earlier.push(Segment { begin, floor: self.floor, open: self.stack.take() });
        self.floor = self.nodes.begin();
        self.at = self.floor;
    }

    fn open_calls(&self) -> u64 {
        self.stack.frames().iter().filter(|open| open.frame.is_call()).count() as u64
    }

    fn top_node(&self) -> NodeId {
        self.stack.top().map_or(self.floor, |top| top.data.node)
    }

    /// Appends the piece that follows. Associative: how a stream is cut, and in which order its pieces are joined,
    /// does not matter.
    pub fn join(&mut self, mut next: Piece) {
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
                let call = Call { node: grafted[open.data.node as usize], since_ns };
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
        match undecided.step {
            Leave::Frame(frame) => self.leave(frame, undecided.wait_ns),
            Leave::Everything => self.clear(undecided.wait_ns),
        }
    }

    /// Takes over the nodes of one segment of the next piece; its floor is where the walk is now.
    fn graft(&mut self, next: &mut Nodes, grafted: &mut Vec<NodeId>, end: usize) {
        for id in grafted.len() as NodeId..end as NodeId {
            let Node { parent, frame, tally, .. } = next[id];
            let to = if parent == id { self.at } else { self.nodes.child(grafted[parent as usize], frame) };
            self.nodes[to].tally.add(&tally);
            self.nodes.take_durations(to, next, id);
            grafted.push(to);
        }
    }

    /// Ends the thread: what is still open stays so.
    pub fn finish(mut self) -> Finished {
        self.repairs.still_open += self.open_calls();
        Finished { nodes: self.nodes, repairs: self.repairs }
    }
}

/// A whole thread, rebuilt.
#[derive(Debug)]
pub struct Finished {
    /// Its call paths.
    pub nodes: Nodes,
    /// What had to be mended.
    pub repairs: Repairs,
}
