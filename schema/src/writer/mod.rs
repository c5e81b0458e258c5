//! Writes batches into a file that is a complete trace at every checkpoint.
//!
//! ```text
//! PAR1 │ footer │ row group │ footer │ row group │ row group │ ···· │ row group │ footer
//!      └ kept ──┘           └ kept ──┘                              └ live ─────────────┘
//!      └───────────────────────── settled ───────────────────┘      written again each time
//! ```
//!
//! | module | responsibility |
//! |---|---|
//! | `checkpoint` | what a checkpoint consists of |
//! | `checkpoint_layout` | where it lies, and in which order it is written |
//! | `footer_cache` | encodes footers without encoding all row groups again |
//! | `footer_retention` | which footers stay in the file |
//! | `journal` | keeps rows that are not in the file yet |
//! | `recover` | continues a trace whose recorder was killed |

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

/// When closed row groups of this length are pending, a checkpoint settles them.
const MAX_PENDING_BYTES: usize = 16 << 20;

/// A checkpoint closes the open row group if it has this length, or in a longer file the settled
/// bytes divided by [`CLOSE_DIVISOR`]. A short row group is written again by each checkpoint. Row
/// groups get longer with the file, so that footers stay short.
const CLOSE_BYTES: u64 = 256 << 10;

/// See [`CLOSE_BYTES`].
const CLOSE_DIVISOR: u64 = 256;

/// After this many row groups the maximum number of rows in a row group doubles.
const GROUPS_PER_DOUBLING: usize = 64;

/// How often the maximum doubles.
const MAX_DOUBLINGS: usize = 3;

/// Options of a [`TraceWriter`].
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// The initial maximum number of rows in a row group. It doubles after 64, 128 and 192 row
    /// groups.
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
    /// The number of rows in the last checkpoint.
    checkpointed_rows: u64,
    /// Row groups with their final place in the file.
    settled: FooterCache,
    /// Complete row groups that are not settled, with offsets into `pending`.
    closed: Vec<RowGroupMetaData>,
    /// The bytes of the closed row groups.
    pending: Vec<u8>,
    open: RowGroupBuilder,
    retention: FooterRetention,
    /// The journal of the last checkpoint, if the manifest has a session directory.
    journal: Option<Journal>,
    /// Whether a journal could not be written at some time.
    lacked_journal: bool,
    /// The positions of the provider at the end of the last batch.
    positions: ProviderPositions,
}

/// A snapshot of a trace that is being written: a prefix of its file, and the bytes that follow.
#[derive(Debug)]
pub struct SnapshotParts {
    /// The path of the file.
    pub path: PathBuf,
    /// The length of the prefix, which consists of settled bytes.
    pub prefix_len: u64,
    /// The bytes after the prefix.
    pub suffix: Vec<u8>,
}

impl TraceWriter {
    /// Creates a file with a trace without rows. `manifest.ended` takes effect with
    /// [`TraceWriter::finish`]; until then footers have [`RecordingEnd::Recording`]. If
    /// `manifest.session` is set, a journal is kept in its directory.
    ///
    /// # Errors
    ///
    /// Fails if the file exists or cannot be written. Then it leaves no new file behind.
    pub fn create(
        path: &Path,
        names: Arc<Names>,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private_file().create_new(true).open(path).map_err(io)?;
        let file = GrowingFile::new(file, 0, CheckpointPlacement::default());
        let mut writer = TraceWriter::new(path, file, names, manifest, options)?;
        writer.pending.extend_from_slice(MAGIC);
        if let Err(err) = writer.write_checkpoint(RecordingEnd::Recording) {
            let _ = std::fs::remove_file(path);
            return Err(err);
        }
        Ok(writer)
    }

