//! Rows into a file that is whole at every checkpoint.
//!
//! ```text
//! PAR1 │ footer │ row group │ footer │ row group │ row group │ ···· │ row group │ footer
//!      └ create ┘ settled ──┴ stays ─┘ ─────── settled ──────┘        open      └ written anew with the next checkpoint
//! ```
//!
//! The open row group is in the file from its first checkpoint on, and is written once more with each until it is done.
//! Only who reads a file while it grows sees it move: `file` shows how.

mod checkpoint;
mod checkpoint_layout;
mod footer_cache;
mod footer_retention;
pub(crate) mod journal;
mod recover;

pub use self::recover::RecoveredTrace;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::RowGroupMetaData;

use self::checkpoint_layout::{CheckpointPlacement, GrowingFile};
use self::footer_cache::FooterCache;
use self::footer_retention::FooterRetention;
use self::journal::{Journal, JournalEntry, ProviderPositions};
use crate::encode::page::PageEncoder;
use crate::encode::row_group::RowGroupBuilder;
use crate::error::{Error, Result};
use crate::file::live_row_groups;
use crate::file::trace_file::private_file;
use crate::format::{MAGIC, footer_tail};
use crate::model::{Batch, Manifest, Names, RecordingEnd, RotationPart};

/// Row groups that are done and wait for a checkpoint get one when they take this much.
const MAX_PENDING_BYTES: usize = 16 << 20;

/// At a checkpoint the open row group is done if it takes this much, or this part of the file: so that what is written again
/// stays short, and so do footers.
const DONE_BYTES: u64 = 256 << 10;
const DONE_SHARE: u64 = 256;

/// After this many row groups they hold twice the rows, so that long files have short footers …
const GROUPS_PER_DOUBLING: usize = 64;

/// … but at most 2^3 times as many as the first one.
const DOUBLINGS: usize = 3;

/// How a [`TraceWriter`] cuts the stream.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Rows per row group, to begin with.
    pub row_group_rows: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions { row_group_rows: 1 << 20 }
    }
}

/// Writes one trace file.
#[derive(Debug)]
pub struct TraceWriter {
    path: PathBuf,
    file: GrowingFile,
    names: Arc<Names>,
    manifest: Manifest,
    options: WriterOptions,
    encoder: PageEncoder,
    rows: u64,
    /// How many of them are in the file.
    checkpointed_rows: u64,
    /// Row groups that stay where they are in the file.
    settled: FooterCache,
    /// Row groups that are done and not settled yet, with their places in `pending`.
    closed: Vec<RowGroupMetaData>,
    pending: Vec<u8>,
    open: RowGroupBuilder,
    /// What footers take of the file.
    retention: FooterRetention,
    /// Where the rows that are in no footer yet are kept meanwhile, if that was asked for.
    journal: Option<Journal>,
    /// Whether there was none for a while, though it was asked for.
    lacked_journal: bool,
    /// Where the provider was at the end of the last batch.
    positions: ProviderPositions,
}

/// What makes a whole file of one that is being written.
#[derive(Debug)]
pub struct SnapshotParts {
    /// Where that is.
    pub path: PathBuf,
    /// How many of its bytes to take. Nobody writes them again.
    pub prefix_len: u64,
    /// What follows them.
    pub suffix: Vec<u8>,
}

impl TraceWriter {
    /// Creates the file, which must not exist yet, as a whole trace without rows. `manifest.ended` is written as
    /// [`crate::RecordingEnd::Recording`] until [`TraceWriter::finish`]. Where the manifest names a session, a journal is kept
    /// there. Leaves no file behind if it fails.
    pub fn create(
        path: &Path,
        names: Arc<Names>,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private_file().create_new(true).open(path).map_err(io)?;
        let file = GrowingFile::of(file, 0, CheckpointPlacement::default());
        let mut writer = TraceWriter::of(path, file, names, manifest, options)?;
        writer.pending.extend_from_slice(MAGIC);
        if let Err(err) = writer.write_checkpoint(RecordingEnd::Recording) {
            // A file without a footer is of no use, and would be in the way of the next try.
            let _ = std::fs::remove_file(path);
            return Err(err);
        }
        Ok(writer)
    }

