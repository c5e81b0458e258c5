//! Footers. Every checkpoint has one, and the last complete one lists the contents of the file.
//!
//! ```text
//! … row groups │ metadata │ footer tail
//! … row groups │ metadata │ ····· │ footer tail    a growing file: readers skip the gap
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
use crate::format::columns::{ARROW_SCHEMA, ARROW_SCHEMA_KEY, MANIFEST_KEY, PARQUET_SCHEMA};
use crate::format::parquet_thrift::{self, ROW_GROUPS};
use crate::format::thrift::{self, CompactReader, MAX_NESTING};
use crate::format::{FOOTER_TAIL_BYTES, MAGIC, footer_tail};
use crate::limits;
use crate::model::{FORMAT_VERSION, Manifest};

/// The maximum number of footers that may be found to be overwritten checkpoints before the search
/// stops. Checking one means reading its live row groups. A truncated trace has a few such footers,
/// but a crafted file could have so many that the search would take hours.
const MAX_OVERWRITTEN: u32 = 8;

/// The size of the blocks in which a file is searched for the last footer.
const SEARCH_BYTES: u64 = 1 << 20;

/// The key-value metadata of a footer: the manifest, and the Arrow schema.
pub(crate) fn key_values(manifest: &Manifest) -> io::Result<Vec<KeyValue>> {
    Ok(vec![
        KeyValue::new(MANIFEST_KEY.to_owned(), serde_json::to_string(manifest)?),
        KeyValue::new(ARROW_SCHEMA_KEY.to_owned(), encode_arrow_schema(&ARROW_SCHEMA)),
    ])
}

/// Encodes a footer's metadata, without the footer tail. It does not depend on its own position in
/// the file.
pub(crate) fn encode_metadata(
    key_values: Vec<KeyValue>,
    groups: Vec<RowGroupMetaData>,
) -> io::Result<Vec<u8>> {
    let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let writer = concat!("pyrec version ", env!("CARGO_PKG_VERSION")).to_owned();
    let file = FileMetaData::new(2, rows, Some(writer), Some(key_values), PARQUET_SCHEMA.clone(), None);
    let metadata = ParquetMetaData::new(file, groups);
    let mut out = Vec::new();
    ParquetMetaDataWriter::new(&mut out, &metadata).finish().map_err(io::Error::other)?;
    out.truncate(out.len() - FOOTER_TAIL_BYTES as usize);
    Ok(out)
}

/// A parsed footer.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) metadata: ParquetMetaData,
    pub(crate) manifest: Manifest,
    /// Where its metadata begins in the file.
    pub(crate) start: u64,
    /// Where it ends: after its own footer tail if one follows the metadata directly, else after
    /// the footer tail through which it was found.
    pub(crate) end: u64,
}

impl Footer {
    /// The row groups, split into settled and live ones.
    pub(crate) fn row_groups(&self) -> RowGroupSplit<'_> {
        let live_count = self.manifest.live_row_groups;
        live_row_groups::split(self.metadata.row_groups(), live_count, self.start)
    }

    /// Whether no checkpoint has overwritten the live row groups since this footer was written.
    fn is_intact(&self, file: &TraceFile) -> bool {
        self.row_groups().live.iter().all(|group| live_row_groups::is_intact(file, group))
    }
}

/// Finds the last complete footer of a file.
///
/// A file that does not end with a footer was truncated, or its recorder was killed while writing
/// it. Then the file is searched backwards for an earlier footer whose row groups are intact. If
/// the file ends with the footer of another kind of Parquet file, it is not a trace, and is not
/// searched.
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
            // The bytes of the magic occur in a page.
            Err(_) => end = found - 1,
        }
    }
    Err(Error::Cut { path: path.into() })
}

/// Finds the last magic that ends at `end` or before, except for the one at the beginning of the
/// file. Returns the position of its end.
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
        // The magic may span the boundary between two blocks.
        end = start + MAGIC.len() as u64 - 1;
    }
    Ok(None)
}

/// Why a footer is invalid.
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

