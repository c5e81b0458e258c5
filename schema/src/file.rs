//! A file that several threads read at once, each at its own place.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::archive::{self, Place};

/// How much is read at once of what has no known length: a page's header.
const HEADER_BYTES: usize = 512;

/// How a file is made that is for its user alone: a trace holds arguments and names that others need not see.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// An open trace: a file, or the part of a zip file that is one.
#[derive(Clone, Debug)]
pub(crate) struct TraceFile {
    file: Arc<File>,
    /// Where it begins.
    start: u64,
    len: u64,
}

impl TraceFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let place = match archive::find(&file)? {
            Some(place) => place,
            None => Place { start: 0, len: file.metadata()?.len() },
        };
        Ok(TraceFile { file: Arc::new(file), start: place.start, len: place.len })
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

    fn at(&self, position: u64) -> Cursor {
        let end = self.start + self.len;
        Cursor { file: self.file.clone(), position: self.start.saturating_add(position), end }
    }
}

impl Length for TraceFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for TraceFile {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::with_capacity(HEADER_BYTES, self.at(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.read(start, length).map(Bytes::from).map_err(ParquetError::from)
    }
}

/// A place in the file, from which it is read on.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: Arc<File>,
    position: u64,
    /// What lies behind is no part of the trace.
    end: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..len];
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.position)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
