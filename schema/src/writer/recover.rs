//! Recovery: continues a trace whose recorder was killed, from its file and its journal.
//!
//! ```text
//! settled │ closed … │ open │ footer        the file
//!                      open │ page │ page   its journal, which begins with the open row group
//! ```

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint_layout::{CheckpointPlacement, GrowingFile};
use super::journal::{self, JournalContents, JournalEntry, ProviderPositions};
use super::{TraceWriter, WriterOptions};
use crate::error::{Error, Result};
use crate::file::footer;
use crate::file::live_row_groups::{self, RowGroupSplit};
use crate::file::trace_file::TraceFile;
use crate::format::FOOTER_TAIL_BYTES;
use crate::model::Names;

/// A trace of a killed recorder, ready to be continued.
#[derive(Debug)]
pub struct RecoveredTrace {
    /// The writer, with the rows of the file and the journal.
    pub writer: TraceWriter,
    /// The positions of the provider at the journal's last commit. `None` if there is no journal.
    pub positions: Option<ProviderPositions>,
    /// The number of rows that only the journal had.
    pub rows: u64,
    /// The number of bytes of an incomplete checkpoint that were removed from the end of the file.
    pub torn_bytes: u64,
}

impl TraceWriter {
    /// Opens the trace of a killed recorder, truncates it after its last complete checkpoint, and
    /// restores the rows of its journal. The file contains these rows after the next checkpoint or
    /// [`TraceWriter::finish`].
    ///
    /// # Errors
    ///
    /// Fails if the file or its journal cannot be read, or the journal does not match the file.
    pub fn recover(path: &Path, names: Arc<Names>) -> Result<RecoveredTrace> {
        let (mut writer, torn_bytes) = TraceWriter::open(path, names)?;
        let session = writer.manifest.session.clone();
        let io = |source| Error::Io { path: path.into(), source };
        let before = writer.rows;
        let journal = session.map(|session| journal::read(&session.directory, session.checkpoint));
        let journal = journal.transpose().map_err(io)?.flatten();
        let replay = |journal: JournalContents| {
            writer.replay(journal.entries)?;
            Ok(journal.positions)
        };
        let positions = journal.map(replay).transpose()?;
        writer.positions = positions.clone().unwrap_or_default();
        Ok(RecoveredTrace { positions, rows: writer.rows - before, torn_bytes, writer })
    }

    /// Opens a file to continue it. Returns the writer and the number of bytes that were removed
    /// from the end.
    fn open(path: &Path, names: Arc<Names>) -> Result<(TraceWriter, u64)> {
        let io = |source| Error::Io { path: path.into(), source };
        let reader = TraceFile::open(path).map_err(io)?;
        let found = footer::find_last(&reader, path)?;
        let file = File::options().write(true).open(path).map_err(io)?;
        file.set_len(found.end).map_err(io)?;
        let RowGroupSplit { settled, settled_end, live, live_range } = found.row_groups();
        // A footer that directly follows the settled row groups is itself settled.
        let is_apart = !live.is_empty() || found.start >= settled_end + FOOTER_TAIL_BYTES;
        let settled_end = if is_apart { settled_end } else { found.end };
        let (footer, end) = (found.start, found.end);
        let checkpoint =
            CheckpointPlacement { start: live_range.start, footer, end, file_len: end, region_start: 0 };
        let closed = live.iter().map(|group| live_row_groups::shifted(group, -(live_range.start as i64)));
        let closed = closed.collect::<io::Result<_>>().map_err(io)?;
        let pending =
            reader.read(live_range.start, (live_range.end - live_range.start) as usize).map_err(io)?;
        let file = GrowingFile::new(file, settled_end, checkpoint);
        let mut writer =
            TraceWriter::new(path, file, names, found.manifest.clone(), WriterOptions::default())?;
        writer.settled.push(settled.to_vec()).map_err(io)?;
        (writer.closed, writer.pending) = (closed, pending);
        writer.retention.add(found.end - found.start, false);
        writer.rows = found.metadata.file_metadata().num_rows() as u64;
        writer.checkpointed_rows = writer.rows;
        Ok((writer, reader.len() - found.end))
    }

    /// Applies the entries of the journal.
    fn replay(&mut self, entries: Vec<JournalEntry>) -> Result<()> {
        for entry in entries {
            match entry {
                JournalEntry::Open(pages) => {
                    let Some(group) = self.closed.pop() else { return Err(self.journal_mismatch()) };
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
        self.open.restore(pages, &self.names).ok_or_else(|| self.journal_mismatch())?;
        self.rows += (self.open.rows() - before) as u64;
        Ok(())
    }

    fn journal_mismatch(&self) -> Error {
        Error::Damaged { path: self.path.clone(), reason: "its journal does not match it".to_owned() }
    }
}