    fn new(
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

    /// Updates the positions of the provider that hold at the end of the next batch. `None` removes
    /// a source.
    pub fn set_positions(&mut self, positions: impl IntoIterator<Item = (Arc<str>, Option<u64>)>) {
        for (name, position) in positions {
            match position {
                Some(position) => drop(self.positions.insert(name, position)),
                None => drop(self.positions.remove(&name)),
            }
        }
    }

    /// Writes the rows and positions up to the end of the last batch to the journal. Then they
    /// survive the recorder, and the provider may discard its records. Does nothing if there is no
    /// journal.
    pub fn commit(&mut self) -> Result<()> {
        if self.journal.is_some() {
            self.save(JournalEntry::Page)?;
            self.append_to_journal(JournalEntry::Commit(self.positions.clone()));
        }
        Ok(())
    }

    /// Ends the current page, and appends what was added to the open row group to the journal.
    fn save(&mut self, entry: impl FnOnce(Vec<u8>) -> JournalEntry) -> Result<()> {
        let ended = self.open.end_open_page(&mut self.encoder);
        ended.map_err(|source| self.io(source))?;
        let mut pages = Vec::new();
        self.open.save(&self.names, &mut pages);
        self.append_to_journal(entry(pages));
        Ok(())
    }

    /// Appends an entry to the journal. If that fails the journal is removed. The next checkpoint
    /// begins another one.
    fn append_to_journal(&mut self, entry: JournalEntry) {
        if let Some(journal) = &mut self.journal
            && journal.append(&entry).is_err()
        {
            journal.remove();
            self.journal = None;
            self.lacked_journal = true;
        }
    }

    /// Whether a journal could not be written at some time, most likely because memory for it ran
    /// out.
    pub fn lacked_journal(&self) -> bool {
        self.lacked_journal
    }

    /// Begins the journal of the next checkpoint. It begins with the open row group, to which the
    /// following entries add.
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

    /// The manifest of the next footer.
    pub fn manifest_mut(&mut self) -> &mut Manifest {
        &mut self.manifest
    }

    /// Replaces the manifest, except for the writer's own entries `session` and `part`.
    pub fn replace_manifest(&mut self, manifest: Manifest) {
        let (session, part) = (self.manifest.session.take(), self.manifest.part.take());
        self.manifest = Manifest { session, part, ..manifest };
    }

    /// Appends rows. They are written to the file when enough row groups are pending, or at the
    /// next checkpoint.
    ///
    /// # Errors
    ///
    /// Fails if a checkpoint cannot be written.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let doublings = (self.settled.count() + self.closed.len()) / GROUPS_PER_DOUBLING;
        let full_rows = self.options.row_group_rows << doublings.min(MAX_DOUBLINGS);
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
        // A checkpoint includes the positions of the provider, which are those at the end of a
        // batch.
        if self.pending.len() < MAX_PENDING_BYTES {
            Ok(())
        } else {
            self.write_checkpoint(RecordingEnd::Recording).map(drop)
        }
    }

    /// Writes a checkpoint, unless there are no new rows.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written. The file then still ends with the previous checkpoint.
    pub fn checkpoint(&mut self) -> Result<()> {
        let close_len = CLOSE_BYTES.max(self.file.settled_end() / CLOSE_DIVISOR);
        if self.footer_fits() || self.open.bytes() as u64 >= close_len {
            self.close_row_group()?;
        }
        if self.rows > self.checkpointed_rows {
            self.write_checkpoint(RecordingEnd::Recording).map(drop)
        } else {
            Ok(())
        }
    }

    /// Writes a checkpoint, and begins a new row group for the next rows.
    pub fn checkpoint_and_close_row_group(&mut self) -> Result<()> {
        self.close_row_group()?;
        self.checkpoint()
    }

