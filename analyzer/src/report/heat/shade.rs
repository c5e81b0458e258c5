//! How hot a line is, for an eye in a terminal.

use std::fmt;

/// Cells of a bar.
const CELLS: u64 = 6;

/// Eighths of a cell, from one to eight.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A part of a whole as a bar of six cells. Everything that is not nothing can be seen.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// How much.
    pub part: u64,
    /// Of how much.
    pub whole: u64,
}

impl Bar {
    fn eighths(self) -> u64 {
        let eighths = u128::from(self.part) * u128::from(8 * CELLS) / u128::from(self.whole.max(1));
        u64::try_from(eighths).unwrap_or(u64::MAX).clamp(u64::from(self.part > 0), 8 * CELLS)
    }

    /// The colour of its heat among a terminal's 256: from a dark yellow to a bright red, brighter with every step.
    pub fn colour(self) -> Option<u8> {
        match self.eighths() {
            0 => None,
            1 => Some(101),
            2..6 => Some(136),
            6..16 => Some(172),
            16..32 => Some(202),
            _ => Some(196),
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let eighths = self.eighths();
        let mut bar = "█".repeat((eighths / 8) as usize);
        if !eighths.is_multiple_of(8) {
            bar.push(EIGHTHS[(eighths % 8) as usize - 1]);
        }
        f.pad(&bar)
    }
}

#[cfg(test)]
mod tests {
    //! Bars and colours.

    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        for (part, whole, bar) in [
            (0, 48, ""),
            (0, 0, ""),
            (1, 1_000_000, "▏"),
            (24, 48, "███"),
            (47, 48, "█████▉"),
            (48, 48, "██████"),
            (u64::MAX, 1, "██████"),
        ] {
            assert_eq!(Bar { part, whole }.to_string(), bar, "{part} of {whole}");
        }
    }

    #[test]
    fn only_nothing_has_no_colour() {
        assert_eq!(Bar { part: 0, whole: 5 }.colour(), None);
        let colours = [1, 2, 10, 20, 48].map(|part| Bar { part, whole: 48 }.colour());
        assert!(colours.iter().all(Option::is_some) && colours.windows(2).all(|two| two[0] != two[1]));
    }
}
