//! A part of a recording that is a recording by itself.
//!
//! ```text
//! recorded   E a   E b │ E c   R c   R b │ R a         time ─▶
//! slice                O a
//!                      O b
//!                        E c   R c   R b
//! ```
//!
//! Calls that are open where it begins are told as an attached recorder tells them, so that its tree has the right
//! root. Those that are open where it ends stay so.

use pyrec_schema::{Event, LostEvents, Marker, Names, TextId};
use rustc_hash::FxHashMap;

use crate::Filter;
use crate::order::Thread;
use crate::tree::{Frame, Lens, Stack, Step, Window};

/// Cuts the rows out that are asked for. Rows of one thread are to come in its order, threads may be mixed.
#[derive(Debug)]
pub struct Slicer<'a> {
    filter: &'a Filter,
    names: &'a Names,
    lens: Lens<'a>,
    window: Window,
    threads: FxHashMap<Thread, State>,
}

/// A thread.
#[derive(Debug, Default)]
struct State {
    stack: Stack<Running>,
    /// Whether its first row is in the slice.
    has_begun: bool,
    /// Its start, and that of its process, until then.
    starts: Vec<Event>,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
struct Running {
    line: i32,
    /// Whether it is within a call of the function that is asked for.
    is_inside: bool,
    /// Whether the slice has its beginning.
    is_kept: bool,
}

impl<'a> Slicer<'a> {
    /// Cuts by a filter, whose stretch of time that window is.
    pub fn new(filter: &'a Filter, names: &'a Names, window: Window) -> Self {
        Slicer { filter, names, lens: Lens::new(filter, names), window, threads: FxHashMap::default() }
    }

    /// Reads the next row, and gives those that belong to the slice. Sources do in any case.
    pub fn push(&mut self, event: Event, keep: &mut impl FnMut(Event)) {
        let step = Step::of(&event, self.names);
        if step == Step::Ignore {
            return keep(event);
        }
        let thread = Thread { pid: event.pid, tid: event.tid };
        if self.window.is_over(event.time_ns) || !self.filter.has_thread(thread.pid, thread.tid) {
            return;
        }
        let state = self.threads.entry(thread).or_default();
        let is_in_time = self.window.contains(event.time_ns);
        if step == Step::Clear {
            return state.clear(event, is_in_time, keep);
        }
        if is_in_time {
            state.begin(thread, self.window.from_ns, self.names, keep);
        }
        let is_kept = state.step(step, &event, is_in_time, &mut self.lens);
        if is_in_time && is_kept {
            keep(event);
        }
    }

    /// Ends the recording: threads that had nothing to say, but were there, are told of.
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

impl State {
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
            // It ended before the slice begins.
            _ => self.starts.clear(),
        }
    }

