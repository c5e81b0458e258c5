//! How much a trace may claim: what reading one costs is bounded by its bytes, whatever they say. `docs/format.md` has
//! the same numbers for people.
//!
//! A recording of real time takes about three bytes a row, since its times are those of a real clock, and its strings
//! are compressed to a tenth. What is far beyond that was made to cost whoever reads it.

/// Rows that a trace may have whatever its length …
const ROWS: u64 = 1 << 20;

/// … and for each of its bytes.
const ROWS_PER_BYTE: u64 = 16;

/// What the strings of a trace may take in memory whatever its length …
pub(crate) const STRING_BYTES: u64 = 1 << 26;

/// … and for each of its bytes.
const STRING_BYTES_PER_BYTE: u64 = 64;

/// What an uncompressed page may take at most …
const PAGE_BYTES: u64 = 1 << 26;

/// … and what it may take whatever its length in the file …
const SMALL_PAGE_BYTES: u64 = 1 << 24;

/// … and for each of its bytes there.
const PAGE_BYTES_PER_BYTE: u64 = 256;

/// The bytes that a row group takes in a footer at least: with eight columns they are several times as many.
pub(crate) const ROW_GROUP_FOOTER_BYTES: usize = 128;

/// A longer page header is none: its statistics are the ends of a column's values, which are short here.
pub(crate) const PAGE_HEADER_BYTES: usize = 1 << 16;

/// Rows that a trace of that length may have.
pub(crate) fn rows(bytes: u64) -> u64 {
    ROWS.saturating_add(bytes.saturating_mul(ROWS_PER_BYTE))
}

/// What the strings of a trace of that length may take beyond [`STRING_BYTES`].
pub(crate) fn string_bytes(bytes: u64) -> u64 {
    bytes.saturating_mul(STRING_BYTES_PER_BYTE)
}

/// What a page may take that has that length in the file.
pub(crate) fn page_bytes(bytes: u64) -> u64 {
    SMALL_PAGE_BYTES.saturating_add(bytes.saturating_mul(PAGE_BYTES_PER_BYTE)).min(PAGE_BYTES)
}
