//! Definitions of the trace format: its columns, Parquet's magic number and footer tail, and
//! Parquet's Thrift structs.

pub(crate) mod columns;
pub(crate) mod parquet_thrift;
pub(crate) mod thrift;

/// The first and the last four bytes of a Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// Length of the footer tail, which ends a Parquet file: the distance from the tail back to the
/// footer's metadata (`u32`, little-endian), and the magic.
pub(crate) const FOOTER_TAIL_BYTES: u64 = 8;

/// The footer tail of a file whose metadata begins `distance` bytes before the tail. In other
/// Parquet files that is the length of the metadata. In a growing trace there may be other bytes
/// between metadata and tail, which readers skip, since Thrift metadata delimits itself.
pub(crate) fn footer_tail(distance: u64) -> [u8; FOOTER_TAIL_BYTES as usize] {
    let mut tail = [0; FOOTER_TAIL_BYTES as usize];
    tail[..4].copy_from_slice(&(distance as u32).to_le_bytes());
    tail[4..].copy_from_slice(MAGIC);
    tail
}
