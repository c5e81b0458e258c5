//! Rows into a file that is whole at every checkpoint.
//!
//! ```text
//! PAR1 │ footer │ row group │ footer │ row group │ row group │ ···· │ row group │ footer
//!      └ create ┘ settled ──┴ stays ─┘ ─────── settled ──────┘        open      └ written anew with the next checkpoint
//! ```
//!
//! The open row group is in the file from its first checkpoint on, and is written once more with each until it is done.
//! Only who reads a file while it grows sees it move: `tail` shows how.

mod checkpoint;
mod resume;

pub use resume::Resumed;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::RowGroupMetaData;

use crate::file::private;
use crate::journal::{Entry, Journal};
use crate::listed::Listed;
use crate::page::PageMaker;
use crate::row_group::RowGroup;
use crate::spacing::Spacing;
use crate::tail::{self, Place, Tail};
use crate::{Batch, Ended, Error, Manifest, Names, Part, Positions, Result, footer, unsettled};

/// Row groups that are done and wait for a checkpoint get one when they take this much.
const WAITING_BYTES: usize = 16 << 20;

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
    tail: Tail,
    names: Arc<Names>,
    manifest: Manifest,
    options: WriterOptions,
    maker: PageMaker,
    rows: u64,
    /// How many of them are in the file.
    checkpointed_rows: u64,
    /// Row groups that stay where they are in the file.
    settled: Listed,
    /// Row groups that are done and not settled yet, with their places in `waiting`.
    closed: Vec<RowGroupMetaData>,
    waiting: Vec<u8>,
    open: RowGroup,
    /// What footers take of the file.
    spacing: Spacing,
    /// Where the rows that are in no footer yet are kept meanwhile, if that was asked for.
    journal: Option<Journal>,
    /// Whether there was none for a while, though it was asked for.
    lacked_journal: bool,
    /// Where the provider was at the end of the last batch.
    positions: Positions,
}

/// What makes a whole file of one that is being written.
#[derive(Debug)]
pub struct Sealed {
    /// Where that is.
    pub path: PathBuf,
    /// How many of its bytes to take. Nobody writes them again.
    pub len: u64,
    /// What follows them.
    pub rest: Vec<u8>,
}

impl TraceWriter {
    /// Creates the file, which must not exist yet, as a whole trace without rows. `manifest.ended` is written as
    /// [`crate::Ended::Recording`] until [`TraceWriter::finish`]. Where the manifest names a session, a journal is kept
    /// there. Leaves no file behind if it fails.
    pub fn create(
        path: &Path,
        names: Arc<Names>,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private().create_new(true).open(path).map_err(io)?;
        let tail = Tail::of(file, 0, Place::default());
        let mut writer = TraceWriter::of(path, tail, names, manifest, options)?;
        writer.waiting.extend_from_slice(footer::MAGIC);
        if let Err(err) = writer.put(Ended::Recording) {
            // A file without a footer is of no use, and would be in the way of the next try.
            let _ = std::fs::remove_file(path);
            return Err(err);
        }
        Ok(writer)
    }

    fn of(
        path: &Path,
        tail: Tail,
        names: Arc<Names>,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<TraceWriter> {
        Ok(TraceWriter {
            path: path.into(),
            tail,
            names,
            manifest,
            options,
            maker: PageMaker::new().map_err(|source| Error::Io { path: path.into(), source })?,
            rows: 0,
            checkpointed_rows: 0,
            settled: Listed::default(),
            closed: Vec::new(),
            waiting: Vec::new(),
            open: RowGroup::default(),
            spacing: Spacing::default(),
            journal: None,
            lacked_journal: false,
            positions: Positions::new(),
        })
    }

    /// Says where the provider will be at the end of the next batch, or that a record of it is gone.
    pub fn reach(&mut self, positions: impl IntoIterator<Item = (Arc<str>, Option<u64>)>) {
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
            self.save(Entry::Page)?;
            self.note(Entry::Commit(self.positions.clone()));
        }
        Ok(())
    }

    /// Ends the open page, and keeps what came since the last time.
    fn save(&mut self, entry: impl FnOnce(Vec<u8>) -> Entry) -> Result<()> {
        let ended = self.open.end_open_page(&mut self.maker);
        ended.map_err(|source| self.io(source))?;
        let mut pages = Vec::new();
        self.open.save(&self.names, &mut pages);
        self.note(entry(pages));
        Ok(())
    }