    /// Tells what was there before its first row.
    fn begin(&mut self, thread: Thread, from_ns: i64, names: &Names, keep: &mut impl FnMut(Event)) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.starts.drain(..).for_each(&mut *keep);
        for at in 0..self.stack.frames().len() {
            let open = self.stack.frames()[at];
            if !open.data.is_inside {
                continue;
            }
            let Thread { pid, tid } = thread;
            let row = |marker, code| {
                let (time_ns, line) = (from_ns, open.data.line);
                Event { time_ns, pid, tid, marker, code, line, value: None, text: TextId::NONE }
            };
            match open.frame {
                Frame::Function(code) => keep(row(Marker::FunctionOpen, code)),
                // What follows has an unknown caller, still: a loss of nothing says so.
                Frame::Lost => {
                    keep(LostEvents { pid, tid, count: 0, from_ns, to_ns: from_ns }.to_event(names));
                }
                Frame::Cfunction(_) | Frame::Gc | Frame::Thread => continue,
            }
            self.stack.data_mut(at).is_kept = true;
        }
    }

    /// Follows the stack. Says whether the row belongs to what is asked for.
    fn step(&mut self, step: Step, event: &Event, is_in_time: bool, lens: &mut Lens) -> bool {
        let is_inside = self.stack.top().map_or(lens.is_open(), |top| top.data.is_inside);
        match step {
            Step::Enter(frame) | Step::Open(frame) => {
                let is_inside = is_inside || lens.verdict(frame).root;
                let is_kept = is_inside && is_in_time;
                self.stack.push(frame, Running { line: event.line, is_inside, is_kept });
                is_inside
            }
            Step::Leave(frame) => match self.stack.above(frame) {
                Some(above) => {
                    let left = (0..=above).map(|_| self.stack.pop()).last().flatten();
                    left.is_some_and(|left| left.data.is_kept)
                }
                None => is_inside,
            },
            Step::Lose { .. } => {
                self.stack.lose();
                let is_inside = lens.is_open();
                self.stack.push(Frame::Lost, Running { line: 0, is_inside, is_kept: is_in_time });
                true
            }
            Step::Pass => {
                let position = self.stack.frames().len().wrapping_sub(1);
                let is_its = |open: &crate::tree::Open<Running>| open.frame == Frame::Function(event.code);
                if event.marker == Marker::Line && self.stack.top().is_some_and(is_its) {
                    self.stack.data_mut(position).line = event.line;
                }
                is_inside
            }
            Step::Clear | Step::Ignore => false,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Slices of scripts, row by row.

    use std::time::Duration;

    use super::*;
    use crate::filter::TimeRange;
    use crate::script::{self, Line};

    /// The rows of a slice, with single spaces.
    fn slice(script: &str, filter: &Filter) -> Vec<String> {
        let names = Names::new();
        let batch = script::rows(script, &names);
        let mut slicer = Slicer::new(filter, &names, crate::tree::window(filter, 0));
        let mut kept = Vec::new();
        batch.iter().for_each(|event| slicer.push(event, &mut |event| kept.push(event)));
        slicer.finish(&mut |event| kept.push(event));
        let line = |event: &Event| Line { event, names: &names }.to_string();
        kept.iter().map(|event| line(event).split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn time(from_ns: u64, to_ns: u64) -> Filter {
        let [from, to] = [from_ns, to_ns].map(Duration::from_nanos);
        Filter { time: Some(TimeRange { from, to: Some(to) }), ..Filter::default() }
    }

    #[test]
    fn open_calls_are_told_where_it_begins() {
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
            slice(script, &time(10, 20)),
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
    fn what_ended_before_is_not_told() {
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
        // A return whose entry was left out would be a repair.
        assert_eq!(slice(script, &time(10, 20)), ["14 7/7 audit - 0 - open"]);
    }

    #[test]
    fn after_a_loss_the_caller_is_unknown_still() {
        let script = "
            1   7/7  function__entry  a.py:1:a  1
            5   7/7  lost             -         0  3  2
            6   7/7  function__entry  a.py:9:b  9
            12  7/7  function__return a.py:9:b  9
            13  7/7  function__return a.py:1:a  1
        ";
        assert_eq!(
            slice(script, &time(10, 20)),
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
    fn a_root_keeps_what_happens_inside() {
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
        let filter = Filter { root: Some("work".parse().expect("a pattern")), ..Filter::default() };
        assert_eq!(
            slice(script, &filter),
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
    fn what_has_no_end_ends_with_the_last_instant() {
        let script = "
            1                    7/7  function__entry   a.py:1:a  1
            9223372036854775807  7/7  function__return  a.py:1:a  1
            9223372036854775807  7/7  gc__start         -         0  2
        ";
        assert_eq!(slice(script, &Filter::default()).len(), 3);
        assert_eq!(slice(script, &Filter { time: "1ns-".parse().ok(), ..Filter::default() }).len(), 3);
        assert_eq!(slice(script, &time(0, 20)).len(), 1);
    }

    #[test]
    fn all_of_it_is_every_row() {
        for (name, script) in script::all("script") {
            let names = Names::new();
            let rows = script::rows(&script, &names);
            let line = |event: Event| Line { event: &event, names: &names }.to_string();
            let expected: Vec<String> = rows
                .iter()
                .map(|event| line(event).split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            assert_eq!(slice(&script, &Filter::default()), expected, "{name}");
        }
    }
}
