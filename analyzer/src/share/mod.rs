//! A recording for others: a slice of it, without what is secret.
//!
//! ```text
//! Trace ── Inventory ──▶ Secrets, Places            what there is, and what stands for it
//!   │                        │
//!   └─ rows ─▶ Slicer ─▶ Scrubber ─▶ TraceWriter     row by row
//!                                        └─▶ leak    the last look
//! ```
//!
//! `docs/reference/share.md` says what is removed and why.

mod inventory;
mod known;
mod place;
mod plan;
mod proof;
mod scrub;
mod secret;
mod slice;
mod token;
mod words;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use pyrec_schema::{Batch, Columns, Excerpt, Names, Trace, TraceWriter, WriterOptions};

use self::inventory::Inventory;
use self::place::Places;
use self::plan::Plan;
use self::scrub::{Cleaner, Scrubber};
use self::secret::Secrets;
use self::slice::Slicer;
use crate::measure::{self, Trust};
use crate::tree::{self, Window};
use crate::{CallTree, Filter, Result, order};

pub use plan::Here;
pub use proof::Leak;
pub use scrub::Sources;
pub use secret::Secret;
pub use token::{Key, Kind};

/// Rows that are written at once.
const BATCH_ROWS: usize = 1 << 16;

/// What is to be shared.
#[derive(Debug)]
pub struct Share<'a> {
    trace: &'a Trace,
    filter: Filter,
    sources: Sources,
    key: Key,
    places: Places,
    inventory: Inventory,
    secrets: Secrets,
    /// The stretch of time that the filter asks for.
    window: Window,
    origin_ns: i64,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Which part of the recording it is; none: all of it.
    pub slice: Option<Excerpt>,
    /// How many files' texts are in it.
    pub texts: usize,
    /// How far to trust it.
    pub trust: Trust,
}

impl<'a> Share<'a> {
    /// Finds out what a recording holds, and what of it is secret: no word that also stands on the page that goes with
    /// it.
    pub fn new(
        trace: &'a Trace,
        filter: Filter,
        sources: Sources,
        key: Key,
        here: &Here,
        page: &str,
    ) -> Result<Share<'a>> {
        let manifest = trace.manifest();
        let places = Places::new(key, manifest.directory.as_deref(), here.home.as_deref());
        let inventory = Inventory::read(trace, &places)?;
        let secrets = Plan::secrets(key, &places, manifest, &inventory, here, page);
        let origin_ns = order::origin_ns(trace)?.unwrap_or(0);
        let window = tree::window(&filter, origin_ns);
        Ok(Share { trace, filter, sources, key, places, inventory, secrets, window, origin_ns })
    }

    /// What is replaced.
    pub fn secrets(&self) -> &[Secret] {
        self.secrets.list()
    }

    /// How many files' texts are shared, and how many are not.
    pub fn texts(&self) -> (usize, usize) {
        let files = &self.inventory.sources;
        let shared = files.iter().filter(|file| self.sources.includes(file, &self.places)).count();
        (shared, files.len() - shared)
    }

    /// How many events there are in what is asked for, roughly.
    pub fn events(&self) -> u64 {
        self.inventory.times.events(self.window.from_ns, self.end_ns())
    }

    /// From when on there are no more than so many events.
    pub fn last(&self, events: u64) -> i64 {
        self.inventory.times.last(events, self.end_ns()).max(self.window.from_ns)
    }

    fn end_ns(&self) -> i64 {
        self.window.to_ns.min(self.inventory.times.end_ns())
    }

    /// Writes a trace of what is asked for, or of what of it is not before that instant.
    pub fn write(&self, since_ns: Option<i64>, path: &Path) -> Result<Written> {
        let from_ns = since_ns.unwrap_or(self.window.from_ns).max(self.window.from_ns);
        let window = Window { from_ns, ..self.window };
        let cleaner = self.cleaner();
        let slice = self.slice(window);
        let manifest = cleaner.manifest(self.trace.manifest(), slice.clone());
        let names = Arc::new(Names::new());
        let mut scrubber = Scrubber::new(cleaner, self.trace.names().clone(), names.clone());
        let ended = manifest.ended.clone();
        let mut writer = TraceWriter::create(path, names, manifest, WriterOptions::default())?;
        let mut batch = Batch::with_capacity(BATCH_ROWS);
        let mut slicer = Slicer::new(&self.filter, self.trace.names(), window);
        for file in self.trace.files() {
            for row_group in 0..file.row_groups() {
                for rows in file.read(row_group, Columns::ALL)? {
                    let rows = rows?;
                    rows.iter().for_each(|event| {
                        slicer.push(event, &mut |event| {
                            scrubber.event(event).into_iter().for_each(|event| batch.push(event))
                        });
                    });
                    if batch.len() >= BATCH_ROWS {
                        writer.write(&batch)?;
                        batch.clear();
                    }
                }
            }
        }
        slicer.finish(&mut |event| scrubber.event(event).into_iter().for_each(|event| batch.push(event)));
        writer.write(&batch)?;
        writer.manifest_mut().ended = ended;
        writer.finish()?;
        self.tell(path, slice)
    }

    /// What is to be told of a trace that was written.
    fn tell(&self, path: &Path, slice: Option<Excerpt>) -> Result<Written> {
        let trace = Trace::open(&[path])?;
        let trust = Trust::of(&CallTree::read(&trace, &Filter::default())?);
        Ok(Written { slice, texts: measure::Sources::read(&trace)?.count(), trust })
    }

    /// What of the recording lies in the window and the filter; none if that is all. A slice of a slice is one of what
    /// that was.
    fn slice(&self, window: Window) -> Option<Excerpt> {
        let Filter { root, pids, tids, .. } = &self.filter;
        let before = self.trace.manifest().slice.clone();
        let is_inside = root.is_some();
        let is_some_threads = !pids.is_empty() || !tids.is_empty();
        if window == Window::ALL && !is_inside && !is_some_threads {
            return before;
        }
        let since = |time_ns: i64| u64::try_from(time_ns.saturating_sub(self.origin_ns)).unwrap_or(0);
        let length_ns = self.inventory.times.end_ns().abs_diff(self.origin_ns);
        let whole = before.unwrap_or(Excerpt { recording_ns: length_ns, ..Excerpt::default() });
        let from_ns = (window.from_ns > self.origin_ns).then(|| since(window.from_ns));
        let to_ns = (window.to_ns < i64::MAX).then(|| since(window.to_ns));
        Some(Excerpt {
            is_inside: is_inside || whole.is_inside,
            is_some_threads: is_some_threads || whole.is_some_threads,
            ..whole.cut(from_ns, to_ns)
        })
    }

    /// Looks for what was removed in a zip file that is about to be shared.
    pub fn leak(&self, zip: &Path, page: &str) -> Result<Option<Leak>> {
        proof::leak(zip, page, &self.cleaner())
    }

    fn cleaner(&self) -> Cleaner<'_> {
        Cleaner { key: self.key, places: &self.places, secrets: &self.secrets, sources: self.sources }
    }
}
