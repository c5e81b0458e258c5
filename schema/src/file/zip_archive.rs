//! Traces in zip archives, as `pyrec share` writes them. The trace is stored without compression,
//! so it is read in place. Other entries of the archive are ignored.
//!
//! ```text
//! local header, README.txt │ local header, pyrec.parquet │ central directory │ end record
//!                                          └ StoredRange
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The name of the trace in the archive.
const TRACE_NAME: &str = "pyrec.parquet";

/// The name of the text that describes the archive.
const README_NAME: &str = "README.txt";

/// Signature of a local file header, with which a zip archive begins.
const LOCAL_HEADER: &[u8; 4] = b"PK\x03\x04";

/// Signature of an entry in the central directory.
const DIRECTORY_ENTRY: &[u8; 4] = b"PK\x01\x02";

/// Signature of the end-of-central-directory record.
const END_RECORD: &[u8; 4] = b"PK\x05\x06";

/// Length of a local file header without the name.
const LOCAL_HEADER_BYTES: usize = 30;

/// Length of an entry in the central directory without the name.
const DIRECTORY_ENTRY_BYTES: usize = 46;

/// Length of the end record without a comment.
const END_RECORD_BYTES: usize = 22;

/// The maximum length of a central directory that `pyrec share` writes.
const MAX_DIRECTORY_BYTES: u64 = 1 << 16;

/// Writes a zip archive with a trace and a text that describes it. The archive contains no time
/// stamps, so the same trace results in the same bytes.
pub fn write_zip(trace: &Path, readme: &str, out: File) -> io::Result<()> {
    let mut trace = File::open(trace)?;
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut archive = ZipWriter::new(out);
    archive.start_file(README_NAME, stored)?;
    archive.write_all(readme.as_bytes())?;
    archive.start_file(TRACE_NAME, stored)?;
    io::copy(&mut trace, &mut archive)?;
    archive.finish()?;
    Ok(())
}

/// The position and the length of a trace in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredRange {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// Finds the trace in a zip archive. Returns `None` if the file is not a zip archive.
///
/// Parses the archive itself, because the `zip` crate allocates as much memory as an archive claims
/// to need, and accepts more than what `pyrec share` writes.
pub(crate) fn find_trace(file: &File) -> io::Result<Option<StoredRange>> {
    let file_len = file.metadata()?.len();
    if file_len < (LOCAL_HEADER_BYTES + END_RECORD_BYTES) as u64
        || read_at(file, 0, LOCAL_HEADER.len())? != LOCAL_HEADER
    {
        return Ok(None);
    }
    let invalid = |reason: &str| {
        io::Error::other(format!(
            "it is a zip file that `pyrec share` did not write: {reason}; unpack it, and give the .parquet file"
        ))
    };
    let end_at = file_len - END_RECORD_BYTES as u64;
    let end = read_at(file, end_at, END_RECORD_BYTES)?;
    let (directory_len, directory_at) = (u32_at(&end, 12), u32_at(&end, 16));
    if !end.starts_with(END_RECORD)
        || directory_len > MAX_DIRECTORY_BYTES
        || directory_at + directory_len != end_at
    {
        return Err(invalid("its end record is missing or has other contents"));
    }
    let directory = read_at(file, directory_at, directory_len as usize)?;
    let (header_at, len) = find_entry(&directory).map_err(invalid)?;
    if header_at + LOCAL_HEADER_BYTES as u64 > directory_at {
        return Err(invalid("its directory lists an entry that it does not contain"));
    }
    let header = read_at(file, header_at, LOCAL_HEADER_BYTES)?;
    let start = header_at + LOCAL_HEADER_BYTES as u64 + u16_at(&header, 26) + u16_at(&header, 28);
    if !header.starts_with(LOCAL_HEADER) || start + len > directory_at {
        return Err(invalid("its directory lists an entry that it does not contain"));
    }
    Ok(Some(StoredRange { start, len }))
}

/// Finds the trace's entry in the central directory. Returns the position of its local header, and
/// its length.
fn find_entry(mut directory: &[u8]) -> Result<(u64, u64), &'static str> {
    while let Some((entry, rest)) = directory
        .split_at_checked(DIRECTORY_ENTRY_BYTES)
        .filter(|(entry, _)| entry.starts_with(DIRECTORY_ENTRY))
    {
        let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(entry, at) as usize);
        let Some((after, next)) = rest.split_at_checked(name + extra + comment) else { break };
        if &after[..name] != TRACE_NAME.as_bytes() {
            directory = next;
            continue;
        }
        let (flags, method, compressed_len, len) =
            (u16_at(entry, 8), u16_at(entry, 10), u32_at(entry, 20), u32_at(entry, 24));
        let is_stored = flags & 1 == 0 && method == 0 && compressed_len == len && len < u64::from(u32::MAX);
        return if is_stored {
            Ok((u32_at(entry, 42), len))
        } else {
            Err("the trace in it is compressed or encrypted")
        };
    }
    Err("it contains no pyrec.parquet")
}

fn read_at(mut file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The little-endian `u16` at a position.
fn u16_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 2].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The little-endian `u32` at a position.
fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}
