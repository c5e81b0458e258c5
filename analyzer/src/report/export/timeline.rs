//! Moments as spans of time that nest and never run backwards: what viewers of timelines expect.
//!
//! A call that events were lost in ends where they were lost. If a return shows that it or a caller of it has been open
//! all along, what goes on begins anew there, so that no time across a loss is shown as measured.
//!
//! ```text
//! E main  E a   ▒▒▒▒▒▒▒▒    E c  R c   R a     R main
//! ├─main─────────┤       ├─(unknown caller)┤├─main──┤
//!         ├─a────┤           ├─c──┤
//! ```

use pyrec_schema::{Columns, Event, Lost, Names, Trace};
use rustc_hash::FxHashMap;

use crate::calls::{self, Call, End, Ending, Moment};
use crate::order::Thread;
use crate::tree::{Frame, Window};
use crate::{Filter, Result};

/// What a timeline shows.
#[derive(Clone, Copy, Debug)]
pub enum Mark<'a> {
    /// A span begins, or goes on after a loss.
    Begin(&'a Call),
    /// The innermost span ends, and how; none where it is cut by a loss.
    End(&'a Call, Option<Ending>),
    /// Something without a duration.
    Point(&'a Event),
}

/// The spans of all threads that the filter leaves, those of a thread in their order.
pub fn read(
    trace: &Trace,
    filter: &Filter,
    show: &mut impl FnMut(Thread, i64, Mark) -> Result<()>,
) -> Result<()> {
    let columns = Columns { line: false, value: true, text: true };
    let mut timeline = Timeline::new(calls::window(trace, filter)?);
    calls::read(trace, filter, columns, &mut |moment, _| timeline.push(moment, trace.names(), show))?;
    Ok(())
}

/// The spans of all threads.
struct Timeline {
    window: Window,
    tracks: FxHashMap<Thread, Track>,
}

impl Timeline {
    fn new(window: Window) -> Self {
        Timeline { window, tracks: FxHashMap::default() }
    }

    fn push(
        &mut self,
        moment: Moment,
        names: &Names,
        show: &mut impl FnMut(Thread, i64, Mark) -> Result<()>,
    ) -> Result<()> {
        let (Moment::Enter(Call { entry: event, .. })
        | Moment::Leave(Call { entry: event, .. }, _)
        | Moment::Unseen(_, event)
        | Moment::Point(event)) = moment;
        let thread = Thread::of(event);
        let track = self.tracks.entry(thread).or_insert_with(|| Track::new(self.window));
        track.push(moment, names, &mut |time_ns, mark| show(thread, time_ns, mark))
    }
}

/// The spans of a thread.
struct Track {
    window: Window,
    open: Vec<Span>,
    /// The time of the last mark.
    now_ns: i64,
}

/// An open call.
struct Span {
    call: Call,
    /// Whether it is shown now; not if events were lost in it.
    is_shown: bool,
}

/// Where a mark goes.
type Sink<'s> = &'s mut dyn FnMut(i64, Mark) -> Result<()>;

impl Track {
    fn new(window: Window) -> Self {
        Track { window, open: Vec::new(), now_ns: window.from_ns }
    }

    fn push(&mut self, moment: Moment, names: &Names, sink: Sink) -> Result<()> {
        match moment {
            Moment::Enter(call) => self.enter(call, names, sink),
            Moment::Leave(_, end) => self.leave(end, sink),
            Moment::Point(event) => sink(event.time_ns, Mark::Point(event)),
            Moment::Unseen(..) => Ok(()),
        }
    }

    fn enter(&mut self, call: &Call, names: &Names, sink: Sink) -> Result<()> {
        if let Some(lost) = Lost::from_event(&call.entry, names) {
            self.cut(lost.from_ns, sink)?;
        }
        self.pass_to(call.entry.time_ns);
        self.open.push(Span { call: *call, is_shown: true });
        sink(self.now_ns, Mark::Begin(call))
    }

    /// Ends what is shown.
    fn cut(&mut self, time_ns: i64, sink: Sink) -> Result<()> {
        self.pass_to(time_ns);
        for span in self.open.iter_mut().rev().take_while(|span| span.is_shown) {
            span.is_shown = false;
            sink(self.now_ns, Mark::End(&span.call, None))?;
        }
        Ok(())
    }

    fn leave(&mut self, end: End, sink: Sink) -> Result<()> {
        let Some(span) = self.open.pop() else { return Ok(()) };
        self.pass_to(end.time_ns);
        if span.is_shown {
            return sink(self.now_ns, Mark::End(&span.call, Some(end.ending)));
        }
        match end.ending {
            Ending::Returned | Ending::AcrossLoss => self.go_on(sink),
            Ending::NeverReturned | Ending::InLoss | Ending::StillOpen => Ok(()),
        }
    }

    /// Shows the callers of a call that returned after a loss: they have been open all along, up to the loss before.
    fn go_on(&mut self, sink: Sink) -> Result<()> {
        let hidden = self.open.iter().rev().take_while(|span| !span.is_shown);
        let up_to_loss = hidden.clone().position(|span| span.call.frame == Frame::Lost);
        let from = self.open.len() - up_to_loss.map_or(hidden.count(), |above| above + 1);
        for span in &mut self.open[from..] {
            span.is_shown = true;
            sink(self.now_ns, Mark::Begin(&span.call))?;
        }
        Ok(())
    }

    /// Goes on to an instant within the time that was asked for, and never back.
    fn pass_to(&mut self, time_ns: i64) {
        self.now_ns = time_ns.clamp(self.now_ns, self.window.to_ns.max(self.now_ns));
    }
}

#[cfg(test)]
mod tests {
    //! Spans of the damaged streams.

    use std::collections::HashMap;

    use proptest::prelude::*;
    use pyrec_schema::Code;

    use super::*;
    use crate::calls::tests::{batch, windows};
    use crate::calls::{Callers, Calls};
    use crate::script;
    use crate::tree::tests::any_stream;

    proptest! {
        /// Whatever the stream, viewers get spans that nest, that all end, and whose times rise.
        #[test]
        fn spans_of_any_stream_nest(rows in any_stream::rows(), window in windows()) {
            let (names, filter) = (Names::new(), Filter::default());
            let mut timeline = Timeline::new(window);
            let mut threads: HashMap<Thread, (Vec<u64>, i64)> = HashMap::new();
            let mut show = |thread: Thread, time_ns: i64, mark: Mark| {
                let (open, last_ns) = threads.entry(thread).or_insert((vec![], window.from_ns));
                match mark {
                    Mark::Begin(call) => open.push(call.id),
                    Mark::End(call, _) => assert_eq!(open.pop(), Some(call.id)),
                    Mark::Point(_) => return Ok(()),
                }
                assert!(*last_ns <= time_ns && time_ns <= window.to_ns);
                *last_ns = time_ns;
                Ok(())
            };
            let mut calls = Calls::new(&filter, &names, window);
            let mut visit = |moment: Moment, _: Callers| timeline.push(moment, &names, &mut show);
            let batch = batch(&rows, 2, &names);
            batch.iter().try_for_each(|event| calls.push(&event, &mut visit)).expect("nothing fails");
            calls.finish(&mut visit).expect("nothing fails");
            assert!(threads.values().all(|(open, _)| open.is_empty()), "every span ends");
        }
    }

    /// `+name` begins and `-` ends.
    fn draw(script: &str, filter: &Filter) -> String {
        let (trace, _directory) = script::trace(script, 100);
        let names = trace.names();
        let mut marks = Vec::new();
        read(&trace, filter, &mut |_, time_ns, mark| {
            match mark {
                Mark::Begin(call) => marks.push(match call.frame {
                    Frame::Function(code) => {
                        format!("{time_ns}+{}", Code::parse(&names.code_str(code)).qualname)
                    }
                    _ => format!("{time_ns}+?"),
                }),
                Mark::End(..) => marks.push(format!("{time_ns}-")),
                Mark::Point(_) => {}
            }
            Ok(())
        })
        .expect("a whole trace");
        marks.join(" ")
    }

    fn draw_named(name: &str) -> String {
        let scripts = script::all("script");
        let (_, script) = scripts.iter().find(|(found, _)| found == name).expect("there is such a script");
        draw(script, &Filter::default())
    }

    #[test]
    fn nothing_is_shown_across_a_loss() {
        assert_eq!(draw_named("lost"), "0+main 1+a 2+b 3- 3- 3- 13+? 14+c 16- 16- 17+main 18+d 19- 20-");
        assert_eq!(draw_named("lost_entry"), "0+a 2- 6+? 7-");
    }

    #[test]
    fn what_never_returned_ends_with_the_last_row_in_it() {
        assert_eq!(draw_named("never_returned"), "0+a 1+b 2- 3+b 4+c 5- 5- 9-");
        assert_eq!(draw_named("killed"), "0+a 2+b 7- 7-");
    }

    #[test]
    fn time_never_runs_backwards_here() {
        assert_eq!(draw_named("backwards"), "0+a 2+b 4- 8-");
        let back = "
            9  7/7  function__entry   m.py:1:a  1
            5  7/7  function__entry   m.py:5:b  5
            7  7/7  function__return  m.py:5:b  5
            8  7/7  function__return  m.py:1:a  1
        ";
        assert_eq!(draw(back, &Filter::default()), "9+a 9+b 9- 9-");
    }

    #[test]
    fn calls_are_cut_to_the_time_asked_for() {
        let long = "
            10  7/7  function__entry   m.py:1:a  1
            20  7/7  function__entry   m.py:5:b  5
            30  7/7  function__return  m.py:5:b  5
            40  7/7  function__return  m.py:1:a  1
        ";
        let time = Some("15ns-25ns".parse().expect("a stretch of time"));
        // Counted from the first event.
        assert_eq!(draw(long, &Filter { time, ..Filter::default() }), "25+a 25+b 30- 35-");
    }
}
