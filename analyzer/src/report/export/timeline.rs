//! Spans of calls for timeline viewers: they nest, they all end, and their times never decrease.
//!
//! The spans of all open calls end where events were lost. If a return after the loss shows that a
//! call was open all along, new spans of its callers begin there. So no span contains a time in
//! which events were lost.
//!
//! ```text
//! E main  E a   ▒▒▒▒▒▒▒▒    E c  R c   R a     R main
//! ├─main─────────┤       ├─(unknown caller)┤├─main──┤
//!         ├─a────┤           ├─c──┤
//! ```

use pyrec_schema::{Columns, Event, LostEvents, Names, Trace};
use rustc_hash::FxHashMap;

use crate::calls::{self, Call, CallEnd, CallEvent, Ending};
use crate::filter::TimeWindow;
use crate::order::{self, ThreadId};
use crate::tree::Frame;
use crate::{Filter, Result};

/// A change of a thread's spans, or an event without a duration.
#[derive(Clone, Copy, Debug)]
pub enum SpanEvent<'a> {
    /// A span begins, or continues after a loss.
    Begin(&'a Call),
    /// The innermost span ends, with the ending of the call; `None` if a loss cuts it.
    End(&'a Call, Option<Ending>),
    /// An event without a duration.
    Instant(&'a Event),
}

/// Reads the spans of all calls that the filter selects. `visit` receives those of a thread in the
/// order of time.
pub fn read(
    trace: &Trace,
    filter: &Filter,
    visit: &mut impl FnMut(ThreadId, i64, SpanEvent) -> Result<()>,
) -> Result<()> {
    let columns = Columns { line: false, value: true, text: true };
    let mut timeline = Timeline::new(order::time_window(trace, filter)?);
    calls::read(trace, filter, columns, &mut |call_event, _| {
        timeline.push(call_event, trace.names(), visit)
    })?;
    Ok(())
}

/// The spans of all threads.
struct Timeline {
    window: TimeWindow,
    tracks: FxHashMap<ThreadId, Track>,
}

impl Timeline {
    fn new(window: TimeWindow) -> Self {
        Timeline { window, tracks: FxHashMap::default() }
    }

    fn push(
        &mut self,
        call_event: CallEvent,
        names: &Names,
        visit: &mut impl FnMut(ThreadId, i64, SpanEvent) -> Result<()>,
    ) -> Result<()> {
        let (CallEvent::Enter(Call { entry: event, .. })
        | CallEvent::Leave(Call { entry: event, .. }, _)
        | CallEvent::UnmatchedReturn(_, event)
        | CallEvent::Instant(event)) = call_event;
        let thread = ThreadId::of(event);
        let track = self.tracks.entry(thread).or_insert_with(|| Track::new(self.window));
        track.push(call_event, names, &mut |time_ns, event| visit(thread, time_ns, event))
    }
}

/// The spans of a thread.
struct Track {
    window: TimeWindow,
    open: Vec<Span>,
    /// The time of the last change.
    now_ns: i64,
}

/// An open call.
struct Span {
    call: Call,
    /// Whether its span is open. It is not after a loss.
    is_shown: bool,
}

/// The consumer of a thread's span events.
type Sink<'s> = &'s mut dyn FnMut(i64, SpanEvent) -> Result<()>;

impl Track {
    fn new(window: TimeWindow) -> Self {
        Track { window, open: Vec::new(), now_ns: window.from_ns }
    }

    fn push(&mut self, call_event: CallEvent, names: &Names, sink: Sink) -> Result<()> {
        match call_event {
            CallEvent::Enter(call) => self.enter(call, names, sink),
            CallEvent::Leave(_, end) => self.leave(end, sink),
            CallEvent::Instant(event) => sink(event.time_ns, SpanEvent::Instant(event)),
            CallEvent::UnmatchedReturn(..) => Ok(()),
        }
    }

    fn enter(&mut self, call: &Call, names: &Names, sink: Sink) -> Result<()> {
        if let Some(lost) = LostEvents::from_event(&call.entry, names) {
            self.cut(lost.from_ns, sink)?;
        }
        self.advance(call.entry.time_ns);
        self.open.push(Span { call: *call, is_shown: true });
        sink(self.now_ns, SpanEvent::Begin(call))
    }

    /// Ends the spans of all open calls.
    fn cut(&mut self, time_ns: i64, sink: Sink) -> Result<()> {
        self.advance(time_ns);
        for span in self.open.iter_mut().rev().take_while(|span| span.is_shown) {
            span.is_shown = false;
            sink(self.now_ns, SpanEvent::End(&span.call, None))?;
        }
        Ok(())
    }

    fn leave(&mut self, end: CallEnd, sink: Sink) -> Result<()> {
        let Some(span) = self.open.pop() else { return Ok(()) };
        self.advance(end.time_ns);
        if span.is_shown {
            return sink(self.now_ns, SpanEvent::End(&span.call, Some(end.ending)));
        }
        match end.ending {
            Ending::Returned | Ending::AcrossLoss => self.reopen(sink),
            Ending::NeverReturned | Ending::InLoss | Ending::StillOpen => Ok(()),
        }
    }

    /// Begins new spans for the callers of a call that returned after a loss. They have been open
    /// since before the loss.
    fn reopen(&mut self, sink: Sink) -> Result<()> {
        let hidden = self.open.iter().rev().take_while(|span| !span.is_shown);
        let up_to_loss = hidden.clone().position(|span| span.call.frame == Frame::Lost);
        let from = self.open.len() - up_to_loss.map_or(hidden.count(), |above| above + 1);
        for span in &mut self.open[from..] {
            span.is_shown = true;
            sink(self.now_ns, SpanEvent::Begin(&span.call))?;
        }
        Ok(())
    }

    /// Advances the time, but not beyond the window. It never goes back.
    fn advance(&mut self, time_ns: i64) {
        self.now_ns = time_ns.clamp(self.now_ns, self.window.to_ns.max(self.now_ns));
    }
}

#[cfg(test)]
mod tests {
    //! Spans of damaged streams.

    use std::collections::HashMap;

    use proptest::prelude::*;
    use pyrec_schema::Code;

    use super::*;
    use crate::calls::tests::{batch, windows};
    use crate::calls::{CallStream, Callers};
    use crate::testing;
    use crate::tree::tests::any_stream;

    proptest! {
        /// The spans of any stream nest, they all end, and their times never decrease.
        #[test]
        fn spans_of_any_stream_nest(rows in any_stream::rows(), window in windows()) {
            let (names, filter) = (Names::new(), Filter::default());
            let mut timeline = Timeline::new(window);
            let mut threads: HashMap<ThreadId, (Vec<u64>, i64)> = HashMap::new();
            let mut check = |thread: ThreadId, time_ns: i64, event: SpanEvent| {
                let (open, last_ns) = threads.entry(thread).or_insert((vec![], window.from_ns));
                match event {
                    SpanEvent::Begin(call) => open.push(call.id),
                    SpanEvent::End(call, _) => assert_eq!(open.pop(), Some(call.id)),
                    SpanEvent::Instant(_) => return Ok(()),
                }
                assert!(*last_ns <= time_ns && time_ns <= window.to_ns);
                *last_ns = time_ns;
                Ok(())
            };
            let mut calls = CallStream::new(&filter, &names, window);
            let mut visit = |call_event: CallEvent, _: Callers| timeline.push(call_event, &names, &mut check);
            let batch = batch(&rows, 2, &names);
            batch.iter().try_for_each(|event| calls.push(&event, &mut visit)).expect("the visitor never fails");
            calls.finish(&mut visit).expect("the visitor never fails");
            assert!(threads.values().all(|(open, _)| open.is_empty()), "every span ends");
        }
    }

    /// `+name` begins and `-` ends.
    fn draw(script: &str, filter: &Filter) -> String {
        let (trace, _directory) = testing::trace(script, 100);
        let names = trace.names();
        let mut drawn = Vec::new();
        read(&trace, filter, &mut |_, time_ns, span_event| {
            match span_event {
                SpanEvent::Begin(call) => drawn.push(match call.frame {
                    Frame::Function(code) => {
                        format!("{time_ns}+{}", Code::parse(&names.code_str(code)).qualname)
                    }
                    _ => format!("{time_ns}+?"),
                }),
                SpanEvent::End(..) => drawn.push(format!("{time_ns}-")),
                SpanEvent::Instant(_) => {}
            }
            Ok(())
        })
        .expect("the trace is readable");
        drawn.join(" ")
    }

    fn draw_named(name: &str) -> String {
        let scripts = testing::all("script");
        let (_, script) = scripts.iter().find(|(found, _)| found == name).expect("the script exists");
        draw(script, &Filter::default())
    }

    #[test]
    fn no_span_crosses_a_loss() {
        assert_eq!(draw_named("lost"), "0+main 1+a 2+b 3- 3- 3- 13+? 14+c 16- 16- 17+main 18+d 19- 20-");
        assert_eq!(draw_named("lost_entry"), "0+a 2- 6+? 7-");
    }

    #[test]
    fn a_call_without_a_return_ends_with_its_last_row() {
        assert_eq!(draw_named("never_returned"), "0+a 1+b 2- 3+b 4+c 5- 5- 9-");
        assert_eq!(draw_named("killed"), "0+a 2+b 7- 7-");
    }

    #[test]
    fn time_never_decreases() {
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
    fn calls_are_cut_to_the_time_range() {
        let long = "
            10  7/7  function__entry   m.py:1:a  1
            20  7/7  function__entry   m.py:5:b  5
            30  7/7  function__return  m.py:5:b  5
            40  7/7  function__return  m.py:1:a  1
        ";
        let time = Some("15ns-25ns".parse().expect("the range is valid"));
        // Counted from the first event.
        assert_eq!(draw(long, &Filter { time, ..Filter::default() }), "25+a 25+b 30- 35-");
    }
}
