//! From rows to the bytes of a row group.
//!
//! ```text
//! rows ──▶ column ──▶ values ──▶ page ──▶ column chunk ──▶ row group
//!                     delta,     zstd
//!                     dictionary,
//!                     RLE/bit-packing
//! ```

mod column;
mod delta;
mod dictionary;
pub(crate) mod fields;
pub(crate) mod page;
mod rle_bitpack;
pub(crate) mod row_group;
