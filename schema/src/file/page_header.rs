//! The pages of a column, before Parquet's reader sees them: that their headers can be true.

use std::io;

use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use super::trace_file::TraceFile;
use crate::format::parquet_thrift::{self, page};
use crate::format::thrift::{self, CompactReader, MAX_NESTING, ThriftError};
use crate::limits;

/// How much of a header is read at once; nearly all are shorter.
const HEADER_BYTES: usize = 128;

/// Why a column cannot be read.
#[derive(Debug)]
pub(crate) enum PageError {
    Io(io::Error),
    Damaged(&'static str),
}

/// What a page's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageHeader {
    /// Of the header itself.
    len: usize,
    compressed_len: u64,
    uncompressed_len: u64,
    kind: PageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageKind {
    Data { values: u64 },
    Dictionary { values: u64 },
}

/// Walks over the pages of a column of `rows` rows: that each lies in the column, takes no more memory than its bytes can
/// mean, and that they hold that many rows.
pub(crate) fn check(file: &TraceFile, chunk: &ColumnChunkMetaData, rows: u64) -> Result<(), PageError> {
    let (mut at, len) = chunk.byte_range();
    let end = at.saturating_add(len);
    let (mut values_left, mut is_first) = (rows, true);
    while at < end {
        let header = read(file, at, end)?;
        let data_at = at + header.len as u64;
        at = data_at.checked_add(header.compressed_len).filter(|&at| at <= end).ok_or(OUTSIDE)?;
        if header.uncompressed_len > limits::page_bytes(header.compressed_len) {
            return Err(PageError::Damaged("a page of it claims to be longer than its bytes can mean"));
        }
        match header.kind {
            // A value takes four bytes at least: an integer, or the length of a string.
            PageKind::Dictionary { values } if !is_first || values > header.uncompressed_len / 4 => {
                return Err(PageError::Damaged("a dictionary of it cannot be where or what it is"));
            }
            PageKind::Dictionary { .. } => {}
            PageKind::Data { values } => {
                values_left = values_left.checked_sub(values).ok_or(OTHER_ROWS)?;
            }
        }
        is_first = false;
    }
    if values_left == 0 { Ok(()) } else { Err(OTHER_ROWS) }
}

const OUTSIDE: PageError = PageError::Damaged("a page of it ends outside its column");
const OTHER_ROWS: PageError =
    PageError::Damaged("the pages of a column do not hold the rows of their row group");

/// The header at that place of a column that ends there.
fn read(file: &TraceFile, at: u64, end: u64) -> Result<PageHeader, PageError> {
    let room = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    for len in [HEADER_BYTES, limits::PAGE_HEADER_BYTES].map(|len| len.min(room)) {
        let bytes = file.read(at, len).map_err(PageError::Io)?;
        match parse(&bytes) {
            Ok(header) => return Ok(header),
            Err(ThriftError::Truncated) if len < room => {}
            Err(ThriftError::Truncated) => return Err(OUTSIDE),
            Err(ThriftError::Malformed) => break,
        }
    }
    Err(PageError::Damaged("a page of it has no header that a trace has"))
}

fn parse(bytes: &[u8]) -> thrift::Result<PageHeader> {
    let mut reader = CompactReader(bytes);
    let (mut number, mut lens) = (None, [None; 2]);
    // In the order of the kinds' numbers; that of an index page is 1.
    let mut kinds = [None; 4];
    reader.fields(parquet_thrift::PAGE, MAX_NESTING, &mut |field, integer, value| {
        match field {
            page::KIND => number = integer,
            page::UNCOMPRESSED => lens[0] = integer,
            page::COMPRESSED => lens[1] = integer,
            page::DATA => kinds[0] = Some(data(value)?),
            page::DICTIONARY => kinds[2] = Some(dictionary(value)?),
            page::DATA_V2 => kinds[3] = Some(data_v2(value)?),
            _ => {}
        }
        Ok(())
    })?;
    let [uncompressed_len, compressed_len] = lens.map(length);
    let (uncompressed_len, compressed_len) = (uncompressed_len?, compressed_len?);
    let kind =
        usize::try_from(number.ok_or(ThriftError::Malformed)?).ok().and_then(|kind| *kinds.get(kind)?);
    let (kind, levels_len) = kind.ok_or(ThriftError::Malformed)?;
    if levels_len > compressed_len.min(uncompressed_len) {
        return Err(ThriftError::Malformed);
    }
    Ok(PageHeader { len: bytes.len() - reader.0.len(), compressed_len, uncompressed_len, kind })
}

/// What of a page it is, and how long the levels are that stand uncompressed before the values.
type KindAndLevels = (PageKind, u64);

fn data(mut value: CompactReader) -> thrift::Result<KindAndLevels> {
    let [values, encoding] = numbers(&mut value, parquet_thrift::DATA_PAGE, [page::VALUES, page::ENCODING])?;
    if is_allowed(encoding) { Ok((PageKind::Data { values }, 0)) } else { Err(ThriftError::Malformed) }
}

fn dictionary(mut value: CompactReader) -> thrift::Result<KindAndLevels> {
    let [values] = numbers(&mut value, parquet_thrift::DICTIONARY_PAGE, [page::VALUES])?;
    Ok((PageKind::Dictionary { values }, 0))
}

fn data_v2(mut value: CompactReader) -> thrift::Result<KindAndLevels> {
    let [first, second] = page::V2_LEVELS;
    let fields = [page::VALUES, page::V2_ENCODING, page::V2_NULLS, page::V2_ROWS, first, second];
    let [values, encoding, nulls, rows, definitions, repetitions] =
        numbers(&mut value, parquet_thrift::DATA_PAGE_V2, fields)?;
    // Our columns hold one value a row, or none.
    if rows != values || nulls > values || !is_allowed(encoding) {
        Err(ThriftError::Malformed)
    } else {
        Ok((PageKind::Data { values }, definitions + repetitions))
    }
}

/// Whether values that are encoded in that way take memory by their bytes. The lengths of strings that stand in a column
/// of their own (DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY) do by a number before them, and no trace has them.
fn is_allowed(encoding: u64) -> bool {
    let bounded = [
        Encoding::PLAIN,
        Encoding::PLAIN_DICTIONARY,
        Encoding::RLE,
        Encoding::DELTA_BINARY_PACKED,
        Encoding::RLE_DICTIONARY,
        Encoding::BYTE_STREAM_SPLIT,
    ];
    bounded.iter().any(|&known| known as u64 == encoding)
}

/// Lengths and counts of a struct, by the numbers of their fields.
fn numbers<const N: usize>(
    value: &mut CompactReader,
    shape: thrift::StructType,
    wanted: [i16; N],
) -> thrift::Result<[u64; N]> {
    let mut found = [None; N];
    value.fields(shape, MAX_NESTING, &mut |field, integer, _| {
        if let Some(at) = wanted.iter().position(|&wanted| wanted == field) {
            found[at] = integer;
        }
        Ok(())
    })?;
    let mut numbers = [0; N];
    for (number, found) in numbers.iter_mut().zip(found) {
        *number = length(found)?;
    }
    Ok(numbers)
}

/// What is told in 32 bits, and cannot be negative.
fn length(integer: Option<i64>) -> thrift::Result<u64> {
    let integer = integer.and_then(|integer| i32::try_from(integer).ok());
    integer.and_then(|integer| u64::try_from(integer).ok()).ok_or(ThriftError::Malformed)
}
