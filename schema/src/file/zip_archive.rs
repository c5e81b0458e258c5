//! A trace in a zip file, as `pyrec share` makes it. It lies in there as it is, so it is read where it lies and never
//! unpacked: what else is in the file, and under which names, is of no importance.
//!
//! ```text
//! header README.txt │ header pyrec.parquet PAR1 … PAR1 │ directory: README.txt, pyrec.parquet │ end: where the directory is
//!                                          └─ start, len
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The name that the trace has in there, and the only one that is looked for.
const TRACE_NAME: &str = "pyrec.parquet";

/// The name of the page that says what it is.
const README_NAME: &str = "README.txt";

/// What a file's header begins with, and so a zip file, …
const LOCAL_HEADER: &[u8; 4] = b"PK\x03\x04";

/// … a line of the directory, …
const DIRECTORY_ENTRY: &[u8; 4] = b"PK\x01\x02";

/// … and the end.
const END_RECORD: &[u8; 4] = b"PK\x05\x06";

/// How long each is without names.
const LOCAL_HEADER_BYTES: usize = 30;
const DIRECTORY_ENTRY_BYTES: usize = 46;
const END_RECORD_BYTES: usize = 22;

/// A longer directory is not ours.
const MAX_DIRECTORY_BYTES: u64 = 1 << 16;

/// Writes a zip file of a trace and a page that says what it is. It holds no times, so the same trace gives the same
/// file.
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

/// Where a trace lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredRange {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// Where the trace lies in a zip file; none if it is another kind of file. Read by hand, since libraries take whatever
/// memory a file asks for, and since this is to be as strict as a file of ours allows.
pub(crate) fn find_trace(file: &File) -> io::Result<Option<StoredRange>> {
    let file_len = file.metadata()?.len();
    if file_len < (LOCAL_HEADER_BYTES + END_RECORD_BYTES) as u64
        || read_at(file, 0, LOCAL_HEADER.len())? != LOCAL_HEADER
    {
        return Ok(None);
    }
    let unlike = |reason: &str| {
        io::Error::other(format!(
            "it is a zip file, but not as `pyrec share` makes them: {reason}; unpack it, and give the .parquet file"
        ))
    };
    let end_at = file_len - END_RECORD_BYTES as u64;
    let end = read_at(file, end_at, END_RECORD_BYTES)?;
    let (directory_len, directory_at) = (u32_at(&end, 12), u32_at(&end, 16));
    if !end.starts_with(END_RECORD)
        || directory_len > MAX_DIRECTORY_BYTES
        || directory_at + directory_len != end_at
    {
        return Err(unlike("its end is missing or somebody else's"));
    }
    let directory = read_at(file, directory_at, directory_len as usize)?;
    let (header_at, len) = find_entry(&directory).map_err(unlike)?;
    if header_at + LOCAL_HEADER_BYTES as u64 > directory_at {
        return Err(unlike("it lists what is not in it"));
    }
    let header = read_at(file, header_at, LOCAL_HEADER_BYTES)?;
    let start = header_at + LOCAL_HEADER_BYTES as u64 + u16_at(&header, 26) + u16_at(&header, 28);
    if !header.starts_with(LOCAL_HEADER) || start + len > directory_at {
        return Err(unlike("it lists what is not in it"));
    }
    Ok(Some(StoredRange { start, len }))
}

/// Where the trace's header lies, and how long the trace is.
fn find_entry(mut directory: &[u8]) -> Result<(u64, u64), &'static str> {
    while let Some((line, rest)) = directory
        .split_at_checked(DIRECTORY_ENTRY_BYTES)
        .filter(|(line, _)| line.starts_with(DIRECTORY_ENTRY))
    {
        let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(line, at) as usize);
        let Some((after, next)) = rest.split_at_checked(name + extra + comment) else { break };
        if &after[..name] != TRACE_NAME.as_bytes() {
            directory = next;
            continue;
        }
        let (flags, method, packed, len) =
            (u16_at(line, 8), u16_at(line, 10), u32_at(line, 20), u32_at(line, 24));
        let is_plain = flags & 1 == 0 && method == 0 && packed == len && len < u64::from(u32::MAX);
        return if is_plain {
            Ok((u32_at(line, 42), len))
        } else {
            Err("the trace in it is packed or encrypted")
        };
    }
    Err("it lists no pyrec.parquet")
}

fn read_at(mut file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The number of two bytes there.
fn u16_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 2].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The number of four bytes there.
fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}