    fn of(
        path: &Path,
        file: GrowingFile,
        names: Arc<Names>,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<TraceWriter> {
        Ok(TraceWriter {
            path: path.into(),
            file,
            names,
            manifest,
            options,
            encoder: PageEncoder::new().map_err(|source| Error::Io { path: path.into(), source })?,
            rows: 0,
            checkpointed_rows: 0,
            settled: FooterCache::default(),
            closed: Vec::new(),
            pending: Vec::new(),
            open: RowGroupBuilder::default(),
            retention: FooterRetention::default(),
            journal: None,
            lacked_journal: false,
            positions: ProviderPositions::new(),
        })
    }

    /// Says where the provider will be at the end of the next batch, or that a record of it is gone.
    pub fn set_positions(&mut self, positions: impl IntoIterator<Item = (Arc<str>, Option<u64>)>) {
        for (name, position) in positions {
            match position {
                Some(position) => drop(self.positions.insert(name, position)),
                None => drop(self.positions.remove(&name)),
            }
        }
    }

    /// Keeps everything up to the end of the last batch in the journal. The provider may forget it then. Where there is
    /// no journal (any more) nothing is kept before the next checkpoint.
    pub fn commit(&mut self) -> Result<()> {
        if self.journal.is_some() {
            self.save(JournalEntry::Page)?;
            self.append_to_journal(JournalEntry::Commit(self.positions.clone()));
        }
        Ok(())
    }

    /// Ends the open page, and keeps what came since the last time.
    fn save(&mut self, entry: impl FnOnce(Vec<u8>) -> JournalEntry) -> Result<()> {
        let ended = self.open.end_open_page(&mut self.encoder);
        ended.map_err(|source| self.io(source))?;
        let mut pages = Vec::new();
        self.open.save(&self.names, &mut pages);
        self.append_to_journal(entry(pages));
        Ok(())
    }

    /// Appends to the journal. One that cannot grow is of no use; the next checkpoint tries another one.
    fn append_to_journal(&mut self, entry: JournalEntry) {
        if let Some(journal) = &mut self.journal
            && journal.append(&entry).is_err()
        {
            journal.remove();
            self.journal = None;
            self.lacked_journal = true;
        }
    }

    /// Whether there was no journal for a while, though it was asked for: no room, most likely.
    pub fn lacked_journal(&self) -> bool {
        self.lacked_journal
    }

    /// Begins the journal of the next checkpoint, with the row group that will be open then: what comes after it goes into
    /// the same one.
    fn next_journal(&mut self) -> Result<Option<Journal>> {
        let Some(session) = self.manifest.session.clone() else { return Ok(None) };
        let Ok(journal) = Journal::begin(&session.directory, session.checkpoint + 1, &self.positions) else {
            self.lacked_journal = true;
            return Ok(None);
        };
        let old = self.journal.replace(journal);
        if self.open.rows() > 0 {
            self.open.mark_unsaved();
            self.save(JournalEntry::Open)?;
            self.append_to_journal(JournalEntry::Commit(self.positions.clone()));
        }
        Ok(std::mem::replace(&mut self.journal, old))
    }

    /// The facts that the next footer will hold.
    pub fn manifest_mut(&mut self) -> &mut Manifest {
        &mut self.manifest
    }

    /// Replaces them, but for what only the writer knows: where its journal is, and which file of a recording this is.
    pub fn replace_manifest(&mut self, manifest: Manifest) {
        let (session, part) = (self.manifest.session.take(), self.manifest.part.take());
        self.manifest = Manifest { session, part, ..manifest };
    }

    /// Appends rows. Reaches the disk with the row group that they fill, or at the next checkpoint.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let doublings = (self.settled.count() + self.closed.len()) / GROUPS_PER_DOUBLING;
        let full_rows = self.options.row_group_rows << doublings.min(DOUBLINGS);
        let mut from = 0;
        while from < batch.len() {
            let room = full_rows.saturating_sub(self.open.rows()).max(1);
            let taken = self.open.add(batch, from, room, &self.names, &mut self.encoder);
            let taken = taken.map_err(|source| self.io(source))?;
            from += taken;
            self.rows += taken as u64;
            if self.open.is_full(full_rows) {
                self.close_row_group()?;
            }
        }
        // Only between two batches it is known where the provider is.
        if self.pending.len() < MAX_PENDING_BYTES {
            Ok(())
        } else {
            self.write_checkpoint(RecordingEnd::Recording).map(drop)
        }
    }

    /// Makes everything written so far part of a whole file.
    pub fn checkpoint(&mut self) -> Result<()> {
        let done_len = DONE_BYTES.max(self.file.settled_end() / DONE_SHARE);
        if self.footer_fits() || self.open.bytes() as u64 >= done_len {
            self.close_row_group()?;
        }
        if self.rows > self.checkpointed_rows {
            self.write_checkpoint(RecordingEnd::Recording).map(drop)
        } else {
            Ok(())
        }
    }

