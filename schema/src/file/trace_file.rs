//! An open trace file, which several threads read at the same time with positioned reads.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::zip_archive::{self, StoredRange};
use crate::format::FOOTER_TAIL_BYTES;

/// The buffer size for reading page headers, whose length is unknown beforehand.
const HEADER_BYTES: usize = 512;

/// Options to create a file with mode 0600. Traces contain command lines, names and source texts,
/// which are private to the user.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Reads bytes at a position, possibly fewer than the buffer holds.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, at);
}

/// Writes all bytes at a position.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    {
        let mut written = 0;
        while written < bytes.len() {
            written +=
                std::os::windows::fs::FileExt::seek_write(file, &bytes[written..], at + written as u64)?;
        }
        Ok(())
    }
}

/// An open trace: a file, or the trace that is stored in a zip archive.
#[derive(Clone, Debug)]
pub(crate) struct TraceFile {
    file: Arc<File>,
    /// Where the trace begins in the file.
    start: u64,
    /// The length of the trace when it was opened.
    len: u64,
    /// The end of the whole file when it was opened.
    end_at_open: FileEnd,
    cached: Arc<CachedRange>,
}

/// The length and the footer tail of a file. Every checkpoint changes at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileEnd {
    file_len: u64,
    footer_tail: [u8; FOOTER_TAIL_BYTES as usize],
}

impl FileEnd {
    fn of(file: &File) -> io::Result<FileEnd> {
        let (file_len, mut footer_tail) = (file.metadata()?.len(), [0; FOOTER_TAIL_BYTES as usize]);
        if file_len >= FOOTER_TAIL_BYTES {
            // Reads fewer bytes if the file has just been truncated. The next comparison detects
            // that.
            read_at(file, &mut footer_tail, file_len - FOOTER_TAIL_BYTES)?;
        }
        Ok(FileEnd { file_len, footer_tail })
    }
}

/// A range of the file that is held in memory, since a later checkpoint may overwrite it.
#[derive(Debug, Default)]
struct CachedRange {
    start: u64,
    bytes: Vec<u8>,
}

impl CachedRange {
    /// The cached bytes from `position` on, if it is in the range.
    fn get(&self, position: u64) -> Option<&[u8]> {
        let skipped = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(skipped..).filter(|bytes| !bytes.is_empty())
    }
}

impl TraceFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let end_at_open = FileEnd::of(&file)?;
        let stored =
            zip_archive::find_trace(&file)?.unwrap_or(StoredRange { start: 0, len: end_at_open.file_len });
        Ok(TraceFile {
            file: Arc::new(file),
            start: stored.start,
            len: stored.len,
            end_at_open,
            cached: Arc::default(),
        })
    }

    /// Reads a range into memory. Later reads take it from there.
    pub(crate) fn cache(&mut self, range: Range<u64>) -> io::Result<()> {
        let bytes = self.read(range.start, (range.end - range.start) as usize)?;
        self.cached = Arc::new(CachedRange { start: range.start, bytes });
        Ok(())
    }

    /// Whether a checkpoint was written since the file was opened.
    pub(crate) fn has_changed(&self) -> io::Result<bool> {
        Ok(FileEnd::of(&self.file)? != self.end_at_open)
    }

    /// The length of the trace when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads `len` bytes at `start`.
    pub(crate) fn read(&self, start: u64, len: usize) -> io::Result<Vec<u8>> {
        // Checked before memory is allocated, since the length may come from a damaged file.
        if start.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        self.at(start).read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn at(&self, position: u64) -> TraceFileCursor {
        let (file, cached) = (self.file.clone(), self.cached.clone());
        TraceFileCursor { file, cached, start: self.start, position, end: self.len }
    }
}

impl Length for TraceFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for TraceFile {
    type T = BufReader<TraceFileCursor>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::with_capacity(HEADER_BYTES, self.at(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.read(start, length).map(Bytes::from).map_err(ParquetError::from)
    }
}

/// A sequential reader from a position in a trace.
#[derive(Debug)]
pub(crate) struct TraceFileCursor {
    file: Arc<File>,
    cached: Arc<CachedRange>,
    /// Where the trace begins in the file.
    start: u64,
    /// The position in the trace.
    position: u64,
    /// The length of the trace.
    end: u64,
}

impl Read for TraceFileCursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..len];
        let read = match self.cached.get(self.position) {
            Some(mut cached) => cached.read(buffer)?,
            None => read_at(&self.file, buffer, self.start.saturating_add(self.position))?,
        };
        self.position += read as u64;
        Ok(read)
    }
}
