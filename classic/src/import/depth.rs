//! Whether lines that show how deep they are follow on each other.

/// How deep the calls of one thread are, as far as its lines show it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth(Option<usize>);

impl Depth {
    /// The next line is an entry on that level, or a return. Says how many lines must be missing before it, at least.
    pub fn step(&mut self, is_entry: bool, level: usize) -> u64 {
        let expected = self.0.map(|depth| if is_entry { depth } else { depth.saturating_sub(1) });
        self.0 = Some(if is_entry { level + 1 } else { level });
        expected.map_or(0, |expected| expected.abs_diff(level) as u64)
    }
}

#[cfg(test)]
mod tests {
    //! Levels that follow on each other, and such that do not.

    use super::*;

    fn missing(steps: &[(bool, usize)]) -> Vec<u64> {
        let mut depth = Depth::default();
        steps.iter().map(|&(is_entry, level)| depth.step(is_entry, level)).collect()
    }

    #[test]
    fn a_return_is_on_the_level_of_its_entry() {
        let calls = [(true, 3), (true, 4), (false, 4), (true, 4), (false, 4), (false, 3)];
        assert_eq!(missing(&calls), [0; 6]);
    }

    #[test]
    fn a_step_that_cannot_be_tells_how_much_is_missing() {
        assert_eq!(missing(&[(true, 0), (true, 3), (false, 3), (false, 0)]), [0, 2, 0, 2]);
        // A second thread begins from the left.
        assert_eq!(missing(&[(true, 0), (true, 1), (true, 0)]), [0, 0, 2]);
    }
}
