//! A file that several threads read at once, each at its own place.

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

/// How much is read at once of what has no known length: a page's header.
const HEADER_BYTES: usize = 512;

/// How a file is made that is for its user alone: a trace holds arguments and names that others need not see.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Reads some bytes from a place in a file.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, at);
}

/// Writes all bytes to a place in a file.
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

/// An open trace: a file, or the part of a zip file that is one.
#[derive(Clone, Debug)]
pub(crate) struct TraceFile {
    file: Arc<File>,
    /// Where it begins.
    start: u64,
    len: u64,
    /// How what it is in ended when it was opened, or it itself.
    end_at_open: FileEnd,
    cached: Arc<CachedRange>,
}

/// What every checkpoint changes: the length of a file, or its last bytes, which say where the footer is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileEnd {
    file_len: u64,
    footer_tail: [u8; FOOTER_TAIL_BYTES as usize],
}

impl FileEnd {
    fn of(file: &File) -> io::Result<FileEnd> {
        let (file_len, mut footer_tail) = (file.metadata()?.len(), [0; FOOTER_TAIL_BYTES as usize]);
        if file_len >= FOOTER_TAIL_BYTES {
            // Fewer where it has just become shorter, which the next look sees.
            read_at(file, &mut footer_tail, file_len - FOOTER_TAIL_BYTES)?;
        }
        Ok(FileEnd { file_len, footer_tail })
    }
}

/// Bytes of a file that are read from memory, since others may soon stand in their place.
#[derive(Debug, Default)]
struct CachedRange {
    start: u64,
    bytes: Vec<u8>,
}

impl CachedRange {
    /// What it has from there on.
    fn from(&self, position: u64) -> Option<&[u8]> {
        let skipped = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(skipped..).filter(|bytes| !bytes.is_empty())
    }
}

impl TraceFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let end_at_open = FileEnd::of(&file)?;
        let place =
            zip_archive::find_trace(&file)?.unwrap_or(StoredRange { start: 0, len: end_at_open.file_len });
        Ok(TraceFile {
            file: Arc::new(file),
            start: place.start,
            len: place.len,
            end_at_open,
            cached: Arc::default(),
        })
    }

    /// Reads these bytes now, and from memory ever after.
    pub(crate) fn cache(&mut self, place: Range<u64>) -> io::Result<()> {
        let bytes = self.read(place.start, (place.end - place.start) as usize)?;
        self.cached = Arc::new(CachedRange { start: place.start, bytes });
        Ok(())
    }

    /// Whether the file ends otherwise than when it was opened: then somebody is writing it.
    pub(crate) fn has_changed(&self) -> io::Result<bool> {
        Ok(FileEnd::of(&self.file)? != self.end_at_open)
    }

    /// The length that it had when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from `start` on.
    pub(crate) fn read(&self, start: u64, len: usize) -> io::Result<Vec<u8>> {
        // Asked before memory is, since the length may come from a damaged file.
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

/// A place in the file, from which it is read on.
#[derive(Debug)]
pub(crate) struct TraceFileCursor {
    file: Arc<File>,
    cached: Arc<CachedRange>,
    /// Where the trace begins in the file.
    start: u64,
    /// Within the trace.
    position: u64,
    /// What lies behind is no part of the trace.
    end: u64,
}

impl Read for TraceFileCursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..len];
        let read = match self.cached.from(self.position) {
            Some(mut cached) => cached.read(buffer)?,
            None => read_at(&self.file, buffer, self.start.saturating_add(self.position))?,
        };
        self.position += read as u64;
        Ok(read)
    }
}
