//! A histogram of durations with a bucket for each power of two.

/// A histogram of durations. Bucket n counts durations from 2^n to 2^(n+1) - 1 ns; 0 ns is in
/// bucket 0.
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
    /// Adds a duration.
    pub fn add(&mut self, ns: u64) {
        self.counts[ns.max(1).ilog2() as usize] += 1;
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations in nanoseconds, saturating.
    pub fn total(&self) -> u64 {
        self.total_ns
    }

    /// Minimum, mean and maximum; none if there are no durations.
    pub fn range(&self) -> Option<[u64; 3]> {
        Some([self.min_ns, self.total_ns.checked_div(self.count)?, self.max_ns])
    }

    /// The buckets from the first to the last one that is not empty: the lower limit in
    /// nanoseconds, and the count. The lower limit of bucket 0 is 0.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let is_filled = |count: &u64| *count > 0;
        let first = self.counts.iter().position(is_filled).unwrap_or(0);
        let end = self.counts.iter().rposition(is_filled).map_or(first, |last| last + 1);
        (first..end).map(|power| (if power == 0 { 0 } else { 1 << power }, self.counts[power]))
    }
}

#[cfg(test)]
mod tests {
    //! The limits of buckets.

    use super::*;

    #[test]
    fn a_power_of_two_is_the_lower_limit_of_its_bucket() {
        let mut histogram = Log2Histogram::default();
        assert_eq!((histogram.range(), histogram.buckets().count()), (None, 0));
        [4, 7, 8, 31, 32].into_iter().for_each(|ns| histogram.add(ns));
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(4, 2), (8, 1), (16, 1), (32, 1)]);
        assert_eq!((histogram.count(), histogram.total(), histogram.range()), (5, 82, Some([4, 16, 32])));
    }

    #[test]
    fn zero_and_very_long_durations_have_buckets() {
        let mut histogram = Log2Histogram::default();
        [0, 1, u64::MAX / 4].into_iter().for_each(|ns| histogram.add(ns));
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!((buckets[0], buckets.len(), buckets[61]), ((0, 2), 62, (1 << 61, 1)));
    }
}
