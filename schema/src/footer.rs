//! Footers: one ends every checkpoint, and the last whole one says what a file holds.
//!
//! ```text
//! … row groups │ metadata │ length, PAR1
//! … row groups │ metadata │ ····· │ length, PAR1        while a file grows: what lies in between is passed over
//! ```

use std::io;
use std::path::Path;

use parquet::arrow::encode_arrow_schema;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use serde::Deserialize;

use crate::attempt::attempt;
use crate::bounds;
use crate::file::TraceFile;
use crate::format::{ARROW, ARROW_SCHEMA_KEY, MANIFEST_KEY, PARQUET};
use crate::shapes::{self, ROW_GROUPS};
use crate::thrift::{self, MAX_DEPTH, Walk};
use crate::{Error, FORMAT_VERSION, Manifest, Result, tail, unsettled};

/// What a Parquet file begins and ends with.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// The bytes after a footer's metadata: their length and the magic.
pub(crate) const TAIL_BYTES: u64 = 8;

/// How many checkpoints that were written over are looked at, which takes reading their row groups. Behind what is settled
/// there are a few; others that somebody has made up would take hours.
const MOST_WRITTEN_OVER: u32 = 8;

/// How much of a file is searched at once for the last footer.
const SEARCH_BYTES: u64 = 1 << 20;

/// What a footer says beside its row groups.
pub(crate) fn keys(manifest: &Manifest) -> io::Result<Vec<KeyValue>> {
    Ok(vec![
        KeyValue::new(MANIFEST_KEY.to_owned(), serde_json::to_string(manifest)?),
        KeyValue::new(ARROW_SCHEMA_KEY.to_owned(), encode_arrow_schema(&ARROW)),
    ])
}

/// A footer's metadata, without its length and the magic. What it says does not depend on where it stands.
pub(crate) fn metadata(keys: Vec<KeyValue>, groups: Vec<RowGroupMetaData>) -> io::Result<Vec<u8>> {
    let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let writer = concat!("pyrec version ", env!("CARGO_PKG_VERSION")).to_owned();
    let file = FileMetaData::new(2, rows, Some(writer), Some(keys), PARQUET.clone(), None);
    let metadata = ParquetMetaData::new(file, groups);
    let mut out = Vec::new();
    ParquetMetaDataWriter::new(&mut out, &metadata).finish().map_err(io::Error::other)?;
    out.truncate(out.len() - TAIL_BYTES as usize);
    Ok(out)
}

/// A footer that was found.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) metadata: ParquetMetaData,
    pub(crate) manifest: Manifest,
    /// Where it begins in the file.
    pub(crate) start: u64,
    /// Where it ends: after its own length and magic, as far as they are there.
    pub(crate) end: u64,
}

/// The last whole footer of a file. A file that does not end in one was cut short, and holds what an earlier
/// one says; a file that ends in the footer of something else is something else.
pub(crate) fn find(file: &TraceFile, path: &Path) -> Result<Footer> {
    let io = |source| Error::Io { path: path.into(), source };
    let head = file.read(0, file.len().min(4) as usize).map_err(io)?;
    if head.is_empty() {
        return Err(Error::Empty { path: path.into() });
    }
    if !MAGIC.starts_with(&head) {
        return Err(Error::NotParquet { path: path.into() });
    }
    let (mut end, mut written_over) = (file.len(), 0);
    while let Some(found) = last_magic(file, end).map_err(io)? {
        match parse(file, found) {
            Ok(footer) if found == file.len() || unsettled::are_intact(file, &footer) => return Ok(footer),
            Err(Flaw::Io(source)) => return Err(io(source)),
            Err(flaw) if found == file.len() => return Err(flaw.into_error(path)),
            Err(Flaw::Newer(found)) => return Err(Flaw::Newer(found).into_error(path)),
            Ok(_) if written_over == MOST_WRITTEN_OVER => break,
            Ok(_) => (end, written_over) = (found - 1, written_over + 1),
            // Bytes of a page that look like a footer's end.
            Err(_) => end = found - 1,
        }
    }
    Err(Error::Cut { path: path.into() })
}

