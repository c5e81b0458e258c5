//! Redacted copies of traces, for `pyrec share`: the rows that a filter selects, with secrets
//! replaced by tokens.
//!
//! ```text
//! Trace ─▶ Inventory ─▶ SecretFinder ─▶ SecretSet              first pass: what is secret
//!   │                                       ▼
//!   └─ rows ─▶ ExcerptSelector ─▶ RowRedactor ─▶ TraceWriter    second pass: row by row
//!                                                     ▼
//!                                                 leak scan     third pass: search the result
//! ```
//!
//! `docs/reference/share.md` lists what is removed, and why.

mod allowlist;
mod command_line;
mod detection;
mod excerpt;
mod inventory;
mod leak_scan;
mod paths;
mod redaction;
mod secrets;
mod token;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use pyrec_schema::{Batch, Columns, Excerpt, Names, Trace, TraceWriter, WriterOptions};

use self::detection::SecretFinder;
use self::excerpt::ExcerptSelector;
use self::inventory::Inventory;
use self::paths::PathRedactor;
use self::redaction::{Redactor, RowRedactor};
use self::secrets::SecretSet;
use crate::filter::TimeWindow;
use crate::measure::{self, Trust};
use crate::{CallTree, Filter, Result, order};

pub use detection::LocalIdentity;
pub use leak_scan::Leak;
pub use redaction::SourcePolicy;
pub use secrets::Secret;
pub use token::{SecretKind, TokenKey};

/// How many rows are written at once.
const BATCH_ROWS: usize = 1 << 16;

/// Writes a redacted copy of a trace.
#[derive(Debug)]
pub struct TraceRedactor<'a> {
    trace: &'a Trace,
    filter: Filter,
    sources: SourcePolicy,
    key: TokenKey,
    paths: PathRedactor,
    inventory: Inventory,
    secrets: SecretSet,
    /// The time window of the filter.
    window: TimeWindow,
    origin_ns: i64,
}

/// What a redacted trace holds.
#[derive(Debug)]
pub struct ShareSummary {
    /// Which part of the recording it is. None: the whole recording.
    pub excerpt: Option<Excerpt>,
    /// The number of source texts.
    pub texts: usize,
    /// The facts of its trust line.
    pub trust: Trust,
}

