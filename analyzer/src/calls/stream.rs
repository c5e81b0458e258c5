//! The rows of all threads into moments.

use pyrec_schema::{Event, Names};
use rustc_hash::FxHashMap;

use super::moment::Visit;
use super::thread::{Eye, ThreadCalls};
use crate::order::Thread;
use crate::tree::{Lens, Repairs, Step, Window};
use crate::{Filter, Result};

/// The rows of all threads into moments. Rows of one thread are to come in its order, threads may be mixed.
#[derive(Debug)]
pub struct Calls<'a> {
    filter: &'a Filter,
    eye: Eye<'a>,
    threads: Vec<(Thread, ThreadCalls)>,
    places: FxHashMap<Thread, usize>,
    /// Where in `threads` the last row went, as mostly the next one does.
    recent: usize,
}

impl<'a> Calls<'a> {
    /// Looks at rows through a filter, whose stretch of time that window is.
    pub fn new(filter: &'a Filter, names: &'a Names, window: Window) -> Self {
        let eye = Eye {
            lens: Lens::new(filter, names),
            names,
            window,
            min_time_ns: i64::try_from(filter.min_time.as_nanos()).unwrap_or(i64::MAX),
            next_id: 0,
            repairs: Repairs::default(),
        };
        Calls { filter, eye, threads: Vec::new(), places: FxHashMap::default(), recent: 0 }
    }

    /// Reads the next row and tells what happens by it.
    pub fn push(&mut self, event: &Event, visit: &mut impl Visit) -> Result<()> {
        let step = Step::of(event, self.eye.names);
        if step == Step::Ignore {
            return Ok(());
        }
        let thread = Thread::of(event);
        if self.threads.get(self.recent).is_none_or(|(recent, _)| *recent != thread) {
            self.recent = *self.places.entry(thread).or_insert_with(|| {
                self.threads.push((thread, ThreadCalls::new(self.filter.has_thread(thread.pid, thread.tid))));
                self.threads.len() - 1
            });
        }
        self.threads[self.recent].1.push(step, event, &mut self.eye, visit)
    }

    /// Ends the trace: what is open stays so. Returns what had to be mended in all threads.
    pub fn finish(mut self, visit: &mut impl Visit) -> Result<Repairs> {
        self.threads.sort_unstable_by_key(|&(thread, _)| thread);
        for (_, calls) in &mut self.threads {
            calls.finish(&mut self.eye, visit)?;
        }
        Ok(self.eye.repairs)
    }
}
