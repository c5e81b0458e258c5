//! How often each length of time occurs, by powers of two.

/// How often each length of time occurs, by powers of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log2Histogram {
    counts: [u64; 64],
    count: u64,
    total_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

impl Default for Log2Histogram {
    fn default() -> Self {
        Log2Histogram { counts: [0; 64], count: 0, total_ns: 0, min_ns: u64::MAX, max_ns: 0 }
    }
}

impl Log2Histogram {
    /// TraceCounts a length of time.
    pub fn add(&mut self, ns: u64) {
        self.counts[ns.max(1).ilog2() as usize] += 1;
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn total(&self) -> u64 {
        self.total_ns
    }

    /// The shortest, the mean and the longest; none where there is none.
    pub fn range(&self) -> Option<[u64; 3]> {
        Some([self.min_ns, self.total_ns.checked_div(self.count)?, self.max_ns])
    }

    /// From the shortest to the longest: where each power of two begins, and how many lie in it. The first begins
    /// with 0.
    pub fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        let is_some = |count: &u64| *count > 0;
        let first = self.counts.iter().position(is_some).unwrap_or(0);
        let end = self.counts.iter().rposition(is_some).map_or(first, |last| last + 1);
        (first..end).map(|power| (if power == 0 { 0 } else { 1 << power }, self.counts[power]))
    }
}

#[cfg(test)]
mod tests {
    //! What lies in which power of two.

    use super::*;

    #[test]
    fn a_power_of_two_begins_its_own_step() {
        let mut lengths = Log2Histogram::default();
        assert_eq!((lengths.range(), lengths.steps().count()), (None, 0));
        [4, 7, 8, 31, 32].into_iter().for_each(|ns| lengths.add(ns));
        assert_eq!(lengths.steps().collect::<Vec<_>>(), [(4, 2), (8, 1), (16, 1), (32, 1)]);
        assert_eq!((lengths.count(), lengths.total(), lengths.range()), (5, 82, Some([4, 16, 32])));
    }

    #[test]
    fn the_ends_of_the_scale() {
        let mut lengths = Log2Histogram::default();
        [0, 1, u64::MAX / 4].into_iter().for_each(|ns| lengths.add(ns));
        let steps: Vec<_> = lengths.steps().collect();
        assert_eq!((steps[0], steps.len(), steps[61]), ((0, 2), 62, (1 << 61, 1)));
    }
}
