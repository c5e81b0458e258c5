//! Parquet's encoding DELTA_BINARY_PACKED, for time stamps.
//!
//! ```text
//! header: values per block, miniblocks per block, number of values, first value
//! block:  minimum delta │ bit widths of the miniblocks │ the miniblocks: delta - minimum, bit-packed
//! ```

use super::varint::{put_varint, zigzag};

/// Deltas per block.
const BLOCK: usize = 128;

/// Deltas per miniblock.
const MINIBLOCK: usize = 32;

/// Appends `values`. Deltas are computed with wrapping arithmetic, so any two values have one.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    put_varint(BLOCK as u64, out);
    put_varint((BLOCK / MINIBLOCK) as u64, out);
    put_varint(values.len() as u64, out);
    put_varint(zigzag(values.first().copied().unwrap_or(0)), out);
    let mut deltas = [0; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let end = values.len().min(start + BLOCK);
        let pairs = values[start - 1..end - 1].iter().zip(&values[start..end]);
        for (delta, (before, after)) in deltas.iter_mut().zip(pairs) {
            *delta = after.wrapping_sub(*before);
        }
        encode_block(&mut deltas, end - start, out);
    }
}

/// Appends a block of the first `len` deltas. Overwrites the rest of `deltas`.
fn encode_block(deltas: &mut [i64; BLOCK], len: usize, out: &mut Vec<u8>) {
    let minimum = deltas[..len].iter().copied().min().unwrap_or(0);
    // Padding is packed as zeros.
    deltas[len..].fill(minimum);
    put_varint(zigzag(minimum), out);
    let widths = out.len();
    out.resize(widths + BLOCK / MINIBLOCK, 0);
    for (at, miniblock) in deltas[..len.next_multiple_of(MINIBLOCK)].chunks_exact(MINIBLOCK).enumerate() {
        let above = |delta: &i64| delta.wrapping_sub(minimum) as u64;
        let width = u64::BITS - miniblock.iter().map(above).fold(0, |all, value| all | value).leading_zeros();
        out[widths + at] = width as u8;
        pack(miniblock.iter().map(above), width, out);
    }
}

/// Appends 32 values of `width` bits, lowest bits first.
fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut word, mut filled) = (0u128, 0);
    for value in values {
        word |= u128::from(value) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes()[..filled as usize / 8]);
}
