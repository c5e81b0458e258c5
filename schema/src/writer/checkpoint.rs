//! Checkpoints of a trace writer.
//!
//! A row group is *open* while rows are added to it, *closed* when it is complete, and *settled*
//! when it has its final place in the file. The bytes of closed row groups are pending until a
//! checkpoint settles them.
//!
//! ```text
//! closed up   settled │ pending │ footer                 if footers fit their budget; at the end
//! apart       settled │ pending │ ···· │ open │ footer   the next one writes the open one again
//! ```

use std::io;

use parquet::file::metadata::RowGroupMetaData;

use super::TraceWriter;
use crate::error::{Error, Result};
use crate::file::live_row_groups;
use crate::format::footer_tail;
use crate::model::{JournalLocation, Manifest, RecordingEnd};

/// An offset whose encoding in a footer is at least as long as that of any offset in a file.
const MAX_OFFSET: u64 = 1 << 60;

impl TraceWriter {
    /// Writes a checkpoint with all rows so far, whose manifest has `ended`. Returns whether it is
    /// closed up.
    pub(super) fn write_checkpoint(&mut self, ended: RecordingEnd) -> Result<bool> {
        let journal = if ended == RecordingEnd::Recording { self.next_journal()? } else { None };
        let session = self.manifest.session.take().filter(|_| ended == RecordingEnd::Recording);
        self.manifest.session =
            session.map(|session| JournalLocation { checkpoint: session.checkpoint + 1, ..session });
        let closed_len = self.pending.len();
        let written = self.write_closed_up_or_apart(&ended);
        if written.is_err() {
            self.pending.truncate(closed_len);
        }
        let is_closed_up = written.map_err(|source| {
            let (path, rows) = (self.path.clone(), self.checkpointed_rows);
            Error::Write { path, rows, source }
        })?;
        if let Some(previous) = std::mem::replace(&mut self.journal, journal) {
            previous.remove();
        }
        self.checkpointed_rows = self.rows;
        Ok(is_closed_up)
    }

    /// Closes up if this is the last checkpoint, or if the previous one is closed up and one more
    /// kept footer fits. Otherwise, or if the live checkpoint is in the way, writes the
    /// checkpoint apart.
    fn write_closed_up_or_apart(&mut self, ended: &RecordingEnd) -> io::Result<bool> {
        let should_close_up =
            *ended != RecordingEnd::Recording || self.file.is_closed_up() && self.footer_fits();
        if should_close_up && self.open.rows() == 0 && self.close_up(ended)? {
            return Ok(true);
        }
        self.write_apart(ended)?;
        Ok(false)
    }

    /// Writes the pending bytes and a footer directly behind the settled bytes. Returns false if
    /// the live checkpoint is in the way.
    fn close_up(&mut self, ended: &RecordingEnd) -> io::Result<bool> {
        let start = self.file.settled_end();
        let footer = self.footer(self.closed_at(start), ended, 0)?;
        let placement = self.file.place_closed_up(self.pending.len(), footer.len());
        if !self.file.can_close_up(placement) {
            return Ok(false);
        }
        self.file.write(placement, &self.pending, &[], &footer)?;
        self.retention.add(footer.len() as u64, true);
        self.settle(placement.end)?;
        Ok(true)
    }

    /// Settles the pending bytes, and writes the open row group and a footer apart. If there is no
    /// room to settle the pending bytes, they are written apart, too.
    fn write_apart(&mut self, ended: &RecordingEnd) -> io::Result<()> {
        let start = self.file.settled_end();
        let keeps_footer = *ended == RecordingEnd::Recording && self.open.rows() == 0 && self.footer_fits();
        if keeps_footer {
            self.append_kept_footer(ended)?;
        }
        let closed_len = self.pending.len();
        let can_settle = self.file.has_room(closed_len as u64);
        let settled_len = if can_settle { closed_len } else { 0 };
        let open = self.append_open()?;
        let live_count = usize::from(open.is_some()) + if can_settle { 0 } else { self.closed.len() };
        let footer_at = |live_start: u64| {
            let closed = self.closed_at(if can_settle { start } else { live_start });
            let by = live_start as i64 - settled_len as i64;
            let open = open.iter().map(|group| live_row_groups::shifted(group, by));
            self.footer(closed.chain(open), ended, live_count)
        };
        // The footer contains offsets that depend on its placement, and the placement depends on
        // its length.
        let max_footer_len = footer_at(MAX_OFFSET)?.len();
        let settled_end = start + closed_len as u64;
        let checkpoint_len = (self.pending.len() + max_footer_len) as u64;
        let live_len = self.pending.len() - settled_len;
        let placement = self.file.place_apart(settled_end, checkpoint_len, live_len, max_footer_len);
        let footer = footer_at(placement.start)?;
        let (settled, live) = self.pending.split_at(settled_len);
        self.file.write(placement, settled, live, &footer)?;
        self.retention.add(footer.len() as u64, keeps_footer);
        self.pending.truncate(closed_len);
        if can_settle { self.settle(settled_end) } else { Ok(()) }
    }

    /// Appends a footer to the pending bytes. It stays in the file, so that a truncated copy can be
    /// read up to it.
    fn append_kept_footer(&mut self, ended: &RecordingEnd) -> io::Result<()> {
        let footer = self.footer(self.closed_at(self.file.settled_end()), ended, 0)?;
        self.pending.extend_from_slice(&footer);
        self.pending.extend_from_slice(&footer_tail(footer.len() as u64));
        Ok(())
    }

    /// Makes the closed row groups settled, and the bytes before `end`.
    fn settle(&mut self, end: u64) -> io::Result<()> {
        let start = self.file.settled_end() as i64;
        let groups = self.closed.drain(..).map(|group| live_row_groups::shifted(&group, start));
        self.settled.push(groups.collect::<io::Result<_>>()?)?;
        self.file.settle(end);
        self.pending.clear();
        Ok(())
    }

    /// Encodes the metadata of a footer that lists `groups` after the settled row groups.
    fn footer(
        &self,
        groups: impl Iterator<Item = io::Result<RowGroupMetaData>>,
        ended: &RecordingEnd,
        live_row_groups: usize,
    ) -> io::Result<Vec<u8>> {
        let manifest = Manifest { ended: ended.clone(), live_row_groups, ..self.manifest.clone() };
        self.settled.footer(&manifest, groups.collect::<io::Result<_>>()?)
    }

    /// The metadata of the closed row groups for a file in which they begin at `start`.
    pub(super) fn closed_at(&self, start: u64) -> impl Iterator<Item = io::Result<RowGroupMetaData>> {
        self.closed.iter().map(move |group| live_row_groups::shifted(group, start as i64))
    }
}