    /// Creates the next file of a rotated recording, with the manifest and the journal directory of
    /// this one.
    pub fn successor(&self, path: &Path, part: RotationPart) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private_file().create_new(true).open(path).map_err(io)?;
        let manifest = Manifest { part: Some(part), ..self.manifest.clone() };
        let file = GrowingFile::new(file, 0, CheckpointPlacement::default());
        let mut next = TraceWriter::new(path, file, self.names.clone(), manifest, self.options)?;
        next.pending.extend_from_slice(MAGIC);
        next.positions = self.positions.clone();
        next.lacked_journal = self.lacked_journal;
        next.write_checkpoint(RecordingEnd::Recording).inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok(next)
    }

    /// Renames the file.
    pub fn rename(&mut self, path: &Path) -> Result<()> {
        std::fs::rename(&self.path, path).map_err(|source| self.io(source))?;
        self.path = path.into();
        Ok(())
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a snapshot: a complete trace of all rows so far, whose manifest has `ended`. The
    /// file itself does not change.
    pub fn snapshot(&mut self, ended: RecordingEnd) -> Result<SnapshotParts> {
        let prefix_len = self.file.settled_end();
        let closed_len = self.pending.len();
        let footer = self.append_open().and_then(|open| {
            let open = open.iter().map(|group| live_row_groups::shifted(group, prefix_len as i64));
            let manifest = Manifest { ended, session: None, live_row_groups: 0, ..self.manifest.clone() };
            self.settled.footer(&manifest, self.closed_at(prefix_len).chain(open).collect::<io::Result<_>>()?)
        });
        let mut suffix = self.pending.clone();
        self.pending.truncate(closed_len);
        let footer = footer.map_err(|source| self.io(source))?;
        let placement = self.file.place_closed_up(suffix.len(), footer.len());
        suffix.resize((placement.footer - prefix_len) as usize, 0);
        suffix.extend_from_slice(&footer);
        suffix.extend_from_slice(&footer_tail(footer.len() as u64));
        Ok(SnapshotParts { path: self.path.clone(), prefix_len, suffix })
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The length that the file would have if it ended now, without the last footer.
    pub fn bytes(&self) -> u64 {
        self.file.settled_end() + (self.pending.len() + self.open.bytes()) as u64
    }

    /// The current length of the file, which may exceed its final length while it grows.
    pub fn bytes_on_disk(&self) -> u64 {
        self.file.len().max(self.bytes())
    }

    /// Writes the last checkpoint, with the manifest's `ended`. Returns the length of the file in
    /// bytes.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written, or if the file was removed or replaced.
    pub fn finish(mut self) -> Result<u64> {
        self.close_row_group()?;
        let ended = self.manifest.ended.clone();
        // If the live checkpoint is in the way, the first attempt writes one elsewhere, and the
        // second closes up.
        if !self.write_checkpoint(ended.clone())? {
            self.write_checkpoint(ended)?;
        }
        if self.has_its_name() { Ok(self.file.len()) } else { Err(Error::Vanished { path: self.path }) }
    }

    /// Whether the path still refers to the file that is being written.
    #[cfg(unix)]
    fn has_its_name(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let is_same = |named: std::fs::Metadata, open: std::fs::Metadata| {
            (named.dev(), named.ino()) == (open.dev(), open.ino())
        };
        let both =
            std::fs::metadata(&self.path).and_then(|named| Ok((named, self.file.as_file().metadata()?)));
        both.is_ok_and(|(named, open)| is_same(named, open))
    }

    #[cfg(not(unix))]
    fn has_its_name(&self) -> bool {
        self.path.exists()
    }

    /// Whether one more footer, including the open row group, fits into the budget of kept
    /// footers.
    fn footer_fits(&self) -> bool {
        self.retention.fits(self.closed.len() + 1, self.bytes())
    }

    /// Closes the open row group, if it has rows.
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

    /// Appends the bytes of the open row group to the pending bytes, if it has rows. Returns its
    /// metadata.
    fn append_open(&mut self) -> io::Result<Option<RowGroupMetaData>> {
        let has_rows = self.open.rows() > 0;
        has_rows.then(|| self.open.append(&self.names, &mut self.encoder, &mut self.pending)).transpose()
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}
