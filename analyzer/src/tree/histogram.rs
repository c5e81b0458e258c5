//! A histogram of the durations of a function's calls.

use super::saturating_sum;

/// Up to this many durations are stored exactly.
const MAX_EXACT: usize = 64;

/// There are 2^5 buckets between a power of two and the next, so the middle of a bucket is within
/// 1.6 % of each duration in it.
const GROUPING_POWER: u32 = 5;

/// Durations of 2^48 ns (more than three days) and longer share the last bucket.
const LONGEST_POWER: u32 = 48;
const LONGEST_NS: u64 = (1 << LONGEST_POWER) - 1;

/// Durations of calls: exact as long as there are few, in the logarithmic buckets of HdrHistogram
/// otherwise. The result depends on the durations only, not on the order in which they were
/// recorded or joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DurationHistogram {
    /// Exact durations in nanoseconds, in no particular order. Empty if there are buckets.
    exact: Vec<u64>,
    /// The number of calls in each bucket. Empty as long as the durations are exact.
    buckets: Vec<u64>,
}

impl DurationHistogram {
    /// Adds a call.
    #[inline]
    pub fn record(&mut self, duration_ns: u64) {
        match self.buckets.get_mut(bucket(duration_ns)) {
            Some(calls) => *calls += 1,
            None => self.record_exact(duration_ns),
        }
    }

    fn record_exact(&mut self, duration_ns: u64) {
        self.exact.push(duration_ns);
        if self.exact.len() > MAX_EXACT {
            self.make_buckets();
        }
    }

    #[cold]
    fn make_buckets(&mut self) {
        self.buckets = vec![0; bucket(LONGEST_NS) + 1];
        std::mem::take(&mut self.exact).into_iter().for_each(|duration_ns| self.record(duration_ns));
    }

    /// Adds the calls of another histogram.
    pub fn join(&mut self, other: DurationHistogram) {
        if self.buckets.is_empty() && !other.buckets.is_empty() {
            self.make_buckets();
        }
        self.buckets.iter_mut().zip(other.buckets).for_each(|(calls, more)| *calls += more);
        other.exact.into_iter().for_each(|duration_ns| self.record(duration_ns));
    }

    /// The numbers of the buckets that hold calls, in order, with the number of calls.
    pub fn buckets(&self) -> Vec<(usize, u64)> {
        let mut all = DurationHistogram { exact: vec![], buckets: self.buckets.clone() };
        if all.buckets.is_empty() {
            all.buckets = vec![0; bucket(LONGEST_NS) + 1];
        }
        self.exact.iter().for_each(|&duration_ns| all.record(duration_ns));
        all.buckets.into_iter().enumerate().filter(|&(_, calls)| calls > 0).collect()
    }

    /// Adds calls to a bucket. Returns false if there is no such bucket.
    pub fn add_to_bucket(&mut self, bucket: usize, calls: u64) -> bool {
        if self.buckets.is_empty() {
            self.make_buckets();
        }
        let found = self.buckets.get_mut(bucket).map(|count| *count = count.saturating_add(calls));
        found.is_some()
    }

    /// The duration that a share of the calls did not exceed, in nanoseconds: 0.5 gives the median.
    /// None if there are no calls.
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let calls = saturating_sum(self.buckets.iter().copied()).saturating_add(self.exact.len() as u64);
        let rank = ((share * calls as f64).ceil() as u64).max(1);
        if self.buckets.is_empty() {
            let mut exact = self.exact.clone();
            exact.sort_unstable();
            return exact.get(rank as usize - 1).copied();
        }
        let mut seen = 0u64;
        let bucket = self.buckets.iter().position(|calls| {
            seen = seen.saturating_add(*calls);
            seen >= rank
        })?;
        Some(middle_ns(bucket))
    }
}

/// The bucket of a duration. Durations below 2^6 have a bucket each, and there are 2^5 buckets for
/// each further power of two.
#[inline]
fn bucket(duration_ns: u64) -> usize {
    let duration_ns = duration_ns.min(LONGEST_NS);
    let dropped_bits = (duration_ns >> GROUPING_POWER | 1).ilog2();
    (dropped_bits << GROUPING_POWER) as usize + (duration_ns >> dropped_bits) as usize
}

/// The middle of the durations of a bucket.
fn middle_ns(bucket: usize) -> u64 {
    let dropped_bits = (bucket >> GROUPING_POWER).saturating_sub(1);
    let first = (bucket - (dropped_bits << GROUPING_POWER)) as u64;
    (first << dropped_bits) + ((1 << dropped_bits) - 1) / 2
}

#[cfg(test)]
mod tests {
    //! Comparison with sorted durations.

    use proptest::prelude::*;

    use super::*;

    fn durations(all: &[u64]) -> DurationHistogram {
        let mut durations = DurationHistogram::default();
        all.iter().for_each(|&duration_ns| durations.record(duration_ns));
        durations
    }

    fn sorted(all: &[u64], share: f64) -> u64 {
        let mut all = all.to_vec();
        all.sort_unstable();
        all[(all.len() as f64 * share).ceil().max(1.0) as usize - 1]
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_64th(
            all in prop::collection::vec((1..=LONGEST_POWER, any::<u64>()).prop_map(|(width, any)| any >> (64 - width)), 1..300),
        ) {
            let found = durations(&all);
            for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
                let (found, exact) = (found.quantile_ns(share).expect("there are calls"), sorted(&all, share));
                prop_assert!(found.abs_diff(exact) <= if all.len() <= MAX_EXACT { 0 } else { exact / 64 }, "{found} {exact}");
            }
        }

        #[test]
        fn joining_equals_recording(all in prop::collection::vec(any::<u64>(), 0..200), cut in 0..200usize) {
            let (left, right) = all.split_at(cut.min(all.len()));
            let mut joined = durations(left);
            joined.join(durations(right));
            let whole = durations(&all);
            for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
                prop_assert_eq!(joined.quantile_ns(share), whole.quantile_ns(share));
            }
        }
    }

    /// The middle of each bucket is in the bucket, and buckets are contiguous.
    #[test]
    fn buckets_are_contiguous() {
        for last in 1..=bucket(LONGEST_NS) {
            assert_eq!(bucket(middle_ns(last)), last);
            assert!(middle_ns(last - 1) < middle_ns(last));
        }
        for power in 1..LONGEST_POWER {
            assert_eq!(bucket((1 << power) - 1) + 1, bucket(1 << power), "2^{power}");
        }
        assert_eq!(bucket(u64::MAX), bucket(LONGEST_NS));
    }

    /// A damaged profile can claim any number of calls.
    #[test]
    fn counts_saturate() {
        let mut durations = DurationHistogram::default();
        for bucket in 0..3 {
            assert!(durations.add_to_bucket(bucket, u64::MAX));
        }
        assert_eq!(durations.quantile_ns(0.5), Some(0));
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(DurationHistogram::default().quantile_ns(0.5), None);
    }
}
