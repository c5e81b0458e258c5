//! Parquet's hybrid of run-length encoding and bit-packing, for dictionary indices and definition
//! levels.
//!
//! Bit widths are powers of two. Then a value never spans two bytes, so that repetitions in the
//! rows are repetitions of bytes, which zstd compresses, and packing is a simple loop.

use super::varint::put_varint;

/// The bit width for integers up to `max`, rounded up to a power of two.
pub(crate) fn width(max: u32) -> u32 {
    (u32::BITS - max.leading_zeros()).max(1).next_power_of_two()
}

/// Appends `values`, each below 2^`width`: as one run if all are equal, else as one bit-packed run.
pub(crate) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    if values.iter().all(|&value| value == first) {
        put_varint((values.len() as u64) << 1, out);
        out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
    } else {
        // The header counts groups of eight values. The padding of the last group is ignored.
        put_varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
        pack(values, width, out);
    }
}

/// Appends `values` bit-packed, lowest bits first, padded to a multiple of eight values.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let packed_len = values.len().div_ceil(8) * width as usize;
    let end = out.len() + packed_len;
    out.reserve(packed_len);
    match width {
        8 => out.extend(values.iter().map(|&value| value as u8)),
        16 => values.iter().for_each(|&value| out.extend_from_slice(&(value as u16).to_le_bytes())),
        32 => values.iter().for_each(|&value| out.extend_from_slice(&value.to_le_bytes())),
        _ => {
            let byte =
                |values: &[u32]| values.iter().rev().fold(0, |byte, &value| byte << width | value as u8);
            out.extend(values.chunks((8 / width) as usize).map(byte));
        }
    }
    out.resize(end, 0);
}
