//! The lines of a code object's instructions, decoded from CPython's line table.
//!
//! These tables are encoded sequentially, but a recording looks up millions of lines at random. So
//! each table is expanded once, to a line per code unit of two bytes.

use pyrec_wire::{LineTable, Record};

/// The lines of a code object, by code unit.
#[derive(Debug, Default)]
pub(crate) struct LineMap {
    first_line: i32,
    by_unit: Box<[i32]>,
    /// The line of the code units behind the table.
    last_line: i32,
}

impl LineMap {
    /// Expands a table. Code units that a damaged table does not cover are on the first line.
    pub fn new(first_line: u32, kind: LineTable, table: &[u8]) -> Self {
        let first_line = i32::try_from(first_line).unwrap_or(i32::MAX);
        let mut by_unit = Vec::new();
        let mut last_line = first_line;
        match kind {
            LineTable::None => {}
            LineTable::Lnotab => last_line = lnotab(first_line, table, &mut by_unit),
            LineTable::Pep626 => pep_626(first_line, table, &mut by_unit),
            LineTable::Locations => locations(first_line, table, &mut by_unit),
        }
        LineMap { first_line, by_unit: by_unit.into(), last_line }
    }

    /// The line of the instruction at a code unit. A frame that has not run its first instruction
    /// (its `f_lasti` is -1, its record has [`Record::NO_INSTRUCTION`]) is on the first line.
    #[inline]
    pub fn at(&self, unit: u32) -> i32 {
        match self.by_unit.get(unit as usize) {
            Some(&line) => line,
            None if unit == Record::NO_INSTRUCTION => self.first_line,
            None => self.last_line,
        }
    }
}

/// Code units behind this one are not expanded: no record can refer to them.
const MAX_UNITS: usize = 1 << 24;

fn extend(by_unit: &mut Vec<i32>, units: usize, line: i32) {
    let end = (by_unit.len() + units).min(MAX_UNITS);
    by_unit.resize(end, line);
}

/// Expands `co_lnotab` of CPython 3.8 and 3.9 (`Objects/lnotab_notes.txt`): pairs of an unsigned
/// byte increment and a signed line increment. Returns the last line, which extends to the end of
/// the code; the table does not contain that end.
fn lnotab(first_line: i32, table: &[u8], by_unit: &mut Vec<i32>) -> i32 {
    table.chunks_exact(2).fold(first_line, |line, pair| {
        extend(by_unit, usize::from(pair[0]) / 2, line);
        line.wrapping_add(i32::from(pair[1] as i8))
    })
}

/// Expands `co_linetable` of CPython 3.10 (PEP 626): pairs of an unsigned byte increment and a
/// signed line increment. A line increment of -128 means that these bytes have no line.
fn pep_626(first_line: i32, table: &[u8], by_unit: &mut Vec<i32>) {
    let mut line = first_line;
    for pair in table.chunks_exact(2) {
        let (units, step) = (usize::from(pair[0]) / 2, pair[1] as i8);
        if step == -128 {
            extend(by_unit, units, first_line);
        } else {
            line = line.wrapping_add(i32::from(step));
            extend(by_unit, units, line);
        }
    }
}

/// Expands `co_linetable` of CPython 3.11 and later (`Objects/locations.md`). The first byte of an
/// entry has its top bit set: `1 | code (4 bits) | units - 1 (3 bits)`. The other bytes do not.
fn locations(first_line: i32, table: &[u8], by_unit: &mut Vec<i32>) {
    let mut line = first_line;
    let mut rest = table;
    while let Some((&head, tail)) = rest.split_first() {
        let length = tail.iter().position(|byte| byte & 0x80 != 0).unwrap_or(tail.len());
        let (body, next) = tail.split_at(length);
        rest = next;
        let units = usize::from(head & 7) + 1;
        let step = match (head >> 3) & 15 {
            // No location.
            15 => {
                extend(by_unit, units, first_line);
                continue;
            }
            // Long form, and form without columns: a signed step of variable length.
            13 | 14 => signed_varint(body),
            // One-line forms: the step is part of the code.
            code @ 10..=12 => i32::from(code) - 10,
            // Short forms: the same line.
            _ => 0,
        };
        line = line.wrapping_add(step);
        extend(by_unit, units, line);
    }
}

/// Decodes a number of six bits a byte, least significant first. Bit 6 is set if another byte
/// follows. The lowest bit of the number is the sign.
fn signed_varint(bytes: &[u8]) -> i32 {
    let mut value: u32 = 0;
    for (index, byte) in bytes.iter().enumerate().take(6) {
        value |= u32::from(byte & 63) << (6 * index as u32).min(31);
        if byte & 64 == 0 {
            break;
        }
    }
    let magnitude = (value >> 1) as i32;
    if value & 1 == 1 { magnitude.wrapping_neg() } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the first eight code units.
    fn expand(kind: LineTable, table: &[u8]) -> Vec<i32> {
        let lines = LineMap::new(10, kind, table);
        (0..8).map(|unit| lines.at(unit)).collect()
    }

    #[test]
    fn each_kind_of_table_is_decoded_as_documented() {
        // Two units on line 10, then four units on line 12, then line 11.
        assert_eq!(expand(LineTable::Lnotab, &[4, 2, 8, 255]), [10, 10, 12, 12, 12, 12, 11, 11]);
        // PEP 626: the line increment applies to the bytes of the same pair; -128 is no line.
        assert_eq!(
            expand(LineTable::Pep626, &[4, 0, 8, 2, 2, 128, 2, 255]),
            [10, 10, 12, 12, 12, 12, 10, 11]
        );
        // Short form (two units, +0), one-line form (four units, +2), no location (one unit),
        // without columns (one unit, -1).
        let table = [0x80 | 1, 0x11, 0x80 | 12 << 3 | 3, 0, 5, 0x80 | 15 << 3, 0x80 | 13 << 3, 3];
        assert_eq!(expand(LineTable::Locations, &table), [10, 10, 12, 12, 12, 12, 10, 11]);
        assert_eq!(expand(LineTable::None, &[]), [10; 8]);
    }

    #[test]
    fn a_frame_without_an_instruction_is_on_the_first_line() {
        // The code units behind the table are on line 12.
        let lines = LineMap::new(10, LineTable::Lnotab, &[4, 2]);
        assert_eq!([0, 2, 1000, Record::NO_INSTRUCTION].map(|unit| lines.at(unit)), [10, 12, 12, 10]);
    }

    #[test]
    fn long_steps_have_several_bytes() {
        // 1000 = 0b1111101000, times two for the sign: 2000 = 31 * 64 + 16.
        assert_eq!(signed_varint(&[64 | 16, 31]), 1000);
        assert_eq!(signed_varint(&[64 | 17, 31]), -1000);
    }

    #[test]
    fn a_damaged_table_does_not_panic() {
        for kind in [LineTable::Lnotab, LineTable::Pep626, LineTable::Locations] {
            for byte in 0..=255u8 {
                let lines = LineMap::new(u32::MAX, kind, &[byte; 33]);
                let _ = lines.at(5);
            }
        }
    }
}
