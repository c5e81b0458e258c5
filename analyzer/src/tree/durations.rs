//! How long the calls of a function took, each on its own.

/// Of up to this many calls each duration is kept.
const FEW: usize = 64;

/// 2^5 buckets between a power of two and the next, so a duration in the middle of its bucket is off by 1.6 % at most.
const GROUPING_POWER: u32 = 5;

/// Durations of up to 2^48 ns, more than three days, have a bucket; longer ones are in the last.
const LONGEST_POWER: u32 = 48;
const LONGEST_NS: u64 = (1 << LONGEST_POWER) - 1;

/// How long calls took: each duration of a few calls, a histogram of many with the buckets of HdrHistogram. What it
/// says depends on the durations alone, not on the order in which they came or were joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// Nanoseconds, in no order; none any more when there are many.
    few: Vec<u64>,
    /// Calls per logarithmic bucket; none as long as there are few.
    many: Vec<u64>,
}

impl Durations {
    /// Takes note of a call.
    #[inline]
    pub fn record(&mut self, duration_ns: u64) {
        match self.many.get_mut(bucket(duration_ns)) {
            Some(calls) => *calls += 1,
            None => self.record_one_of_few(duration_ns),
        }
    }

    fn record_one_of_few(&mut self, duration_ns: u64) {
        self.few.push(duration_ns);
        if self.few.len() > FEW {
            self.become_many();
        }
    }

    #[cold]
    fn become_many(&mut self) {
        self.many = vec![0; bucket(LONGEST_NS) + 1];
        std::mem::take(&mut self.few).into_iter().for_each(|duration_ns| self.record(duration_ns));
    }

    /// Adds calls that were noted elsewhere.
    pub fn join(&mut self, other: Durations) {
        if self.many.is_empty() && !other.many.is_empty() {
            self.become_many();
        }
        self.many.iter_mut().zip(other.many).for_each(|(calls, more)| *calls += more);
        other.few.into_iter().for_each(|duration_ns| self.record(duration_ns));
    }

    /// The buckets that hold calls, in order, with how many.
    pub fn buckets(&self) -> Vec<(usize, u64)> {
        let mut all = Durations { few: vec![], many: self.many.clone() };
        if all.many.is_empty() {
            all.many = vec![0; bucket(LONGEST_NS) + 1];
        }
        self.few.iter().for_each(|&duration_ns| all.record(duration_ns));
        all.many.into_iter().enumerate().filter(|&(_, calls)| calls > 0).collect()
    }

    /// Adds calls of a bucket. False, and nothing is added, if there is no such bucket.
    pub fn add_to_bucket(&mut self, bucket: usize, calls: u64) -> bool {
        if self.many.is_empty() {
            self.become_many();
        }
        let found = self.many.get_mut(bucket).map(|there| *there = there.saturating_add(calls));
        found.is_some()
    }

    /// What that share of the calls took at most: 0.5 for the median. None if there was no call.
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let calls = self.few.len() as u64 + self.many.iter().sum::<u64>();
        let rank = ((share * calls as f64).ceil() as u64).max(1);
        if self.many.is_empty() {
            let mut few = self.few.clone();
            few.sort_unstable();
            return few.get(rank as usize - 1).copied();
        }
        let mut seen = 0;
        let bucket = self.many.iter().position(|calls| {
            seen += calls;
            seen >= rank
        })?;
        Some(middle_ns(bucket))
    }
}

/// The bucket of a duration: those below 2^(5+1) have one each, and there are 2^5 for each further power of two.
#[inline]
fn bucket(duration_ns: u64) -> usize {
    let duration_ns = duration_ns.min(LONGEST_NS);
    let dropped_bits = (duration_ns >> GROUPING_POWER | 1).ilog2();
    (dropped_bits << GROUPING_POWER) as usize + (duration_ns >> dropped_bits) as usize
}

/// The middle of a bucket's durations.
fn middle_ns(bucket: usize) -> u64 {
    let dropped_bits = (bucket >> GROUPING_POWER).saturating_sub(1);
    let first = (bucket - (dropped_bits << GROUPING_POWER)) as u64;
    (first << dropped_bits) + ((1 << dropped_bits) - 1) / 2
}

#[cfg(test)]
mod tests {
    //! Against the durations themselves, sorted.

    use proptest::prelude::*;

    use super::*;

    fn durations(all: &[u64]) -> Durations {
        let mut durations = Durations::default();
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
        fn a_quantile_is_off_by_a_64th_at_most(
            all in prop::collection::vec((1..=LONGEST_POWER, any::<u64>()).prop_map(|(width, any)| any >> (64 - width)), 1..300),
        ) {
            let found = durations(&all);
            for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
                let (found, exact) = (found.quantile_ns(share).expect("there are some"), sorted(&all, share));
                prop_assert!(found.abs_diff(exact) <= if all.len() <= FEW { 0 } else { exact / 64 }, "{found} {exact}");
            }
        }

        #[test]
        fn joining_is_recording(all in prop::collection::vec(any::<u64>(), 0..200), cut in 0..200usize) {
            let (left, right) = all.split_at(cut.min(all.len()));
            let mut joined = durations(left);
            joined.join(durations(right));
            let whole = durations(&all);
            for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
                prop_assert_eq!(joined.quantile_ns(share), whole.quantile_ns(share));
            }
        }
    }

    /// Every bucket follows the one before it, and the middle of each lies in it.
    #[test]
    fn buckets_leave_no_gap() {
        for last in 1..=bucket(LONGEST_NS) {
            assert_eq!(bucket(middle_ns(last)), last);
            assert!(middle_ns(last - 1) < middle_ns(last));
        }
        for power in 1..LONGEST_POWER {
            assert_eq!(bucket((1 << power) - 1) + 1, bucket(1 << power), "2^{power}");
        }
        assert_eq!(bucket(u64::MAX), bucket(LONGEST_NS));
    }

    #[test]
    fn no_calls_no_quantile() {
        assert_eq!(Durations::default().quantile_ns(0.5), None);
    }
}
