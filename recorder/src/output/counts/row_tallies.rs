//! Rows, counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyrec_schema::{Batch, CodeId, Event, Manifest, Marker, TextId};
use rustc_hash::FxHashMap;

use super::call_stack::{CallStack, elapsed_tallies};
use super::{CountTotals, FunctionName, GroupCounts, Tally};
use crate::output::pipeline::{EventSink, PositionUpdates};

/// Counts that the counting thread and the display share.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedTallies(Arc<Mutex<RowTallies>>);

/// The counts of rows.
#[derive(Debug, Default)]
struct RowTallies {
    functions: Vec<(i32, FunctionName, Tally)>,
    places: FxHashMap<(i32, FunctionName), usize>,
    threads: Vec<((i32, i32), CallStack)>,
    thread_places: FxHashMap<(i32, i32), usize>,
    /// Index in `threads` of the last row's thread, which is mostly that of the next row.
    recent: usize,
    groups: GroupCounts,
}

impl SharedTallies {
    /// Adds the counts up to `now_ns`.
    pub fn add_to(&self, sums: &mut CountTotals, now_ns: i64) {
        self.lock().add_to(sums, now_ns);
    }

    fn lock(&self) -> MutexGuard<'_, RowTallies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for SharedTallies {
    /// Counts the batch, which is not needed afterwards.
    fn write(&mut self, batch: &Batch, _: PositionUpdates, _: bool) -> Result<bool, pyrec_schema::Error> {
        let mut tallies = self.lock();
        batch.iter().for_each(|event| tallies.count(&event));
        Ok(true)
    }

    fn checkpoint(&mut self, _: Manifest) -> Result<(), pyrec_schema::Error> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), pyrec_schema::Error> {
        Ok(())
    }

    fn finish(self, _: Manifest) -> Result<u64, pyrec_schema::Error> {
        Ok(0)
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn lacked_journal(&self) -> bool {
        false
    }
}

impl RowTallies {
    #[inline]
    fn count(&mut self, event: &Event) {
        self.groups.count(event.marker);
        match event.marker {
            Marker::FunctionEntry => self.enter(event, FunctionName::Code(event.code), 1),
            // Entered before counting started.
            Marker::FunctionOpen => self.enter(event, FunctionName::Code(event.code), 0),
            Marker::FunctionReturn => self.leave(event, FunctionName::Code(event.code)),
            Marker::CfunctionEntry => self.enter(event, FunctionName::Text(event.text), 1),
            Marker::CfunctionReturn => self.leave(event, FunctionName::Text(event.text)),
            Marker::ThreadExit => self.end(event.time_ns, |thread| thread == (event.pid, event.tid)),
            Marker::ProcessExit => self.end(event.time_ns, |(pid, _)| pid == event.pid),
            Marker::Lost => self.thread(event).clear(),
            _ => {}
        }
    }

    fn enter(&mut self, event: &Event, name: FunctionName, calls: u64) {
        if is_none(name) {
            return;
        }
        let place = *self.places.entry((event.pid, name)).or_insert_with(|| {
            self.functions.push((event.pid, name, Tally::default()));
            self.functions.len() - 1
        });
        self.functions[place].2.calls += calls;
        self.thread(event).enter(place, event.time_ns);
    }

    fn leave(&mut self, event: &Event, name: FunctionName) {
        if let Some(&place) = self.places.get(&(event.pid, name)) {
            let tally = self.thread(event).leave(place, event.time_ns);
            self.functions[place].2.add(tally);
        }
    }

    fn thread(&mut self, event: &Event) -> &mut CallStack {
        let thread = (event.pid, event.tid);
        if self.threads.get(self.recent).is_none_or(|(recent, _)| *recent != thread) {
            self.recent = *self.thread_places.entry(thread).or_insert_with(|| {
                self.threads.push((thread, CallStack::default()));
                self.threads.len() - 1
            });
        }
        &mut self.threads[self.recent].1
    }

    /// Closes the open calls of threads that have ended.
    fn end(&mut self, now_ns: i64, is_it: impl Fn((i32, i32)) -> bool) {
        for (thread, stack) in &self.threads {
            if is_it(*thread) {
                elapsed_tallies(stack.opens(), now_ns, |place, tally| self.functions[place].2.add(tally));
            }
        }
        self.threads.retain(|(thread, _)| !is_it(*thread));
        let places = self.threads.iter().enumerate().map(|(place, (thread, _))| (*thread, place));
        self.thread_places = places.collect();
        self.recent = 0;
    }

    fn add_to(&self, sums: &mut CountTotals, now_ns: i64) {
        sums.groups = self.groups;
        for &(pid, name, tally) in &self.functions {
            sums.add(pid, name, tally);
        }
        for (_, stack) in &self.threads {
            elapsed_tallies(stack.opens(), now_ns, |place, tally| {
                let (pid, name, _) = self.functions[place];
                sums.add(pid, name, tally);
            });
        }
    }
}

fn is_none(name: FunctionName) -> bool {
    matches!(name, FunctionName::Code(CodeId::NONE) | FunctionName::Text(TextId::NONE))
}
