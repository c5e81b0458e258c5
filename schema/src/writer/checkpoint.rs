//! What makes a file whole: what is done comes to stay, and after it what is not, and a footer.
//!
//! ```text
//! settled │ footer │ done │ footer               closed up: while footers may stay, and at the end
//! settled │ done ──▶ ···· │ open │ footer │ ··   apart: the open row group is written once more with the next checkpoint
//! ```

use std::io;

use parquet::file::metadata::RowGroupMetaData;

use super::TraceWriter;
use crate::error::{Error, Result};
use crate::file::live_row_groups;
use crate::format::footer_tail;
use crate::model::{JournalLocation, Manifest, RecordingEnd};

/// No offset in a file takes more bytes in a footer than this one.
const FAR: u64 = 1 << 60;

impl TraceWriter {
    /// Makes everything so far part of a whole file, which says so of its end. Says whether it ends with that.
    pub(super) fn write_checkpoint(&mut self, ended: RecordingEnd) -> Result<bool> {
        let journal = if ended == RecordingEnd::Recording { self.next_journal()? } else { None };
        let session = self.manifest.session.take().filter(|_| ended == RecordingEnd::Recording);
        self.manifest.session =
            session.map(|session| JournalLocation { checkpoint: session.checkpoint + 1, ..session });
        let done_len = self.pending.len();
        let written = self.write_closed_up_or_apart(&ended);
        if written.is_err() {
            self.pending.truncate(done_len);
        }
        let is_closed = written.map_err(|source| {
            let (path, rows) = (self.path.clone(), self.checkpointed_rows);
            Error::Write { path, rows, source }
        })?;
        if let Some(old) = std::mem::replace(&mut self.journal, journal) {
            old.remove();
        }
        self.checkpointed_rows = self.rows;
        Ok(is_closed)
    }

    /// The file ends with what it holds where that was so before and the footer may stay, or where it is the last one;
    /// unless the checkpoint before is in the way.
    fn write_closed_up_or_apart(&mut self, ended: &RecordingEnd) -> io::Result<bool> {
        let closes = *ended != RecordingEnd::Recording || self.file.is_closed_up() && self.footer_fits();
        if closes && self.open.rows() == 0 && self.close_up(ended)? {
            return Ok(true);
        }
        self.write_apart(ended)?;
        Ok(false)
    }

    /// Writes what waits and a footer right behind what is settled, where there is room for them.
    fn close_up(&mut self, ended: &RecordingEnd) -> io::Result<bool> {
        let start = self.file.settled_end();
        let footer = self.footer(self.closed_at(start), ended, 0)?;
        let place = self.file.place_closed_up(self.pending.len(), footer.len());
        if !self.file.can_close(place) {
            return Ok(false);
        }
        self.file.write(place, &self.pending, &[], &footer)?;
        self.retention.add(footer.len() as u64, true);
        self.settle(place.end)?;
        Ok(true)
    }

    /// Writes the open row group and a footer where the next ones will not be, and what waits right behind what is settled:
    /// where that has no room, there, too.
    fn write_apart(&mut self, ended: &RecordingEnd) -> io::Result<()> {
        let start = self.file.settled_end();
        let stays = *ended == RecordingEnd::Recording && self.open.rows() == 0 && self.footer_fits();
        if stays {
            self.leave_footer(ended)?;
        }
        let done_len = self.pending.len();
        let settles = self.file.has_room(done_len as u64);
        let stay_len = if settles { done_len } else { 0 };
        let open = self.append_open()?;
        let unsettled = usize::from(open.is_some()) + if settles { 0 } else { self.closed.len() };
        let footer_at = |at: u64| {
            let closed = self.closed_at(if settles { start } else { at });
            let by = at as i64 - stay_len as i64;
            self.footer(
                closed.chain(open.iter().map(|group| live_row_groups::shifted(group, by))),
                ended,
                unsettled,
            )
        };
        let most_len = footer_at(FAR)?.len();
        let (settled_end, step) = (start + done_len as u64, (self.pending.len() + most_len) as u64);
        let place = self.file.place_apart(settled_end, step, self.pending.len() - stay_len, most_len);
        let footer = footer_at(place.start)?;
        let (stay, move_on) = self.pending.split_at(stay_len);
        self.file.write(place, stay, move_on, &footer)?;
        self.retention.add(footer.len() as u64, stays);
        self.pending.truncate(done_len);
        if settles { self.settle(settled_end) } else { Ok(()) }
    }

    /// Puts a footer behind what waits, for whoever gets a part of the file.
    fn leave_footer(&mut self, ended: &RecordingEnd) -> io::Result<()> {
        let footer = self.footer(self.closed_at(self.file.settled_end()), ended, 0)?;
        self.pending.extend_from_slice(&footer);
        self.pending.extend_from_slice(&footer_tail(footer.len() as u64));
        Ok(())
    }

    /// Leaves what waited where it was written.
    fn settle(&mut self, end: u64) -> io::Result<()> {
        let start = self.file.settled_end() as i64;
        let groups = self.closed.drain(..).map(|group| live_row_groups::shifted(&group, start));
        self.settled.push(groups.collect::<io::Result<_>>()?)?;
        self.file.settle(end);
        self.pending.clear();
        Ok(())
    }

    /// A footer with these row groups after the settled ones.
    fn footer(
        &self,
        groups: impl Iterator<Item = io::Result<RowGroupMetaData>>,
        ended: &RecordingEnd,
        live_row_groups: usize,
    ) -> io::Result<Vec<u8>> {
        let manifest = Manifest { ended: ended.clone(), live_row_groups, ..self.manifest.clone() };
        self.settled.footer(&manifest, groups.collect::<io::Result<_>>()?)
    }

    /// Those that are done, in a file where they begin at `start`.
    pub(super) fn closed_at(&self, start: u64) -> impl Iterator<Item = io::Result<RowGroupMetaData>> {
        self.closed.iter().map(move |group| live_row_groups::shifted(group, start as i64))
    }
}
