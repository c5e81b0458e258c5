//! Limits on what a file may claim to contain. The time and the memory that reading takes are
//! bounded by the file's length, whatever its contents. `docs/design/trust.md` lists all of them.
//!
//! A real recording takes about three bytes a row, since its times come from a clock, and zstd
//! compresses its strings to about a tenth. The limits are far beyond that, so only a file that was
//! crafted to exhaust its reader exceeds them.

/// Rows that a file of any length may have.
const BASE_ROWS: u64 = 1 << 20;

/// Additional rows for each byte of the file.
const ROWS_PER_BYTE: u64 = 16;

/// Bytes of memory that the strings of a trace of any length may take.
pub(crate) const BASE_STRING_BYTES: u64 = 1 << 26;

/// Additional bytes of memory for strings, for each byte of the file.
const STRING_BYTES_PER_BYTE: u64 = 64;

/// The maximum uncompressed length of a page.
const MAX_PAGE_BYTES: u64 = 1 << 26;

/// The uncompressed length that a page of any compressed length may have.
const BASE_PAGE_BYTES: u64 = 1 << 24;

/// Additional uncompressed bytes for each compressed byte of the page.
const PAGE_BYTES_PER_BYTE: u64 = 256;

/// The minimum length of a row group's entry in a footer. With eight columns it is several times as
/// long.
pub(crate) const MIN_ROW_GROUP_FOOTER_BYTES: usize = 128;

/// The maximum length of a page header. Its statistics hold two values of the column, which are
/// short.
pub(crate) const MAX_PAGE_HEADER_BYTES: usize = 1 << 16;

/// The maximum number of rows in a file of `file_bytes`.
pub(crate) fn max_rows(file_bytes: u64) -> u64 {
    BASE_ROWS.saturating_add(file_bytes.saturating_mul(ROWS_PER_BYTE))
}

/// The memory that the strings of a file of `file_bytes` may take in addition to
/// [`BASE_STRING_BYTES`].
pub(crate) fn added_string_bytes(file_bytes: u64) -> u64 {
    file_bytes.saturating_mul(STRING_BYTES_PER_BYTE)
}

/// The maximum uncompressed length of a page of `compressed_bytes`.
pub(crate) fn max_page_bytes(compressed_bytes: u64) -> u64 {
    BASE_PAGE_BYTES.saturating_add(compressed_bytes.saturating_mul(PAGE_BYTES_PER_BYTE)).min(MAX_PAGE_BYTES)
}
