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

use super::catch_panic::catch_panic;
use super::live_row_groups::{self, RowGroupSplit};
use super::trace_file::TraceFile;
use crate::error::{Error, Result};
use crate::format::columns::{ARROW, ARROW_SCHEMA_KEY, MANIFEST_KEY, PARQUET};
use crate::format::parquet_thrift::{self, ROW_GROUPS};
use crate::format::thrift::{self, CompactReader, MAX_NESTING};
use crate::format::{FOOTER_TAIL_BYTES, MAGIC, footer_tail};
use crate::limits;
use crate::model::{FORMAT_VERSION, Manifest};

/// How many checkpoints that were written over are looked at, which takes reading their row groups. Behind what is settled
/// there are a few; others that somebody has made up would take hours.
const MAX_OVERWRITTEN: u32 = 8;

/// How much of a file is searched at once for the last footer.
const SEARCH_BYTES: u64 = 1 << 20;

/// What a footer says beside its row groups.
pub(crate) fn key_values(manifest: &Manifest) -> io::Result<Vec<KeyValue>> {
    Ok(vec![
        KeyValue::new(MANIFEST_KEY.to_owned(), serde_json::to_string(manifest)?),
        KeyValue::new(ARROW_SCHEMA_KEY.to_owned(), encode_arrow_schema(&ARROW)),
    ])
}

/// A footer's metadata, without its length and the magic. What it says does not depend on where it stands.
pub(crate) fn encode(keys: Vec<KeyValue>, groups: Vec<RowGroupMetaData>) -> io::Result<Vec<u8>> {
    let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let writer = concat!("pyrec version ", env!("CARGO_PKG_VERSION")).to_owned();
    let file = FileMetaData::new(2, rows, Some(writer), Some(keys), PARQUET.clone(), None);
    let metadata = ParquetMetaData::new(file, groups);
    let mut out = Vec::new();
    ParquetMetaDataWriter::new(&mut out, &metadata).finish().map_err(io::Error::other)?;
    out.truncate(out.len() - FOOTER_TAIL_BYTES as usize);
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

impl Footer {
    /// The row groups, split into those that stay and those that the next checkpoint writes anew.
    pub(crate) fn row_groups(&self) -> RowGroupSplit<'_> {
        let live_count = self.manifest.live_row_groups;
        live_row_groups::split(self.metadata.row_groups(), live_count, self.start)
    }

    /// Whether no checkpoint has overwritten the live row groups since this footer was written.
    fn is_intact(&self, file: &TraceFile) -> bool {
        self.row_groups().live.iter().all(|group| live_row_groups::is_intact(file, group))
    }
}