    /// Appends to the journal. One that cannot grow is of no use; the next checkpoint tries another one.
    fn note(&mut self, entry: Entry) {
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
            self.open.forget_saved();
            self.save(Entry::Open)?;
            self.note(Entry::Commit(self.positions.clone()));
        }
        Ok(std::mem::replace(&mut self.journal, old))
    }

    /// The facts that the next footer will hold.
    pub fn manifest_mut(&mut self) -> &mut Manifest {
        &mut self.manifest
    }

    /// Replaces them, but for what only the writer knows: where its journal is, and which file of a recording this is.
    pub fn renew(&mut self, manifest: Manifest) {
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
            let taken = self.open.take(batch, from, room, &self.names, &mut self.maker);
            let taken = taken.map_err(|source| self.io(source))?;
            from += taken;
            self.rows += taken as u64;
            if self.open.is_full(full_rows) {
                self.close_row_group()?;
            }
        }
        // Only between two batches it is known where the provider is.
        if self.waiting.len() < WAITING_BYTES { Ok(()) } else { self.put(Ended::Recording).map(drop) }
    }

    /// Makes everything written so far part of a whole file.
    pub fn checkpoint(&mut self) -> Result<()> {
        let done_len = DONE_BYTES.max(self.tail.settled() / DONE_SHARE);
        if self.footer_fits() || self.open.bytes() as u64 >= done_len {
            self.close_row_group()?;
        }
        if self.rows > self.checkpointed_rows { self.put(Ended::Recording).map(drop) } else { Ok(()) }
    }

    /// The same, and the next rows will be in another row group.
    pub fn checkpoint_and_close(&mut self) -> Result<()> {
        self.close_row_group()?;
        self.checkpoint()
    }

    /// Creates the file that goes on where this one ends, with this one's facts and journal.
    pub fn successor(&self, path: &Path, part: Part) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private().create_new(true).open(path).map_err(io)?;
        let manifest = Manifest { part: Some(part), ..self.manifest.clone() };
        let tail = Tail::of(file, 0, Place::default());
        let mut next = TraceWriter::of(path, tail, self.names.clone(), manifest, self.options)?;
        next.waiting.extend_from_slice(footer::MAGIC);
        next.positions = self.positions.clone();
        next.lacked_journal = self.lacked_journal;
        next.put(Ended::Recording).inspect_err(|_| drop(std::fs::remove_file(path)))?;
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
    pub fn seal(&mut self, ended: Ended) -> Result<Sealed> {
        let len = self.tail.settled();
        let done_len = self.waiting.len();
        let made = self.append_open().and_then(|open| {
            let open = open.iter().map(|group| unsettled::moved(group, len as i64));
            let manifest =
                Manifest { ended, session: None, unsettled_row_groups: 0, ..self.manifest.clone() };
            self.settled.footer(&manifest, self.closed_at(len).chain(open).collect::<io::Result<_>>()?)
        });
        let mut rest = self.waiting.clone();
        self.waiting.truncate(done_len);
        let footer = made.map_err(|source| self.io(source))?;
        let place = self.tail.close(rest.len(), footer.len());
        rest.resize((place.footer - len) as usize, 0);
        rest.extend_from_slice(&footer);
        rest.extend_from_slice(&tail::tail(footer.len() as u64));
        Ok(Sealed { path: self.path.clone(), len, rest })
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Length of the file so far, in bytes, if it ended here: but for its footer.
    pub fn bytes(&self) -> u64 {
        self.tail.settled() + (self.waiting.len() + self.open.bytes()) as u64
    }

    /// Length of the file that is there, in bytes: between two checkpoints it may be longer than it will be.
    pub fn bytes_on_disk(&self) -> u64 {
        self.tail.len().max(self.bytes())
    }

    /// Writes what is left and the last footer. Returns the length of the file in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.close_row_group()?;
        let ended = self.manifest.ended.clone();
        // Where the last checkpoint is in the way, this makes room, and the second time there is.
        if !self.put(ended.clone())? {
            self.put(ended)?;
        }
        if self.is_there() { Ok(self.tail.len()) } else { Err(Error::Vanished { path: self.path }) }
    }

    /// Whether the file still has its name: somebody may have removed it, or its directory.
    #[cfg(unix)]
    fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let same = |named: std::fs::Metadata, ours: std::fs::Metadata| {
            (named.dev(), named.ino()) == (ours.dev(), ours.ino())
        };
        let both = std::fs::metadata(&self.path).and_then(|named| Ok((named, self.tail.file().metadata()?)));
        both.is_ok_and(|(named, ours)| same(named, ours))
    }

    #[cfg(not(unix))]
    fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Whether one more footer, with the open row group in it, may stay.
    fn footer_fits(&self) -> bool {
        self.spacing.fits(self.closed.len() + 1, self.bytes())
    }

    /// Moves the open row group, if it has rows, to those that wait.
    fn close_row_group(&mut self) -> Result<()> {
        if self.open.rows() > 0 {
            if self.journal.is_some() {
                self.save(Entry::Page)?;
                self.note(Entry::Close);
            }
            let group = self.append_open().map_err(|source| self.io(source))?;
            self.closed.extend(group);
            self.open.clear();
        }
        Ok(())
    }

    /// Puts the open row group behind those that wait, if it has rows.
    fn append_open(&mut self) -> io::Result<Option<RowGroupMetaData>> {
        let is_there = self.open.rows() > 0;
        is_there.then(|| self.open.append(&self.names, &mut self.maker, &mut self.waiting)).transpose()
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}