/// The end of the last magic that ends at `end` or before, and that is not the one at the file's beginning.
fn last_magic(file: &TraceFile, end: u64) -> io::Result<Option<u64>> {
    let first = MAGIC.len() as u64;
    let mut end = end;
    while end >= first + TAIL_BYTES {
        let start = end.saturating_sub(SEARCH_BYTES).max(first);
        let bytes = file.read(start, (end - start) as usize)?;
        if let Some(at) = bytes.windows(MAGIC.len()).rposition(|window| window == MAGIC) {
            return Ok(Some(start + (at + MAGIC.len()) as u64));
        }
        if start == first {
            break;
        }
        // The magic may lie across the border.
        end = start + MAGIC.len() as u64 - 1;
    }
    Ok(None)
}

/// Why a footer cannot be used.
enum Flaw {
    Io(io::Error),
    NotATrace(String),
    Newer(u32),
    Damaged(String),
}

impl Flaw {
    fn into_error(self, path: &Path) -> Error {
        let path = path.into();
        match self {
            Flaw::Io(source) => Error::Io { path, source },
            Flaw::NotATrace(reason) => Error::NotATrace { path, reason },
            Flaw::Newer(found) => Error::Newer { path, found, known: FORMAT_VERSION },
            Flaw::Damaged(reason) => Error::Damaged { path, reason },
        }
    }
}

/// The footer that ends at `end`.
fn parse(file: &TraceFile, end: u64) -> Result<Footer, Flaw> {
    let Decoded { metadata, start, len } = decode(file, end)?;
    let manifest = manifest(&metadata)?;
    check_columns(&metadata)?;
    check_row_groups(&metadata, start)?;
    check_rows(&metadata, file.len())?;
    let own_tail = start + len;
    let is_own = || Ok(file.read(own_tail, TAIL_BYTES as usize)? == tail::tail(len));
    let end =
        if own_tail + TAIL_BYTES < end && is_own().map_err(Flaw::Io)? { own_tail + TAIL_BYTES } else { end };
    Ok(Footer { metadata, manifest, start, end })
}

/// The footer of a Parquet file that is no trace, looked at as far as that goes; or why it cannot be one.
pub(crate) fn of_other(file: &TraceFile) -> Result<ParquetMetaData, String> {
    let checked = decode(file, file.len()).and_then(|Decoded { metadata, start, .. }| {
        check_row_groups(&metadata, start)?;
        check_rows(&metadata, file.len())?;
        Ok(metadata)
    });
    checked.map_err(|flaw| match flaw {
        Flaw::Io(source) => source.to_string(),
        Flaw::NotATrace(reason) | Flaw::Damaged(reason) => reason,
        Flaw::Newer(format) => format!("it has format {format}"),
    })
}

/// Metadata that was read.
struct Decoded {
    metadata: ParquetMetaData,
    /// Where it begins in the file.
    start: u64,
    /// How long it is. It may stand farther before the end than that.
    len: u64,
}

/// The metadata of the footer that ends at `end`.
fn decode(file: &TraceFile, end: u64) -> Result<Decoded, Flaw> {
    let damaged = |reason: &str| Flaw::Damaged(reason.to_owned());
    let tail_at = end.checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it has no room for a footer"))?;
    let tail = file.read(tail_at, 4).map_err(Flaw::Io)?;
    let len = tail.iter().rev().fold(0, |len, &byte| len << 8 | u64::from(byte));
    let start = tail_at.checked_sub(len).filter(|&start| start >= MAGIC.len() as u64);
    let start = start.ok_or_else(|| damaged("its footer would begin before the file"))?;
    let bytes = file.read(start, len as usize).map_err(Flaw::Io)?;
    let len = check_lists(&bytes)
        .map_err(|_| damaged("its footer cannot be read: its lists are not what they say"))?;
    let metadata = attempt(|| ParquetMetaDataReader::decode_metadata(&bytes[..len]))
        .ok_or_else(|| damaged("its footer cannot be decoded"))?
        .map_err(|err| Flaw::Damaged(format!("its footer cannot be read: {err}")))?;
    Ok(Decoded { metadata, start, len: len as u64 })
}