impl<'a> TraceRedactor<'a> {
    /// Reads a trace and finds its secrets. The words of the README that is shared with the trace are
    /// public.
    pub fn new(
        trace: &'a Trace,
        filter: Filter,
        sources: SourcePolicy,
        key: TokenKey,
        local: &LocalIdentity,
        readme: &str,
    ) -> Result<TraceRedactor<'a>> {
        let manifest = trace.manifest();
        let paths = PathRedactor::new(key, manifest.directory.as_deref(), local.home.as_deref());
        let inventory = Inventory::read(trace, &paths)?;
        let secrets = SecretFinder::find(key, &paths, manifest, &inventory, local, readme);
        let origin_ns = order::origin_ns(trace)?.unwrap_or(0);
        let window = filter.window(origin_ns);
        Ok(TraceRedactor { trace, filter, sources, key, paths, inventory, secrets, window, origin_ns })
    }

    /// The secrets that are replaced.
    pub fn secrets(&self) -> &[Secret] {
        self.secrets.list()
    }

    /// The numbers of source texts that are shared and that are left out.
    pub fn text_counts(&self) -> (usize, usize) {
        let files = &self.inventory.sources;
        let shared = files.iter().filter(|file| self.sources.includes(file, &self.paths)).count();
        (shared, files.len() - shared)
    }

    /// The approximate number of events in the time window of the filter.
    pub fn event_count(&self) -> u64 {
        self.inventory.times.count_between(self.window.from_ns, self.end_ns())
    }

    /// The instant from which the time window holds at most `events` events, approximately.
    pub fn start_of_last(&self, events: u64) -> i64 {
        self.inventory.times.start_of_last(events, self.end_ns()).max(self.window.from_ns)
    }

    fn end_ns(&self) -> i64 {
        self.window.to_ns.min(self.inventory.times.end_ns())
    }

    /// Writes a redacted trace of what the filter selects, from `since_ns` on if that is given.
    pub fn write(&self, since_ns: Option<i64>, path: &Path) -> Result<ShareSummary> {
        let from_ns = since_ns.unwrap_or(self.window.from_ns).max(self.window.from_ns);
        let window = TimeWindow { from_ns, ..self.window };
        let redactor = self.redactor();
        let excerpt = self.excerpt(window);
        let manifest = redactor.manifest(self.trace.manifest(), excerpt.clone());
        let names = Arc::new(Names::new());
        let mut row_redactor = RowRedactor::new(redactor, self.trace.names().clone(), names.clone());
        let ended = manifest.ended.clone();
        let mut writer = TraceWriter::create(path, names, manifest, WriterOptions::default())?;
        let mut batch = Batch::with_capacity(BATCH_ROWS);
        let mut selector = ExcerptSelector::new(&self.filter, self.trace.names(), window);
        for file in self.trace.files() {
            for row_group in 0..file.row_groups() {
                for rows in file.read(row_group, Columns::ALL)? {
                    let rows = rows?;
                    rows.iter().for_each(|event| {
                        selector.push(event, &mut |event| {
                            row_redactor.event(event).into_iter().for_each(|event| batch.push(event))
                        });
                    });
                    if batch.len() >= BATCH_ROWS {
                        writer.write(&batch)?;
                        batch.clear();
                    }
                }
            }
        }
        selector
            .finish(&mut |event| row_redactor.event(event).into_iter().for_each(|event| batch.push(event)));
        writer.write(&batch)?;
        writer.manifest_mut().ended = ended;
        writer.finish()?;
        self.summary(path, excerpt)
    }

    /// Reads the written trace for its summary.
    fn summary(&self, path: &Path, excerpt: Option<Excerpt>) -> Result<ShareSummary> {
        let trace = Trace::open(&[path])?;
        let trust = Trust::of(&CallTree::read(&trace, &Filter::default())?);
        Ok(ShareSummary { excerpt, texts: measure::Sources::read(&trace)?.count(), trust })
    }

    /// Which part of the recording the window and the filter select. None for the whole recording.
    /// An excerpt of an excerpt is described as one of the original recording.
    fn excerpt(&self, window: TimeWindow) -> Option<Excerpt> {
        let Filter { root, pids, tids, .. } = &self.filter;
        let earlier_excerpt = self.trace.manifest().slice.clone();
        let is_inside = root.is_some();
        let is_some_threads = !pids.is_empty() || !tids.is_empty();
        if window == TimeWindow::ALL && !is_inside && !is_some_threads {
            return earlier_excerpt;
        }
        let since = |time_ns: i64| u64::try_from(time_ns.saturating_sub(self.origin_ns)).unwrap_or(0);
        let length_ns = self.inventory.times.end_ns().abs_diff(self.origin_ns);
        let whole = earlier_excerpt.unwrap_or(Excerpt { recording_ns: length_ns, ..Excerpt::default() });
        let from_ns = (window.from_ns > self.origin_ns).then(|| since(window.from_ns));
        let to_ns = (window.to_ns < i64::MAX).then(|| since(window.to_ns));
        Some(Excerpt {
            is_inside: is_inside || whole.is_inside,
            is_some_threads: is_some_threads || whole.is_some_threads,
            ..whole.cut(from_ns, to_ns)
        })
    }

    /// Searches a zip file that is about to be shared for secrets. Returns the first.
    pub fn find_leak(&self, zip: &Path, readme: &str) -> Result<Option<Leak>> {
        leak_scan::scan(zip, readme, &self.redactor())
    }

    fn redactor(&self) -> Redactor<'_> {
        Redactor { key: self.key, paths: &self.paths, secrets: &self.secrets, sources: self.sources }
    }
}
