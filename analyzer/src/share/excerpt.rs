//! Excerpts: parts of a trace that are valid traces.
//!
//! ```text
//! trace      E a   E b │ E c   R c   R b │ R a         time ─▶
//! excerpt              O a
//!                      O b
//!                        E c   R c   R b
//! ```
//!
//! An excerpt begins with `function__open` rows for the calls that are open at its start, as a
//! recording does that attaches to a running process. So their callees have the right callers in
//! its call tree. Calls that are open at its end stay open.

use pyrec_schema::{Event, LostEvents, Marker, Names, TextId};
use rustc_hash::FxHashMap;

use crate::Filter;
use crate::filter::TimeWindow;
use crate::order::ThreadId;
use crate::tree::{Frame, FrameFilter, OpenFrame, Stack, StackOp};

/// Selects the rows of an excerpt. The rows of one thread must come in that thread's order; threads
/// may alternate.
#[derive(Debug)]
pub struct ExcerptSelector<'a> {
    filter: &'a Filter,
    names: &'a Names,
    frames: FrameFilter<'a>,
    window: TimeWindow,
    threads: FxHashMap<ThreadId, ThreadState>,
}

/// One thread of the trace.
#[derive(Debug, Default)]
struct ThreadState {
    stack: Stack<OpenCall>,
    /// Whether the excerpt contains a row of the thread yet.
    has_begun: bool,
    /// The rows of its start and of its process's start, until the excerpt contains them.
    starts: Vec<Event>,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
struct OpenCall {
    /// The line of the last row in the call itself.
    line: i32,
    /// Whether it is inside a call of the filter's root function.
    is_inside: bool,
    /// Whether the excerpt contains its entry, or a row that it was open.
    is_kept: bool,
}

impl<'a> ExcerptSelector<'a> {
    /// A selector for a filter. `window` is the time window of the filter in this trace
    /// ([`Filter::window`]).
    pub fn new(filter: &'a Filter, names: &'a Names, window: TimeWindow) -> Self {
        ExcerptSelector {
            filter,
            names,
            frames: FrameFilter::new(filter, names),
            window,
            threads: FxHashMap::default(),
        }
    }

    /// Reads the next row, and calls `keep` with the rows that follow from it. Source texts are
    /// always kept.
    pub fn push(&mut self, event: Event, keep: &mut impl FnMut(Event)) {
        let op = StackOp::of(&event, self.names);
        if op == StackOp::Ignore {
            return keep(event);
        }
        let thread = ThreadId { pid: event.pid, tid: event.tid };
        if self.window.is_over(event.time_ns) || !self.filter.selects_thread(thread.pid, thread.tid) {
            return;
        }
        let state = self.threads.entry(thread).or_default();
        let is_in_time = self.window.contains(event.time_ns);
        if op == StackOp::Clear {
            return state.clear(event, is_in_time, keep);
        }
        if is_in_time {
            state.begin(thread, self.window.from_ns, self.names, keep);
        }
        let is_kept = state.apply(op, &event, is_in_time, &mut self.frames);
        if is_in_time && is_kept {
            keep(event);
        }
    }

    /// Ends the excerpt: keeps the starts and open calls of threads without a row in the window.
    pub fn finish(mut self, keep: &mut impl FnMut(Event)) {
        let mut threads: Vec<_> = self.threads.drain().collect();
        threads.sort_unstable_by_key(|&(thread, _)| thread);
        for (thread, mut state) in threads {
            if !state.starts.is_empty() || !state.stack.frames().is_empty() {
                state.begin(thread, self.window.from_ns, self.names, keep);
            }
        }
    }
}

impl ThreadState {
    /// A thread or a process begins or ends.
    fn clear(&mut self, event: Event, is_in_time: bool, keep: &mut impl FnMut(Event)) {
        self.stack.take();
        if is_in_time {
            self.starts.drain(..).for_each(&mut *keep);
            self.has_begun = true;
            return keep(event);
        }
        match event.marker {
            Marker::ThreadStart | Marker::ProcessStart => self.starts.push(event),
            // The thread or process ended before the excerpt.
            _ => self.starts.clear(),
        }
    }

