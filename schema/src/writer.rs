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
use std::time::{Duration, Instant};

use parquet::file::metadata::RowGroupMetaData;

use crate::page::PageMaker;
use crate::row_group::RowGroup;
use crate::{Batch, Ended, Error, Manifest, Names, Result, footer};

/// Footers repeat all row groups before them, so they may take this much and a hundredth of the file. (Together
/// less than the larger of twice this and a fiftieth of the file.)
const FOOTERS_BYTES: u64 = 128 << 10;
const FOOTERS_SHARE: u64 = 100;

/// A footer that would take more than that is written all the same when the last one is older than this part of the
/// recording: a slow program fills no files, and yet a crash must not cost the day. So there are some two hundred
/// such footers in a day, most of them early.
const OLDEST_SHARE: u32 = 20;

/// But never sooner than this.
const OLDEST: Duration = Duration::from_secs(10);

/// What a row group adds to a footer, at most.
const GROUP_FOOTER_BYTES: u64 = 1 << 10;

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
    /// What footers take of the file, all together and the last one.
    footers_len: u64,
    footer_len: u64,
    /// When the file was made, and when the last footer was.
    made: Instant,
    checkpointed: Instant,
}

impl TraceWriter {
    /// Creates the file, which must not exist yet, as a whole trace without rows. `manifest.ended` is written as
    /// [`crate::Ended::Recording`] until [`TraceWriter::finish`]. Leaves no file behind if it fails.
    pub fn create(
        path: &Path,
        names: Arc<Names>,
        manifest: Manifest,
        options: WriterOptions,
    ) -> Result<TraceWriter> {
        let io = |source| Error::Io { path: path.into(), source };
        let mut writer = TraceWriter {
            path: path.into(),
            file: File::options().write(true).create_new(true).open(path).map_err(io)?,
            names,
            manifest,
            options,
            maker: PageMaker::new().map_err(io)?,
            rows: 0,
            open: RowGroup::default(),
            groups: Vec::new(),
            groups_in_file: 0,
            waiting: footer::MAGIC.to_vec(),
            file_len: 0,
            footers_len: 0,
            footer_len: 0,
            made: Instant::now(),
            checkpointed: Instant::now(),
        };
        if let Err(err) = writer.put(Ended::Recording) {
            // A file without a footer is of no use, and would be in the way of the next try.
            let _ = std::fs::remove_file(path);
            return Err(err);
        }
        Ok(writer)
    }

    /// The facts that the next footer will hold.
    pub fn manifest_mut(&mut self) -> &mut Manifest {
        &mut self.manifest
    }

    /// Appends rows. Reaches the disk with the row group that they fill, or at the next checkpoint.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let full_rows =
            self.options.row_group_rows << (self.groups.len() / GROUPS_PER_DOUBLING).min(DOUBLINGS);
        let mut from = 0;
        while from < batch.len() {
            let room = full_rows.saturating_sub(self.open.rows()).max(1);
            let taken = self.open.take(batch, from, room, &self.names, &mut self.maker);
            let taken = taken.map_err(|source| self.io(source))?;
            from += taken;
            self.rows += taken as u64;
            if self.open.is_full(full_rows) {
                self.close_row_group()?;
                if self.footer_fits() || self.waiting.len() >= WAITING_BYTES {
                    self.put(Ended::Recording)?;
                }
            }
        }
        Ok(())
    }

    /// Makes everything written so far part of a whole file, unless footers would then take more than their share
    /// of it and the last one is not old. Says whether it did.
    pub fn checkpoint(&mut self) -> Result<bool> {
        if self.open.rows() == 0 && self.waiting.is_empty() {
            return Ok(true);
        }
        if !self.footer_fits() && !is_old(self.made.elapsed(), self.checkpointed.elapsed()) {
            return Ok(false);
        }
        self.close_row_group()?;
        self.put(Ended::Recording)?;
        Ok(true)
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
        Ok(self.file_len)
    }

    /// Whether one more footer, with the open row group in it, leaves footers their share.
    fn footer_fits(&self) -> bool {
        let new_groups = (self.groups.len() - self.groups_in_file + 1) as u64;
        let footer_len = self.footer_len + new_groups * GROUP_FOOTER_BYTES;
        self.footers_len + footer_len <= FOOTERS_BYTES + self.bytes() / FOOTERS_SHARE
    }

    /// Moves the open row group, if it has rows, to those that wait.
    fn close_row_group(&mut self) -> Result<()> {
        if self.open.rows() > 0 {
            let group = self.open.close(self.file_len, &self.names, &mut self.maker, &mut self.waiting);
            self.groups.push(group.map_err(|source| self.io(source))?);
        }
        Ok(())
    }

    /// Writes what waits, and a footer.
    fn put(&mut self, ended: Ended) -> Result<()> {
        let data_len = self.waiting.len();
        let manifest = Manifest { ended, ..self.manifest.clone() };
        let written = footer::append(&manifest, &self.groups, &mut self.waiting)
            .and_then(|()| self.file.write_all(&self.waiting));
        if let Err(source) = written {
            self.waiting.truncate(data_len);
            return Err(self.cut_back(source));
        }
        self.footer_len = (self.waiting.len() - data_len) as u64;
        self.footers_len += self.footer_len;
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

/// Whether the last footer is too old for a recording of that age.
fn is_old(recording: Duration, footer: Duration) -> bool {
    footer >= OLDEST.max(recording / OLDEST_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_recording_is_checkpointed_less_and_less_often_but_always_again() {
        let cases = [(60, 9, false), (60, 10, true), (3600, 179, false), (3600, 180, true)];
        for (recording, footer, old) in cases {
            let [recording, footer] = [recording, footer].map(Duration::from_secs);
            assert_eq!(is_old(recording, footer), old, "{footer:?} in {recording:?}");
        }
        // A day, second by second.
        let (mut footers, mut last) = (0, 0);
        for now in 0..86_400 {
            if is_old(Duration::from_secs(now), Duration::from_secs(now - last)) {
                (footers, last) = (footers + 1, now);
            }
        }
        assert!((100..200).contains(&footers), "{footers}");
    }
}
