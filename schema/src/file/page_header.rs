//! Checks the page headers of a column before the `parquet` crate reads the pages.

use std::io;

use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use super::trace_file::TraceFile;
use crate::format::parquet_thrift::{self, page};
use crate::format::thrift::{self, CompactReader, MAX_NESTING, ThriftError};
use crate::limits;

/// The first attempt to read a header reads this much. Nearly all headers are shorter.
const HEADER_BYTES: usize = 128;

/// Why the pages of a column cannot be read.
#[derive(Debug)]
pub(crate) enum PageError {
    Io(io::Error),
    Damaged(&'static str),
}

/// The checked fields of a page header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageHeader {
    /// The length of the header itself.
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

/// Checks the pages of a column chunk: that each lies within the chunk, that its uncompressed
/// length is within the limit for its compressed length, and that together they contain `rows`
/// rows.
pub(crate) fn check(file: &TraceFile, chunk: &ColumnChunkMetaData, rows: u64) -> Result<(), PageError> {
    let (mut at, len) = chunk.byte_range();
    let end = at.saturating_add(len);
    let (mut values_left, mut is_first) = (rows, true);
    while at < end {
        let header = read(file, at, end)?;
        let data_at = at + header.len as u64;
        at = data_at.checked_add(header.compressed_len).filter(|&at| at <= end).ok_or(OUTSIDE)?;
        if header.uncompressed_len > limits::max_page_bytes(header.compressed_len) {
            return Err(PageError::Damaged(
                "the uncompressed length of a page exceeds the limit for its bytes",
            ));
        }
        match header.kind {
            // A value takes four bytes at least: an integer, or the length of a string.
            PageKind::Dictionary { values } if !is_first || values > header.uncompressed_len / 4 => {
                return Err(PageError::Damaged(
                    "a dictionary page is not the first of its column, or has fewer values than it claims",
                ));
            }
            PageKind::Dictionary { .. } => {}
            PageKind::Data { values } => {
                values_left = values_left.checked_sub(values).ok_or(WRONG_ROW_COUNT)?;
            }
        }
        is_first = false;
    }
    if values_left == 0 { Ok(()) } else { Err(WRONG_ROW_COUNT) }
}

const OUTSIDE: PageError = PageError::Damaged("a page ends outside its column");
const WRONG_ROW_COUNT: PageError =
    PageError::Damaged("the pages of a column do not contain the rows of their row group");

/// Reads the header at `at` in a column chunk that ends at `end`.
fn read(file: &TraceFile, at: u64, end: u64) -> Result<PageHeader, PageError> {
    let available = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    for len in [HEADER_BYTES, limits::MAX_PAGE_HEADER_BYTES].map(|len| len.min(available)) {
        let bytes = file.read(at, len).map_err(PageError::Io)?;
        match parse(&bytes) {
            Ok(header) => return Ok(header),
            Err(ThriftError::Truncated) if len < available => {}
            Err(ThriftError::Truncated) => return Err(OUTSIDE),
            Err(ThriftError::Malformed) => break,
        }
    }
    Err(PageError::Damaged("the header of a page is malformed, or of a kind that a trace does not contain"))
}

fn parse(bytes: &[u8]) -> thrift::Result<PageHeader> {
    let mut reader = CompactReader(bytes);
    let (mut page_type, mut lens) = (None, [None; 2]);
    // Indexed by `PageType`. Index 1 is that of index pages, which traces do not contain.
    let mut kinds = [None; 4];
    reader.read_struct(parquet_thrift::PAGE, MAX_NESTING, &mut |field, integer, value| {
        match field {
            page::TYPE => page_type = integer,
            page::UNCOMPRESSED_SIZE => lens[0] = integer,
            page::COMPRESSED_SIZE => lens[1] = integer,
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
        usize::try_from(page_type.ok_or(ThriftError::Malformed)?).ok().and_then(|kind| *kinds.get(kind)?);
    let (kind, levels_len) = kind.ok_or(ThriftError::Malformed)?;
    if levels_len > compressed_len.min(uncompressed_len) {
        return Err(ThriftError::Malformed);
    }
    Ok(PageHeader { len: bytes.len() - reader.0.len(), compressed_len, uncompressed_len, kind })
}

/// The kind of a page, and the length of the uncompressed levels that precede its values.
type KindAndLevels = (PageKind, u64);

fn data(mut value: CompactReader) -> thrift::Result<KindAndLevels> {
    let [values, encoding] =
        numbers(&mut value, parquet_thrift::DATA_PAGE, [page::NUM_VALUES, page::ENCODING])?;
    if is_allowed(encoding) { Ok((PageKind::Data { values }, 0)) } else { Err(ThriftError::Malformed) }
}

fn dictionary(mut value: CompactReader) -> thrift::Result<KindAndLevels> {
    let [values] = numbers(&mut value, parquet_thrift::DICTIONARY_PAGE, [page::NUM_VALUES])?;
    Ok((PageKind::Dictionary { values }, 0))
}

fn data_v2(mut value: CompactReader) -> thrift::Result<KindAndLevels> {
    let [first, second] = page::V2_LEVELS_SIZES;
    let fields = [page::NUM_VALUES, page::V2_ENCODING, page::V2_NUM_NULLS, page::V2_NUM_ROWS, first, second];
    let [values, encoding, nulls, rows, definitions, repetitions] =
        numbers(&mut value, parquet_thrift::DATA_PAGE_V2, fields)?;
    // A column of a trace has one value or none in each row, so rows are values, nulls included.
    if rows != values || nulls > values || !is_allowed(encoding) {
        Err(ThriftError::Malformed)
    } else {
        Ok((PageKind::Data { values }, definitions + repetitions))
    }
}

/// Whether decoding values of this encoding takes memory in proportion to their length. This is not
/// so for DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY, which begin with a claimed number of
/// strings. No trace contains them.
fn is_allowed(encoding: u64) -> bool {
    let allowed = [
        Encoding::PLAIN,
        Encoding::PLAIN_DICTIONARY,
        Encoding::RLE,
        Encoding::DELTA_BINARY_PACKED,
        Encoding::RLE_DICTIONARY,
        Encoding::BYTE_STREAM_SPLIT,
    ];
    allowed.iter().any(|&known| known as u64 == encoding)
}

/// Reads non-negative `i32` fields of a struct, by their numbers.
fn numbers<const N: usize>(
    value: &mut CompactReader,
    fields: thrift::StructType,
    wanted: [i16; N],
) -> thrift::Result<[u64; N]> {
    let mut found = [None; N];
    value.read_struct(fields, MAX_NESTING, &mut |field, integer, _| {
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

/// A length or count, which is a non-negative `i32`.
fn length(integer: Option<i64>) -> thrift::Result<u64> {
    let integer = integer.and_then(|integer| i32::try_from(integer).ok());
    integer.and_then(|integer| u64::try_from(integer).ok()).ok_or(ThriftError::Malformed)
}
