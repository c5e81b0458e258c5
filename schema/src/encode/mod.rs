//! Encodes rows as the bytes of a row group.
//!
//! ```text
//! rows ─▶ column ─▶ levels and values ─▶ page ─▶ column chunk ─▶ row group
//!                   RLE/bit-packing      zstd
//!                   dictionary
//!                   delta
//! ```

mod column;
mod delta;
mod dictionary;
pub(crate) mod fields;
pub(crate) mod page;
mod rle_bitpack;
pub(crate) mod row_group;
pub(crate) mod varint;
