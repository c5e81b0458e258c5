//! The bar and colour of a line in the terminal listing.

use std::fmt;

/// The width of a full bar, in characters.
const CELLS: u64 = 6;

/// Bars of one to eight eighths of a character.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A part of a whole, shown as a bar of up to six characters. A part above 0 has at least one
/// eighth of a character.
#[derive(Clone, Copy, Debug)]
pub struct HeatBar {
    /// The length of the bar.
    pub part: u64,
    /// The length of a full bar.
    pub whole: u64,
}

impl HeatBar {
    fn eighths(self) -> u64 {
        let eighths = u128::from(self.part) * u128::from(8 * CELLS) / u128::from(self.whole.max(1));
        u64::try_from(eighths).unwrap_or(u64::MAX).clamp(u64::from(self.part > 0), 8 * CELLS)
    }

    /// The colour among a terminal's 256, from dark yellow to bright red; `None` for 0.
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

impl fmt::Display for HeatBar {
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
    //! Bars and colours of parts.

    use super::*;

    #[test]
    fn the_bar_is_proportional_to_its_part() {
        for (part, whole, bar) in [
            (0, 48, ""),
            (0, 0, ""),
            (1, 1_000_000, "▏"),
            (24, 48, "███"),
            (47, 48, "█████▉"),
            (48, 48, "██████"),
            (u64::MAX, 1, "██████"),
        ] {
            assert_eq!(HeatBar { part, whole }.to_string(), bar, "{part} of {whole}");
        }
    }

    #[test]
    fn every_part_above_zero_has_a_colour() {
        assert_eq!(HeatBar { part: 0, whole: 5 }.colour(), None);
        let colours = [1, 2, 10, 20, 48].map(|part| HeatBar { part, whole: 48 }.colour());
        assert!(colours.iter().all(Option::is_some) && colours.windows(2).all(|two| two[0] != two[1]));
    }
}
