//! Small integers into Parquet's hybrid of runs and packed bits: dictionary indices and definition levels.
//!
//! Widths are rounded up to a power of two, so that a value never straddles two bytes: what repeats in the rows
//! then repeats in the bytes, where zstd finds it, and packing is a plain loop.

/// The bits that an integer up to `max` takes, a power of two.
pub(crate) fn width(max: u32) -> u32 {
    (u32::BITS - max.leading_zeros()).max(1).next_power_of_two()
}

/// Appends `values`, each below 2^`width`: as one run if they are all the same, else as one packed group.
pub(crate) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    if values.iter().all(|&value| value == first) {
        varint((values.len() as u64) << 1, out);
        out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
    } else {
        // The group is counted in eights; the last eight may be filled up with anything.
        varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
        pack(values, width, out);
    }
}

/// Appends `values`, lowest bits first, up to a multiple of eight values.
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

/// Appends an unsigned integer, seven bits a byte, lowest first.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
