//! A file that a killed recorder left is written on.
//!
//! ```text
//! settled │ closed … │ open │ footer      the file
//!                      open │ page │ page  its journal, which has the open row group once more
//! ```

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint_layout::{CheckpointPlacement, GrowingFile};
use super::journal::{self, JournalEntry, ProviderPositions};
use super::{TraceWriter, WriterOptions};
use crate::error::{Error, Result};
use crate::file::footer;
use crate::file::live_row_groups::{self, RowGroupSplit};
use crate::file::trace_file::TraceFile;
use crate::format::FOOTER_TAIL_BYTES;
use crate::model::Names;

/// A trace that a killed recorder left, ready to be written on.
#[derive(Debug)]
pub struct RecoveredTrace {
    /// The trace, with everything in it that its journal had.
    pub writer: TraceWriter,
    /// Where the provider was then; none where no journal says it.
    pub positions: Option<ProviderPositions>,
    /// Rows that the journal had.
    pub rows: u64,
    /// Bytes of a half-written row group that were cut off.
    pub torn_bytes: u64,
}

impl TraceWriter {
    /// Opens a file that a killed recorder left, cuts off what it had half written, and puts back what its journal has.
    /// Nothing of that is in the file before [`TraceWriter::finish`].
    pub fn recover(path: &Path, names: Arc<Names>) -> Result<RecoveredTrace> {
        let (mut writer, torn_bytes) = TraceWriter::open(path, names)?;
        let session = writer.manifest.session.clone();
        let io = |source| Error::Io { path: path.into(), source };
        let before = writer.rows;
        let left = session.map(|session| journal::read(&session.directory, session.checkpoint));
        let left = left.transpose().map_err(io)?.flatten();
        let positions =
            left.map(|left| writer.put_back(left.entries).map(|()| left.positions)).transpose()?;
        writer.positions = positions.clone().unwrap_or_default();
        Ok(RecoveredTrace { positions, rows: writer.rows - before, torn_bytes, writer })
    }

    /// Opens a file to write on. Gives how many bytes after the last footer were cut off.
    fn open(path: &Path, names: Arc<Names>) -> Result<(TraceWriter, u64)> {
        let io = |source| Error::Io { path: path.into(), source };
        let read = TraceFile::open(path).map_err(io)?;
        let found = footer::find_last(&read, path)?;
        let file = File::options().write(true).open(path).map_err(io)?;
        file.set_len(found.end).map_err(io)?;
        let RowGroupSplit { settled, settled_end, live, live_range } = found.row_groups();
        // A footer that stands right behind what is settled stays.
        let is_apart = !live.is_empty() || found.start >= settled_end + FOOTER_TAIL_BYTES;
        let settled_end = if is_apart { settled_end } else { found.end };
        let (footer, end) = (found.start, found.end);
        let checkpoint =
            CheckpointPlacement { start: live_range.start, footer, end, file_len: end, round: 0 };
        let moved = live.iter().map(|group| live_row_groups::shifted(group, -(live_range.start as i64)));
        let closed = moved.collect::<io::Result<_>>().map_err(io)?;
        let pending =
            read.read(live_range.start, (live_range.end - live_range.start) as usize).map_err(io)?;
        let file = GrowingFile::of(file, settled_end, checkpoint);
        let mut writer =
            TraceWriter::of(path, file, names, found.manifest.clone(), WriterOptions::default())?;
        writer.settled.push(settled.to_vec()).map_err(io)?;
        (writer.closed, writer.pending) = (closed, pending);
        writer.retention.add(found.end - found.start, false);
        writer.rows = found.metadata.file_metadata().num_rows() as u64;
        writer.checkpointed_rows = writer.rows;
        Ok((writer, read.len() - found.end))
    }

    fn put_back(&mut self, entries: Vec<JournalEntry>) -> Result<()> {
        for entry in entries {
            match entry {
                JournalEntry::Open(pages) => {
                    let Some(group) = self.closed.pop() else { return Err(self.without_pages()) };
                    self.pending.truncate(live_row_groups::range(&group).start as usize);
                    self.rows -= group.num_rows() as u64;
                    self.restore(&pages)?;
                }
                JournalEntry::Page(page) => self.restore(&page)?,
                JournalEntry::Close => self.close_row_group()?,
                JournalEntry::Commit(_) => {}
            }
        }
        Ok(())
    }

    fn restore(&mut self, pages: &[u8]) -> Result<()> {
        let before = self.open.rows();
        self.open.restore(pages, &self.names).ok_or_else(|| self.without_pages())?;
        self.rows += (self.open.rows() - before) as u64;
        Ok(())
    }

    fn without_pages(&self) -> Error {
        Error::Damaged { path: self.path.clone(), reason: "its journal holds no pages of it".to_owned() }
    }
}