/// That a footer holds what its lists claim, so that reading it takes no more memory than its bytes can mean. Gives its
/// length.
fn check_lists(footer: &[u8]) -> thrift::Result<usize> {
    let mut walk = Walk(footer);
    walk.fields(shapes::FOOTER, MAX_DEPTH, &mut |field, _, mut value| match field {
        ROW_GROUPS if value.list()?.0 > footer.len() / bounds::ROW_GROUP_FOOTER_BYTES => {
            Err(thrift::Flaw::Malformed)
        }
        _ => Ok(()),
    })?;
    Ok(footer.len() - walk.0.len())
}

/// That it claims no more rows than its bytes can mean.
fn check_rows(metadata: &ParquetMetaData, bytes: u64) -> Result<(), Flaw> {
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    let most = bounds::rows(bytes);
    if rows > most {
        return Err(Flaw::Damaged(format!("it claims {rows} rows, and {bytes} bytes hold {most} at most")));
    }
    Ok(())
}

/// The manifest of a trace that this crate can read.
fn manifest(metadata: &ParquetMetaData) -> Result<Manifest, Flaw> {
    /// What the manifest of any version has.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }

    let keys = metadata.file_metadata().key_value_metadata();
    let json = keys.and_then(|keys| keys.iter().find(|pair| pair.key == MANIFEST_KEY)?.value.as_deref());
    let json = json.ok_or_else(|| Flaw::NotATrace(format!("its footer has no `{MANIFEST_KEY}` entry")))?;
    let unlike = |err| Flaw::NotATrace(format!("its `{MANIFEST_KEY}` entry is not a manifest ({err})"));
    let Version { format } = serde_json::from_str(json).map_err(unlike)?;
    if format > FORMAT_VERSION {
        return Err(Flaw::Newer(format));
    }
    serde_json::from_str(json).map_err(|err| Flaw::Damaged(format!("its manifest cannot be read: {err}")))
}

/// That the columns are those of the format.
fn check_columns(metadata: &ParquetMetaData) -> Result<(), Flaw> {
    let (found, known) = (metadata.file_metadata().schema_descr(), &**PARQUET);
    if found.num_columns() != known.num_columns() {
        let (found, known) = (found.num_columns(), known.num_columns());
        return Err(Flaw::NotATrace(format!("it has {found} columns and not {known}")));
    }
    for (found, known) in found.columns().iter().zip(known.columns()) {
        let name = found.path().string();
        if name != known.path().string() {
            return Err(Flaw::NotATrace(format!("it has a column `{name}` in place of `{}`", known.path())));
        }
        let kind = |column: &parquet::schema::types::ColumnDescriptor| {
            (
                column.physical_type(),
                column.logical_type_ref().cloned(),
                column.max_def_level(),
                column.max_rep_level(),
            )
        };
        if kind(found) != kind(known) {
            return Err(Flaw::NotATrace(format!("its column `{name}` is not of the type that a trace has")));
        }
    }
    Ok(())
}

/// That every row group lies before the footer, which begins at `end`.
fn check_row_groups(metadata: &ParquetMetaData, end: u64) -> Result<(), Flaw> {
    let damaged = |group: usize, what: &str| Err(Flaw::Damaged(format!("its row group {group} {what}")));
    let mut rows = 0i64;
    for (at, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 {
            return damaged(at, "has a negative number of rows");
        }
        rows = rows.saturating_add(group.num_rows());
        for column in group.columns() {
            if column.num_values() != group.num_rows() {
                return damaged(at, "has columns of different lengths");
            }
            if !lies_before(column, end) {
                return damaged(at, "lies outside the file");
            }
        }
    }
    if rows != metadata.file_metadata().num_rows() {
        return Err(Flaw::Damaged("its row groups do not add up to its rows".to_owned()));
    }
    Ok(())
}

fn lies_before(column: &ColumnChunkMetaData, end: u64) -> bool {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (Ok(start), Ok(len)) = (u64::try_from(start), u64::try_from(column.compressed_size())) else {
        return false;
    };
    let data = u64::try_from(column.data_page_offset()).unwrap_or(u64::MAX);
    let whole = start.checked_add(len).is_some_and(|chunk_end| data <= chunk_end && chunk_end <= end);
    whole && start >= MAGIC.len() as u64 && start <= data && column.uncompressed_size() >= 0
}
