//! Rows into a file that is whole at every checkpoint.
//!
//! ```text
//! PAR1 │ footer │ row group │ footer │ row group │ row group │ footer │ …
//!      └ create ┘└── one write call ─┘└──────── one write call ───────┘
//! ```

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parquet::file::metadata::RowGroupMetaData;

use crate::file::{TraceFile, private};
use crate::journal::{self, Entry, Journal};
use crate::page::PageMaker;
use crate::row_group::RowGroup;
use crate::spacing::Spacing;
use crate::{Batch, Ended, Error, Manifest, Names, Part, Positions, Result, Session, footer};

/// Row groups that wait for their footer are written with one all the same when they take this much.
const WAITING_BYTES: usize = 16 << 20;

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
    file: File,
    names: Arc<Names>,
    manifest: Manifest,
    options: WriterOptions,
    maker: PageMaker,
    rows: u64,
    open: RowGroup,
    /// Row groups that are done, in the file or waiting.
    groups: Vec<RowGroupMetaData>,
    /// How many of them are in the file.
    groups_in_file: usize,
    /// The bytes of the others.
    waiting: Vec<u8>,
    file_len: u64,
    /// What footers take of it.
    spacing: Spacing,
    /// When the file was made, and when the last footer was.
    made: Instant,
    checkpointed: Instant,
    /// Where the rows that are in no footer yet are kept meanwhile, if that was asked for.
    journal: Option<Journal>,
    /// Whether there was none for a while, though it was asked for.
    lacked_journal: bool,
    /// Where the provider was at the end of the last batch.
    positions: Positions,
}