/// Parses and checks the footer whose tail ends at `end`.
fn parse(file: &TraceFile, end: u64) -> Result<Footer, FooterError> {
    let DecodedMetadata { metadata, start, len } = decode(file, end)?;
    let manifest = manifest(&metadata)?;
    check_columns(&metadata)?;
    check_row_groups(&metadata, start)?;
    check_rows(&metadata, file.len())?;
    let metadata_end = start + len;
    let own_end = metadata_end + FOOTER_TAIL_BYTES;
    let has_own_tail = || Ok(file.read(metadata_end, FOOTER_TAIL_BYTES as usize)? == footer_tail(len));
    let end = if own_end < end && has_own_tail().map_err(FooterError::Io)? { own_end } else { end };
    Ok(Footer { metadata, manifest, start, end })
}

/// Reads the footer of a Parquet file that is not a trace. Checks it like a trace's, except for the
/// columns and the manifest. Returns the reason if it is invalid.
pub(crate) fn read_any(file: &TraceFile) -> Result<ParquetMetaData, String> {
    let checked = decode(file, file.len()).and_then(|DecodedMetadata { metadata, start, .. }| {
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

/// The metadata of a footer before it is checked.
struct DecodedMetadata {
    metadata: ParquetMetaData,
    /// Where it begins in the file.
    start: u64,
    /// Its length, which is at most the distance in the footer tail.
    len: u64,
}

/// Decodes the metadata of the footer whose tail ends at `end`.
fn decode(file: &TraceFile, end: u64) -> Result<DecodedMetadata, FooterError> {
    let damaged = |reason: &str| FooterError::Damaged(reason.to_owned());
    let tail_at =
        end.checked_sub(FOOTER_TAIL_BYTES).ok_or_else(|| damaged("it is too short for a footer"))?;
    let tail = file.read(tail_at, 4).map_err(FooterError::Io)?;
    let distance = tail.iter().rev().fold(0, |distance, &byte| distance << 8 | u64::from(byte));
    let start = tail_at.checked_sub(distance).filter(|&start| start >= MAGIC.len() as u64);
    let start = start.ok_or_else(|| damaged("its footer would begin before the file does"))?;
    let bytes = file.read(start, distance as usize).map_err(FooterError::Io)?;
    let len = check_thrift(&bytes)
        .map_err(|_| damaged("its footer cannot be read: it is malformed Thrift, or a list exceeds it"))?;
    let metadata = catch_panic(|| ParquetMetaDataReader::decode_metadata(&bytes[..len]))
        .ok_or_else(|| damaged("its footer cannot be decoded"))?
        .map_err(|err| FooterError::Damaged(format!("its footer cannot be read: {err}")))?;
    Ok(DecodedMetadata { metadata, start, len: len as u64 })
}

/// Checks that a footer's metadata is well-formed, and that its lists contain as many items as they
/// claim, so that decoding it takes memory in proportion to its length. Returns the length of the
/// metadata.
fn check_thrift(footer: &[u8]) -> thrift::Result<usize> {
    let mut reader = CompactReader(footer);
    reader.read_struct(parquet_thrift::FOOTER, MAX_NESTING, &mut |field, _, mut value| match field {
        ROW_GROUPS if value.list_header()?.0 > footer.len() / limits::MIN_ROW_GROUP_FOOTER_BYTES => {
            Err(thrift::ThriftError::Malformed)
        }
        _ => Ok(()),
    })?;
    Ok(footer.len() - reader.0.len())
}

/// Checks that the number of rows is within the limit for a file of this length.
fn check_rows(metadata: &ParquetMetaData, bytes: u64) -> Result<(), FooterError> {
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    let most = limits::max_rows(bytes);
    if rows > most {
        return Err(FooterError::Damaged(format!(
            "it claims {rows} rows, and {bytes} bytes hold {most} at most"
        )));
    }
    Ok(())
}

/// Parses the manifest.
fn manifest(metadata: &ParquetMetaData) -> Result<Manifest, FooterError> {
    /// The part of the manifest that is the same in all format versions.
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

/// Checks that the columns are those of the trace format.
fn check_columns(metadata: &ParquetMetaData) -> Result<(), FooterError> {
    let (found, known) = (metadata.file_metadata().schema_descr(), &**PARQUET_SCHEMA);
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

/// Checks that the row groups lie before the footer, which begins at `end`, and that their numbers
/// of rows are consistent.
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
