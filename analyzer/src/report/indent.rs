//! Levels, as room at the beginning of a line.

use std::fmt;

use super::units::Count;

/// What lies deeper is told by its number: with a million levels every line would be two megabytes long.
const MOST: usize = 200;

/// A number of levels, each so many columns wide.
#[derive(Clone, Copy, Debug)]
pub struct Indent {
    /// How many.
    pub levels: usize,
    /// How wide.
    pub columns: usize,
}

impl fmt::Display for Indent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:1$}", "", self.levels.min(MOST) * self.columns)?;
        if self.levels > MOST { write!(f, "({}) ", Count(self.levels as u64)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    //! Shallow and deep.

    use super::*;

    #[test]
    fn a_level_is_room_or_a_number() {
        let indent = |levels| Indent { levels, columns: 2 }.to_string();
        assert_eq!((indent(0).as_str(), indent(3).as_str()), ("", "      "));
        assert_eq!(indent(200), " ".repeat(400));
        assert_eq!(indent(1_000_000), " ".repeat(400) + "(1,000,000) ");
    }
}