/// The last whole footer of a file. A file that does not end in one was cut short, and holds what an earlier
/// one says; a file that ends in the footer of something else is something else.
pub(crate) fn find_last(file: &TraceFile, path: &Path) -> Result<Footer> {
    let io = |source| Error::Io { path: path.into(), source };
    let head = file.read(0, file.len().min(4) as usize).map_err(io)?;
    if head.is_empty() {
        return Err(Error::Empty { path: path.into() });
    }
    if !MAGIC.starts_with(&head) {
        return Err(Error::NotParquet { path: path.into() });
    }
    let (mut end, mut overwritten) = (file.len(), 0);
    while let Some(found) = last_magic(file, end).map_err(io)? {
        match parse(file, found) {
            Ok(footer) if found == file.len() || footer.is_intact(file) => return Ok(footer),
            Err(FooterError::Io(source)) => return Err(io(source)),
            Err(error) if found == file.len() => return Err(error.into_error(path)),
            Err(FooterError::Newer(found)) => return Err(FooterError::Newer(found).into_error(path)),
            Ok(_) if overwritten == MAX_OVERWRITTEN => break,
            Ok(_) => (end, overwritten) = (found - 1, overwritten + 1),
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
    while end >= first + FOOTER_TAIL_BYTES {
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
enum FooterError {
    Io(io::Error),
    NotATrace(String),
    Newer(u32),
    Damaged(String),
}

impl FooterError {
    fn into_error(self, path: &Path) -> Error {
        let path = path.into();
        match self {
            FooterError::Io(source) => Error::Io { path, source },
            FooterError::NotATrace(reason) => Error::NotATrace { path, reason },
            FooterError::Newer(found) => Error::Newer { path, found, known: FORMAT_VERSION },
            FooterError::Damaged(reason) => Error::Damaged { path, reason },
        }
    }
}

/// The footer that ends at `end`.
fn parse(file: &TraceFile, end: u64) -> Result<Footer, FooterError> {
    let Metadata { metadata, start, len } = decode(file, end)?;
    let manifest = manifest(&metadata)?;
    check_columns(&metadata)?;
    check_row_groups(&metadata, start)?;
    check_rows(&metadata, file.len())?;
    let own_tail = start + len;
    let is_own = || Ok(file.read(own_tail, FOOTER_TAIL_BYTES as usize)? == footer_tail(len));
    let end = if own_tail + FOOTER_TAIL_BYTES < end && is_own().map_err(FooterError::Io)? {
        own_tail + FOOTER_TAIL_BYTES
    } else {
        end
    };
    Ok(Footer { metadata, manifest, start, end })
}

/// The footer of a Parquet file that is no trace, looked at as far as that goes; or why it cannot be one.
pub(crate) fn read_plain(file: &TraceFile) -> Result<ParquetMetaData, String> {
    let checked = decode(file, file.len()).and_then(|Metadata { metadata, start, .. }| {
        check_row_groups(&metadata, start)?;
        check_rows(&metadata, file.len())?;
        Ok(metadata)
    });
    checked.map_err(|error| match error {
        FooterError::Io(source) => source.to_string(),
        FooterError::NotATrace(reason) | FooterError::Damaged(reason) => reason,
        FooterError::Newer(format) => format!("it has format {format}"),
    })
}

/// Metadata that was read.
struct Metadata {
    metadata: ParquetMetaData,
    /// Where it begins in the file.
    start: u64,
    /// How long it is. It may stand farther before the end than that.
    len: u64,
}

/// The metadata of the footer that ends at `end`.
fn decode(file: &TraceFile, end: u64) -> Result<Metadata, FooterError> {
    let damaged = |reason: &str| FooterError::Damaged(reason.to_owned());
    let tail_at = end.checked_sub(FOOTER_TAIL_BYTES).ok_or_else(|| damaged("it has no room for a footer"))?;
    let tail = file.read(tail_at, 4).map_err(FooterError::Io)?;
    let len = tail.iter().rev().fold(0, |len, &byte| len << 8 | u64::from(byte));
    let start = tail_at.checked_sub(len).filter(|&start| start >= MAGIC.len() as u64);
    let start = start.ok_or_else(|| damaged("its footer would begin before the file"))?;
    let bytes = file.read(start, len as usize).map_err(FooterError::Io)?;
    let len = check_lists(&bytes)
        .map_err(|_| damaged("its footer cannot be read: its lists are not what they say"))?;
    let metadata = catch_panic(|| ParquetMetaDataReader::decode_metadata(&bytes[..len]))
        .ok_or_else(|| damaged("its footer cannot be decoded"))?
        .map_err(|err| FooterError::Damaged(format!("its footer cannot be read: {err}")))?;
    Ok(Metadata { metadata, start, len: len as u64 })
}

/// That a footer holds what its lists claim, so that reading it takes no more memory than its bytes can mean. Gives its
/// length.
fn check_lists(footer: &[u8]) -> thrift::Result<usize> {
    let mut reader = CompactReader(footer);
    reader.fields(parquet_thrift::FOOTER, MAX_NESTING, &mut |field, _, mut value| match field {
        ROW_GROUPS if value.list()?.0 > footer.len() / limits::ROW_GROUP_FOOTER_BYTES => {
            Err(thrift::ThriftError::Malformed)
        }
        _ => Ok(()),
    })?;
    Ok(footer.len() - reader.0.len())
}

/// That it claims no more rows than its bytes can mean.
fn check_rows(metadata: &ParquetMetaData, bytes: u64) -> Result<(), FooterError> {
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    let most = limits::rows(bytes);
    if rows > most {
        return Err(FooterError::Damaged(format!(
            "it claims {rows} rows, and {bytes} bytes hold {most} at most"
        )));
    }
    Ok(())
}

/// The manifest of a trace that this crate can read.
fn manifest(metadata: &ParquetMetaData) -> Result<Manifest, FooterError> {
    /// What the manifest of any version has.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }

    let keys = metadata.file_metadata().key_value_metadata();
    let json = keys.and_then(|keys| keys.iter().find(|pair| pair.key == MANIFEST_KEY)?.value.as_deref());
    let json =
        json.ok_or_else(|| FooterError::NotATrace(format!("its footer has no `{MANIFEST_KEY}` entry")))?;
    let unlike =
        |err| FooterError::NotATrace(format!("its `{MANIFEST_KEY}` entry is not a manifest ({err})"));
    let Version { format } = serde_json::from_str(json).map_err(unlike)?;
    if format > FORMAT_VERSION {
        return Err(FooterError::Newer(format));
    }
    serde_json::from_str(json)
        .map_err(|err| FooterError::Damaged(format!("its manifest cannot be read: {err}")))
}

/// That the columns are those of the format.
fn check_columns(metadata: &ParquetMetaData) -> Result<(), FooterError> {
    let (found, known) = (metadata.file_metadata().schema_descr(), &**PARQUET);
    if found.num_columns() != known.num_columns() {
        let (found, known) = (found.num_columns(), known.num_columns());
        return Err(FooterError::NotATrace(format!("it has {found} columns and not {known}")));
    }
    for (found, known) in found.columns().iter().zip(known.columns()) {
        let name = found.path().string();
        if name != known.path().string() {
            return Err(FooterError::NotATrace(format!(
                "it has a column `{name}` in place of `{}`",
                known.path()
            )));
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
            return Err(FooterError::NotATrace(format!(
                "its column `{name}` is not of the type that a trace has"
            )));
        }
    }
    Ok(())
}

/// That every row group lies before the footer, which begins at `end`.
fn check_row_groups(metadata: &ParquetMetaData, end: u64) -> Result<(), FooterError> {
    let damaged =
        |group: usize, what: &str| Err(FooterError::Damaged(format!("its row group {group} {what}")));
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
        return Err(FooterError::Damaged("its row groups do not add up to its rows".to_owned()));
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