    /// Keeps the rows that describe the state of the thread at the start of the excerpt.
    fn begin(&mut self, thread: ThreadId, from_ns: i64, names: &Names, keep: &mut impl FnMut(Event)) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.starts.drain(..).for_each(&mut *keep);
        for at in 0..self.stack.frames().len() {
            let open = self.stack.frames()[at];
            if !open.data.is_inside {
                continue;
            }
            let ThreadId { pid, tid } = thread;
            let row = |marker, code| {
                let (time_ns, line) = (from_ns, open.data.line);
                Event { time_ns, pid, tid, marker, code, line, value: None, text: TextId::NONE }
            };
            match open.frame {
                Frame::Function(code) => keep(row(Marker::FunctionOpen, code)),
                // A loss of no events: the calls that follow still have an unknown caller.
                Frame::Lost => {
                    keep(LostEvents { pid, tid, count: 0, from_ns, to_ns: from_ns }.to_event(names));
                }
                Frame::Cfunction(_) | Frame::Gc | Frame::Thread => continue,
            }
            self.stack.data_mut(at).is_kept = true;
        }
    }

    /// Updates the stack. Returns whether the filter selects the row.
    fn apply(&mut self, op: StackOp, event: &Event, is_in_time: bool, frames: &mut FrameFilter) -> bool {
        let is_inside = self.stack.top().map_or(frames.is_unrooted(), |top| top.data.is_inside);
        match op {
            StackOp::Enter(frame) | StackOp::Open(frame) => {
                let is_inside = is_inside || frames.select(frame).root;
                let is_kept = is_inside && is_in_time;
                self.stack.push(frame, OpenCall { line: event.line, is_inside, is_kept });
                is_inside
            }
            StackOp::Leave(frame) => match self.stack.above(frame) {
                Some(above) => {
                    let left = (0..=above).map(|_| self.stack.pop()).last().flatten();
                    left.is_some_and(|left| left.data.is_kept)
                }
                None => is_inside,
            },
            StackOp::Lose { .. } => {
                self.stack.lose();
                let is_inside = frames.is_unrooted();
                self.stack.push(Frame::Lost, OpenCall { line: 0, is_inside, is_kept: is_in_time });
                true
            }
            StackOp::Instant => {
                let position = self.stack.frames().len().wrapping_sub(1);
                let is_of_call = |open: &OpenFrame<OpenCall>| open.frame == Frame::Function(event.code);
                if event.marker == Marker::Line && self.stack.top().is_some_and(is_of_call) {
                    self.stack.data_mut(position).line = event.line;
                }
                is_inside
            }
            StackOp::Clear | StackOp::Ignore => false,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Excerpts of scripts, row by row.

    use std::time::Duration;

    use super::*;
    use crate::filter::TimeRange;
    use crate::script::Line;
    use crate::testing;

    /// The rows of an excerpt, with single spaces.
    fn excerpt(script: &str, filter: &Filter) -> Vec<String> {
        let names = Names::new();
        let batch = testing::rows(script, &names);
        let mut selector = ExcerptSelector::new(filter, &names, filter.window(0));
        let mut kept = Vec::new();
        batch.iter().for_each(|event| selector.push(event, &mut |event| kept.push(event)));
        selector.finish(&mut |event| kept.push(event));
        let line = |event: &Event| Line { event, names: &names }.to_string();
        kept.iter().map(|event| line(event).split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn time(from_ns: u64, to_ns: u64) -> Filter {
        let [from, to] = [from_ns, to_ns].map(Duration::from_nanos);
        Filter { time: Some(TimeRange { from, to: Some(to) }), ..Filter::default() }
    }

    #[test]
    fn an_excerpt_begins_with_the_open_calls() {
        let script = "
            0   7/7  process__start   -         0  1  python3
            1   7/7  function__entry  a.py:1:a  1
            2   7/7  line             a.py:1:a  5
            3   7/7  function__entry  a.py:9:b  9
            4   7/8  function__entry  a.py:1:a  1
            12  7/7  function__entry  a.py:9:c  9
            13  7/7  function__return a.py:9:c  9
            14  7/7  function__return a.py:9:b  9
            25  7/7  function__return a.py:1:a  6
        ";
        assert_eq!(
            excerpt(script, &time(10, 20)),
            [
                "0 7/7 process__start - 0 1 python3",
                "10 7/7 function__open a.py:1:a 5",
                "10 7/7 function__open a.py:9:b 9",
                "12 7/7 function__entry a.py:9:c 9",
                "13 7/7 function__return a.py:9:c 9",
                "14 7/7 function__return a.py:9:b 9",
                "10 7/8 function__open a.py:1:a 1",
            ]
        );
    }

    #[test]
    fn calls_and_threads_that_ended_before_are_left_out() {
        let script = "
            0   7/8  thread__start    -         0  -  worker
            1   7/8  function__entry  a.py:1:a  1
            2   7/8  thread__exit     -         0
            3   7/7  cfunction__entry -         0  -  sorted
            4   7/7  gc__start        -         0  2
            12  7/7  gc__done         -         0  0
            13  7/7  cfunction__return -        0  -  sorted
            14  7/7  audit            -         0  -  open
        ";
        // A return without its entry would be a repair.
        assert_eq!(excerpt(script, &time(10, 20)), ["14 7/7 audit - 0 - open"]);
    }

    #[test]
    fn the_caller_is_still_unknown_after_a_loss() {
        let script = "
            1   7/7  function__entry  a.py:1:a  1
            5   7/7  lost             -         0  3  2
            6   7/7  function__entry  a.py:9:b  9
            12  7/7  function__return a.py:9:b  9
            13  7/7  function__return a.py:1:a  1
        ";
        assert_eq!(
            excerpt(script, &time(10, 20)),
            [
                "10 7/7 function__open a.py:1:a 1",
                "10 7/7 lost - 0 0 10",
                "10 7/7 function__open a.py:9:b 9",
                "12 7/7 function__return a.py:9:b 9",
                "13 7/7 function__return a.py:1:a 1",
            ]
        );
    }

    #[test]
    fn a_root_selects_the_rows_inside_its_calls() {
        let script = "
            1   7/7  function__entry  a.py:1:main  1
            2   7/7  line             a.py:1:main  2
            3   7/7  function__entry  a.py:9:work  9
            4   7/7  line             a.py:9:work  10
            5   7/7  gc__start        -            0  2
            6   7/7  gc__done         -            0  0
            7   7/7  function__return a.py:9:work  9
            8   7/7  function__return a.py:1:main  1
            9   7/7  source           a.py::       12 1  text
        ";
        let filter = Filter { root: Some("work".parse().expect("a valid pattern")), ..Filter::default() };
        assert_eq!(
            excerpt(script, &filter),
            [
                "3 7/7 function__entry a.py:9:work 9",
                "4 7/7 line a.py:9:work 10",
                "5 7/7 gc__start - 0 2",
                "6 7/7 gc__done - 0 0",
                "7 7/7 function__return a.py:9:work 9",
                "9 7/7 source a.py:: 12 1 text",
            ]
        );
    }

    #[test]
    fn a_window_without_an_end_includes_the_last_instant() {
        let script = "
            1                    7/7  function__entry   a.py:1:a  1
            9223372036854775807  7/7  function__return  a.py:1:a  1
            9223372036854775807  7/7  gc__start         -         0  2
        ";
        assert_eq!(excerpt(script, &Filter::default()).len(), 3);
        assert_eq!(excerpt(script, &Filter { time: "1ns-".parse().ok(), ..Filter::default() }).len(), 3);
        assert_eq!(excerpt(script, &time(0, 20)).len(), 1);
    }

    #[test]
    fn the_default_filter_keeps_every_row() {
        for (name, script) in testing::all("script") {
            let names = Names::new();
            let rows = testing::rows(&script, &names);
            let line = |event: Event| Line { event: &event, names: &names }.to_string();
            let expected: Vec<String> = rows
                .iter()
                .map(|event| line(event).split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            assert_eq!(excerpt(&script, &Filter::default()), expected, "{name}");
        }
    }
}