/// A trace that a killed recorder left, ready to be written on.
#[derive(Debug)]
pub struct Resumed {
    /// The trace, with everything in it that its journal had.
    pub writer: TraceWriter,
    /// Where the provider was then; none where no journal says it.
    pub positions: Option<Positions>,
    /// Rows that the journal had.
    pub rows: u64,
    /// Bytes of a half-written row group that were cut off.
    pub torn_bytes: u64,
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
        let mut writer = TraceWriter::of(path, file, names, manifest, options)?;
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
        file: File,
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
            maker: PageMaker::new().map_err(|source| Error::Io { path: path.into(), source })?,
            rows: 0,
            open: RowGroup::default(),
            groups: Vec::new(),
            groups_in_file: 0,
            waiting: Vec::new(),
            file_len: 0,
            spacing: Spacing::default(),
            made: Instant::now(),
            checkpointed: Instant::now(),
            journal: None,
            lacked_journal: false,
            positions: Positions::new(),
        })
    }

    /// Opens a file that a killed recorder left, cuts off what it had half written, and puts back what its journal has.
    /// Nothing of that is in the file before [`TraceWriter::finish`].
    pub fn resume(path: &Path, names: Arc<Names>) -> Result<Resumed> {
        let (mut writer, torn_bytes) = TraceWriter::open(path, names)?;
        let session = writer.manifest.session.clone();
        let io = |source| Error::Io { path: path.into(), source };
        let before = writer.rows;
        let left = session.map(|session| journal::read(&session.directory, session.checkpoint));
        let left = left.transpose().map_err(io)?.flatten();
        let positions =
            left.map(|left| writer.put_back(left.entries).map(|()| left.positions)).transpose()?;
        writer.positions = positions.clone().unwrap_or_default();
        Ok(Resumed { positions, rows: writer.rows - before, torn_bytes, writer })
    }

    /// Opens a file to append to it. Gives how many bytes after the last footer were cut off.
    fn open(path: &Path, names: Arc<Names>) -> Result<(TraceWriter, u64)> {
        let io = |source| Error::Io { path: path.into(), source };
        let found = footer::find(&TraceFile::open(path).map_err(io)?, path)?;
        let mut file = File::options().write(true).open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        if len > found.end {
            file.set_len(found.end).map_err(io)?;
        }
        file.seek(SeekFrom::Start(found.end)).map_err(io)?;
        let mut writer = TraceWriter::of(path, file, names, found.manifest, WriterOptions::default())?;
        writer.groups = found.metadata.row_groups().to_vec();
        writer.groups_in_file = writer.groups.len();
        writer.rows = writer.groups.iter().map(|group| group.num_rows() as u64).sum();
        writer.file_len = found.end;
        Ok((writer, len - found.end))
    }

    fn put_back(&mut self, entries: Vec<Entry>) -> Result<()> {
        for entry in entries {
            match entry {
                Entry::Page(page) => {
                    let before = self.open.rows();
                    if self.open.restore(&page, &self.names).is_none() {
                        let reason = "its journal holds no pages".to_owned();
                        return Err(Error::Damaged { path: self.path.clone(), reason });
                    }
                    self.rows += (self.open.rows() - before) as u64;
                }
                Entry::Close => self.close_row_group()?,
                Entry::Commit(_) => {}
            }
        }
        Ok(())
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

    /// Rows of the last page, which is not in the journal yet.
    pub fn page_rows(&self) -> usize {
        self.open.page_rows()
    }

    /// Keeps everything up to the end of the last batch in the journal. The provider may forget it then. Where there is
    /// no journal (any more) nothing is kept before the next checkpoint.
    pub fn commit(&mut self) -> Result<()> {
        if self.journal.is_some() {
            self.save_page()?;
            self.note(Entry::Commit(self.positions.clone()));
        }
        Ok(())
    }

    /// Ends the open page, and keeps it.
    fn save_page(&mut self) -> Result<()> {
        let ended = self.open.end_open_page(&mut self.maker);
        ended.map_err(|source| self.io(source))?;
        let mut page = Vec::new();
        self.open.save(&self.names, &mut page);
        self.note(Entry::Page(page));
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

    /// Begins the journal of the next checkpoint, which has everything that will not be in its footer.
    fn next_journal(&mut self) -> Result<Option<Journal>> {
        let Some(session) = self.manifest.session.clone() else { return Ok(None) };
        let Ok(journal) = Journal::begin(&session.directory, session.checkpoint + 1, &self.positions) else {
            self.lacked_journal = true;
            return Ok(None);
        };
        let old = self.journal.replace(journal);
        if self.open.rows() > 0 {
            self.open.forget_saved();
            self.save_page()?;
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
        // Where no footer fits, more row groups would only make the next one longer.
        let doublings = if self.footer_fits() { self.groups.len() / GROUPS_PER_DOUBLING } else { DOUBLINGS };
        let full_rows = self.options.row_group_rows << doublings.min(DOUBLINGS);
        let (mut from, groups) = (0, self.groups.len());
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
        let is_due = self.footer_fits() || self.waiting.len() >= WAITING_BYTES;
        if is_due && self.groups.len() > groups { self.put(Ended::Recording) } else { Ok(()) }
    }

    /// Makes everything written so far part of a whole file, unless footers would then take more than their share
    /// of it and the last one is not old. Says whether it did.
    pub fn checkpoint(&mut self) -> Result<bool> {
        if self.open.rows() == 0 && self.waiting.is_empty() {
            return Ok(true);
        }
        if !self.footer_fits() && !Spacing::is_old(self.made.elapsed(), self.checkpointed.elapsed()) {
            return Ok(false);
        }
        self.close_row_group()?;
        self.put(Ended::Recording)?;
        Ok(true)
    }

    /// The same, whatever share of the file that leaves to footers.
    pub fn checkpoint_now(&mut self) -> Result<()> {
        if self.open.rows() == 0 && self.waiting.is_empty() {
            return Ok(());
        }
        self.close_row_group()?;
        self.put(Ended::Recording)
    }

    /// Creates the file that goes on where this one ends, with this one's facts and journal.
    pub fn successor(&self, path: &Path, part: Part) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = private().create_new(true).open(path).map_err(io)?;
        let manifest = Manifest { part: Some(part), ..self.manifest.clone() };
        let mut next = TraceWriter::of(path, file, self.names.clone(), manifest, self.options)?;
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

    /// Where the file is, and how long it was at its last footer.
    pub fn whole(&self) -> (PathBuf, u64) {
        (self.path.clone(), self.file_len)
    }

    /// Says in a copy of an unfinished file how far it goes.
    pub fn seal(path: &Path, ended: Ended) -> Result<()> {
        let mut writer = TraceWriter::open(path, Arc::default())?.0;
        writer.manifest.ended = ended;
        writer.manifest.session = None;
        writer.finish().map(drop)
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Length of the file so far, in bytes, with what waits for the next checkpoint.
    pub fn bytes(&self) -> u64 {
        self.file_len + (self.waiting.len() + self.open.bytes()) as u64
    }

    /// Writes what is left and the last footer. Returns the length of the file in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.close_row_group()?;
        self.put(self.manifest.ended.clone())?;
        if self.is_there() { Ok(self.file_len) } else { Err(Error::Vanished { path: self.path }) }
    }

    /// Whether the file still has its name: somebody may have removed it, or its directory.
    #[cfg(unix)]
    fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let same = |named: std::fs::Metadata, ours: std::fs::Metadata| {
            (named.dev(), named.ino()) == (ours.dev(), ours.ino())
        };
        let both = std::fs::metadata(&self.path).and_then(|named| Ok((named, self.file.metadata()?)));
        both.is_ok_and(|(named, ours)| same(named, ours))
    }

    #[cfg(not(unix))]
    fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Whether one more footer, with the open row group in it, leaves footers their share.
    fn footer_fits(&self) -> bool {
        self.spacing.fits(self.groups.len() - self.groups_in_file + 1, self.bytes())
    }

    /// Moves the open row group, if it has rows, to those that wait.
    fn close_row_group(&mut self) -> Result<()> {
        if self.open.rows() > 0 {
            if self.journal.is_some() {
                self.save_page()?;
                self.note(Entry::Close);
            }
            let group = self.open.close(self.file_len, &self.names, &mut self.maker, &mut self.waiting);
            self.groups.push(group.map_err(|source| self.io(source))?);
        }
        Ok(())
    }

    /// Writes what waits, and a footer.
    fn put(&mut self, ended: Ended) -> Result<()> {
        let journal = if ended == Ended::Recording { self.next_journal()? } else { None };
        let session = self.manifest.session.take().filter(|_| ended == Ended::Recording);
        self.manifest.session =
            session.map(|session| Session { checkpoint: session.checkpoint + 1, ..session });
        let data_len = self.waiting.len();
        let manifest = Manifest { ended, ..self.manifest.clone() };
        let written = footer::append(&manifest, &self.groups, &mut self.waiting)
            .and_then(|()| self.file.write_all(&self.waiting));
        if let Err(source) = written {
            self.waiting.truncate(data_len);
            return Err(self.cut_back(source));
        }
        if let Some(old) = std::mem::replace(&mut self.journal, journal) {
            old.remove();
        }
        self.spacing.add((self.waiting.len() - data_len) as u64);
        self.file_len += self.waiting.len() as u64;
        self.groups_in_file = self.groups.len();
        self.waiting.clear();
        self.checkpointed = Instant::now();
        Ok(())
    }

    /// Takes the half of a write that failed off the file again.
    fn cut_back(&mut self, source: io::Error) -> Error {
        // If even that fails the tail is torn, and readers find the footer before it.
        let _ =
            self.file.set_len(self.file_len).and_then(|()| self.file.seek(SeekFrom::Start(self.file_len)));
        let rows = self.groups[..self.groups_in_file].iter().map(|group| group.num_rows() as u64).sum();
        Error::Write { path: self.path.clone(), rows, source }
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}