    /// The same, and the next rows will be in another row group.
    pub fn checkpoint_and_close_row_group(&mut self) -> Result<()> {
        self.close_row_group()?;
        self.checkpoint()
    }

    /// Creates the file that goes on where this one ends, with this one's facts and journal.
    pub fn successor(&self, path: &Path, part: RotationPart) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private_file().create_new(true).open(path).map_err(io)?;
        let manifest = Manifest { part: Some(part), ..self.manifest.clone() };
        let file = GrowingFile::of(file, 0, CheckpointPlacement::default());
        let mut next = TraceWriter::of(path, file, self.names.clone(), manifest, self.options)?;
        next.pending.extend_from_slice(MAGIC);
        next.positions = self.positions.clone();
        next.lacked_journal = self.lacked_journal;
        next.write_checkpoint(RecordingEnd::Recording).inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok(next)
    }

    /// Gives the file another name.
    pub fn rename(&mut self, path: &Path) -> Result<()> {
        std::fs::rename(&self.path, path).map_err(|source| self.io(source))?;
        self.path = path.into();
        Ok(())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What makes a whole file of everything up to now, which ends like that.
    pub fn snapshot(&mut self, ended: RecordingEnd) -> Result<SnapshotParts> {
        let len = self.file.settled_end();
        let done_len = self.pending.len();
        let made = self.append_open().and_then(|open| {
            let open = open.iter().map(|group| live_row_groups::shifted(group, len as i64));
            let manifest = Manifest { ended, session: None, live_row_groups: 0, ..self.manifest.clone() };
            self.settled.footer(&manifest, self.closed_at(len).chain(open).collect::<io::Result<_>>()?)
        });
        let mut rest = self.pending.clone();
        self.pending.truncate(done_len);
        let footer = made.map_err(|source| self.io(source))?;
        let place = self.file.place_closed_up(rest.len(), footer.len());
        rest.resize((place.footer - len) as usize, 0);
        rest.extend_from_slice(&footer);
        rest.extend_from_slice(&footer_tail(footer.len() as u64));
        Ok(SnapshotParts { path: self.path.clone(), prefix_len: len, suffix: rest })
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Length of the file so far, in bytes, if it ended here: but for its footer.
    pub fn bytes(&self) -> u64 {
        self.file.settled_end() + (self.pending.len() + self.open.bytes()) as u64
    }

    /// Length of the file that is there, in bytes: between two checkpoints it may be longer than it will be.
    pub fn bytes_on_disk(&self) -> u64 {
        self.file.len().max(self.bytes())
    }

    /// Writes what is left and the last footer. Returns the length of the file in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.close_row_group()?;
        let ended = self.manifest.ended.clone();
        // Where the last checkpoint is in the way, this makes room, and the second time there is.
        if !self.write_checkpoint(ended.clone())? {
            self.write_checkpoint(ended)?;
        }
        if self.has_its_name() { Ok(self.file.len()) } else { Err(Error::Vanished { path: self.path }) }
    }

    /// Whether the file still has its name: somebody may have removed it, or its directory.
    #[cfg(unix)]
    fn has_its_name(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let same = |named: std::fs::Metadata, ours: std::fs::Metadata| {
            (named.dev(), named.ino()) == (ours.dev(), ours.ino())
        };
        let both =
            std::fs::metadata(&self.path).and_then(|named| Ok((named, self.file.as_file().metadata()?)));
        both.is_ok_and(|(named, ours)| same(named, ours))
    }

    #[cfg(not(unix))]
    fn has_its_name(&self) -> bool {
        self.path.exists()
    }

    /// Whether one more footer, with the open row group in it, may stay.
    fn footer_fits(&self) -> bool {
        self.retention.fits(self.closed.len() + 1, self.bytes())
    }

    /// Moves the open row group, if it has rows, to those that wait.
    fn close_row_group(&mut self) -> Result<()> {
        if self.open.rows() > 0 {
            if self.journal.is_some() {
                self.save(JournalEntry::Page)?;
                self.append_to_journal(JournalEntry::Close);
            }
            let group = self.append_open().map_err(|source| self.io(source))?;
            self.closed.extend(group);
            self.open.clear();
        }
        Ok(())
    }

    /// Puts the open row group behind those that wait, if it has rows.
    fn append_open(&mut self) -> io::Result<Option<RowGroupMetaData>> {
        let has_rows = self.open.rows() > 0;
        has_rows.then(|| self.open.append(&self.names, &mut self.encoder, &mut self.pending)).transpose()
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}
