//! A trace in a zip file, as `pyrec share` makes it. It lies in there as it is, so it is read where it lies and never
//! unpacked: what else is in the file, and under which names, is of no importance.
//!
//! ```text
//! header README.txt │ header pyrec.parquet PAR1 … PAR1 │ list: README.txt, pyrec.parquet │ end: where the list is
//!                                          └─ start, len
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The name that the trace has in there, and the only one that is looked for.
const TRACE: &str = "pyrec.parquet";

/// The name of the page that says what it is.
const README: &str = "README.txt";

/// What a file's header begins with, and so a zip file, …
const HEADER: &[u8; 4] = b"PK\x03\x04";

/// … a line of the list, …
const LINE: &[u8; 4] = b"PK\x01\x02";

/// … and the end.
const END: &[u8; 4] = b"PK\x05\x06";

/// How long each is without names.
const HEADER_BYTES: usize = 30;
const LINE_BYTES: usize = 46;
const END_BYTES: usize = 22;

/// A longer list is not ours.
const MAX_LIST_BYTES: u64 = 1 << 16;

/// Writes a zip file of a trace and a page that says what it is. It holds no times, so the same trace gives the same
/// file.
pub fn archive(trace: &Path, readme: &str, out: File) -> io::Result<()> {
    let mut trace = File::open(trace)?;
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut archive = ZipWriter::new(out);
    archive.start_file(README, stored)?;
    archive.write_all(readme.as_bytes())?;
    archive.start_file(TRACE, stored)?;
    io::copy(&mut trace, &mut archive)?;
    archive.finish()?;
    Ok(())
}

/// Where a trace lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// Where the trace lies in a zip file; none if it is another kind of file. Read by hand, since libraries take whatever
/// memory a file asks for, and since this is to be as strict as a file of ours allows.
pub(crate) fn find(file: &File) -> io::Result<Option<Place>> {
    let file_len = file.metadata()?.len();
    if file_len < (HEADER_BYTES + END_BYTES) as u64 || read_at(file, 0, HEADER.len())? != HEADER {
        return Ok(None);
    }
    let unlike = |reason: &str| {
        io::Error::other(format!(
            "it is a zip file, but not as `pyrec share` makes them: {reason}; unpack it, and give the .parquet file"
        ))
    };
    let end_at = file_len - END_BYTES as u64;
    let end = read_at(file, end_at, END_BYTES)?;
    let (list_len, list_at) = (long(&end, 12), long(&end, 16));
    if !end.starts_with(END) || list_len > MAX_LIST_BYTES || list_at + list_len != end_at {
        return Err(unlike("its end is missing or somebody else's"));
    }
    let list = read_at(file, list_at, list_len as usize)?;
    let (header_at, len) = listed(&list).map_err(unlike)?;
    if header_at + HEADER_BYTES as u64 > list_at {
        return Err(unlike("it lists what is not in it"));
    }
    let header = read_at(file, header_at, HEADER_BYTES)?;
    let start = header_at + HEADER_BYTES as u64 + short(&header, 26) + short(&header, 28);
    if !header.starts_with(HEADER) || start + len > list_at {
        return Err(unlike("it lists what is not in it"));
    }
    Ok(Some(Place { start, len }))
}

/// Where the trace's header lies, and how long the trace is.
fn listed(mut list: &[u8]) -> Result<(u64, u64), &'static str> {
    while let Some((line, rest)) =
        list.split_at_checked(LINE_BYTES).filter(|(line, _)| line.starts_with(LINE))
    {
        let [name, extra, comment] = [28, 30, 32].map(|at| short(line, at) as usize);
        let Some((after, next)) = rest.split_at_checked(name + extra + comment) else { break };
        if &after[..name] != TRACE.as_bytes() {
            list = next;
            continue;
        }
        let (flags, method, packed, len) = (short(line, 8), short(line, 10), long(line, 20), long(line, 24));
        let is_plain = flags & 1 == 0 && method == 0 && packed == len && len < u64::from(u32::MAX);
        return if is_plain {
            Ok((long(line, 42), len))
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
fn short(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 2].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The number of four bytes there.
fn long(bytes: &[u8], at: usize) -> u64 {
    short(bytes, at) | short(bytes, at + 2) << 16
}
