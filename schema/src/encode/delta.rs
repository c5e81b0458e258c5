//! Integers into Parquet's DELTA_BINARY_PACKED: time stamps.
//!
//! ```text
//! header: values a block, miniblocks a block, number of values, first value
//! block:  smallest difference │ a width per miniblock │ (difference - smallest), packed, per miniblock
//! ```

use super::rle_bitpack::varint;

/// Differences of a block, and of a miniblock.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// Appends `values`. Differences wrap, so that any two values have one.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    varint(zigzag(values.first().copied().unwrap_or(0)), out);
    let mut differences = [0; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let end = values.len().min(start + BLOCK);
        let pairs = values[start - 1..end - 1].iter().zip(&values[start..end]);
        for (difference, (before, after)) in differences.iter_mut().zip(pairs) {
            *difference = after.wrapping_sub(*before);
        }
        block(&mut differences, end - start, out);
    }
}

/// Appends a block of which the first `len` differences count.
fn block(differences: &mut [i64; BLOCK], len: usize, out: &mut Vec<u8>) {
    let smallest = differences[..len].iter().copied().min().unwrap_or(0);
    // What does not count is packed as the smallest: as zero bits.
    differences[len..].fill(smallest);
    varint(zigzag(smallest), out);
    let widths = out.len();
    out.resize(widths + BLOCK / MINIBLOCK, 0);
    for (at, miniblock) in differences[..len.next_multiple_of(MINIBLOCK)].chunks_exact(MINIBLOCK).enumerate()
    {
        let above = |difference: &i64| difference.wrapping_sub(smallest) as u64;
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

/// Small numbers of either sign into small numbers.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
