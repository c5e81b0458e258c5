//! Constants of the trace format: the columns, Parquet's magic, and Parquet's Thrift structs.

pub(crate) mod columns;
pub(crate) mod parquet_thrift;
pub(crate) mod thrift;

/// The first and the last four bytes of a Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// Length of the footer tail, the last bytes of a Parquet file: the distance from there back to the
/// footer's metadata (`u32`, little-endian) and the magic.
pub(crate) const FOOTER_TAIL_BYTES: u64 = 8;

/// The footer tail of a file whose metadata begins `distance` bytes before it. In most Parquet files
/// that is the metadata's length. In a growing trace the metadata may lie further away.
pub(crate) fn footer_tail(distance: u64) -> [u8; FOOTER_TAIL_BYTES as usize] {
    let mut tail = [0; FOOTER_TAIL_BYTES as usize];
    tail[..4].copy_from_slice(&(distance as u32).to_le_bytes());
    tail[4..].copy_from_slice(MAGIC);
    tail
}
