//! Significance tests for changes of times. `docs/design/comparing.md` gives the reasons.
//!
//! A change is significant if all of these hold:
//!
//! 1. Welch's t-test (unequal variances; B. L. Welch, Biometrika 34, 1947) on the logarithms of the
//!    times rejects the hypothesis that the true ratio is within [`MIN_CHANGE`] of 1. Logarithms
//!    are compared because noise is multiplicative: a busy machine slows everything down by a
//!    factor.
//! 2. The rejection survives Holm's step-down correction (S. Holm, Scandinavian Journal of
//!    Statistics 6, 1979) over the family of times that are tested together, at
//!    [`FAMILYWISE_ERROR_RATE`].
//! 3. The ranges of the sides are disjoint.
//! 4. The medians differ by more than the totals of whole runs of one side do.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::samples::Samples;

/// The smallest relevant change, as a part of the old time.
pub const MIN_CHANGE: f64 = 0.05;

/// The probability with which a comparison of a program with itself finds any significant change in
/// one family.
pub const FAMILYWISE_ERROR_RATE: f64 = 0.01;

/// The confidence level of the intervals.
pub const CONFIDENCE_LEVEL: f64 = 0.95;

/// Times below this part of the whole time are not tested: each test makes the correction for the
/// others stricter.
const MIN_TIME_SHARE: f64 = 0.001;

/// A time in each run, and what is known of its change.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeChange {
    /// Nanoseconds in each run.
    pub samples: Samples,
    /// The result of the significance test.
    pub verdict: TimeVerdict,
    /// The confidence interval of the ratio new / old; none where a side has one run or only zeros.
    pub interval: Option<RatioInterval>,
}

/// The result of a significance test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeVerdict {
    /// Not tested: a side has one run, so the variance between runs is unknown.
    OneRun,
    /// Not tested: one side has only zeros.
    OneSided,
    /// Not tested: the time is too small a part of the whole.
    TooShort,
    /// No significant change.
    NoEvidence,
    /// Significantly less time.
    Faster,
    /// Significantly more time.
    Slower,
}

/// The ratio new / old of the geometric means, with its confidence interval at
/// [`CONFIDENCE_LEVEL`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RatioInterval {
    /// The ratio.
    pub ratio: f64,
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

impl TimeChange {
    /// Times that have not been tested.
    pub fn new(samples: Samples) -> TimeChange {
        TimeChange { samples, verdict: TimeVerdict::OneRun, interval: None }
    }

    /// Whether the change is significant.
    pub fn has_changed(&self) -> bool {
        matches!(self.verdict, TimeVerdict::Faster | TimeVerdict::Slower)
    }
}

/// Welch's t-test on the logarithms of both sides' times.
#[derive(Clone, Copy, Debug)]
struct WelchTest {
    /// Difference of the means of the logarithms, new minus old.
    log_ratio: f64,
    standard_error: f64,
    /// By the Welch–Satterthwaite equation.
    degrees_of_freedom: f64,
}

impl WelchTest {
    /// None where a side has fewer than two runs or only zeros.
    fn of(samples: &Samples) -> Option<WelchTest> {
        if samples.old.len() < 2 || samples.new.len() < 2 || samples.is_one_sided() {
            return None;
        }
        let (old_mean, old_variance) = log_mean_and_its_variance(&samples.old);
        let (new_mean, new_variance) = log_mean_and_its_variance(&samples.new);
        let variance = old_variance + new_variance;
        let term = |runs: usize, variance: f64| variance * variance / (runs - 1) as f64;
        let terms = term(samples.old.len(), old_variance) + term(samples.new.len(), new_variance);
        let pooled = (samples.old.len() + samples.new.len() - 2) as f64;
        Some(WelchTest {
            log_ratio: new_mean - old_mean,
            // Not zero even if the runs of each side take exactly the same time.
            standard_error: variance.sqrt().max(f64::EPSILON),
            degrees_of_freedom: if terms > 0.0 { variance * variance / terms } else { pooled },
        })
    }

    /// The two-sided p-value of the hypothesis that the absolute log ratio is at most
    /// `min_log_ratio`.
    fn p_value(&self, min_log_ratio: f64) -> f64 {
        let t = (self.log_ratio.abs() - min_log_ratio) / self.standard_error;
        self.distribution().map_or(1.0, |distribution| (2.0 * distribution.sf(t)).min(1.0))
    }

    /// The confidence interval of the ratio at that level, such as 0.95.
    fn interval(&self, level: f64) -> Option<RatioInterval> {
        let margin = self.distribution()?.inverse_cdf(0.5 + level / 2.0) * self.standard_error;
        let [ratio, low, high] =
            [self.log_ratio, self.log_ratio - margin, self.log_ratio + margin].map(f64::exp);
        Some(RatioInterval { ratio, low, high })
    }

    fn distribution(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.degrees_of_freedom).ok()
    }
}

/// The mean of the logarithms, and the variance of that mean.
fn log_mean_and_its_variance(samples: &[u64]) -> (f64, f64) {
    let runs = samples.len() as f64;
    let logarithms = || samples.iter().map(|&sample| (sample.max(1) as f64).ln());
    let mean = logarithms().sum::<f64>() / runs;
    let squares: f64 = logarithms().map(|logarithm| (logarithm - mean).powi(2)).sum();
    (mean, squares / (runs - 1.0) / runs)
}

/// Tests a family of times, and sets their verdicts and intervals. `whole` is the total time of the
/// runs.
pub fn test_family<'a>(times: impl IntoIterator<Item = &'a mut TimeChange>, whole: &Samples) {
    let min_ns = MIN_TIME_SHARE * whole.old_median().max(whole.new_median()) as f64;
    let spreads_ns = [&whole.old, &whole.new].map(|side| Samples::range(side)).map(|(min, max)| max - min);
    let noise_ns = spreads_ns.into_iter().max().unwrap_or(0);
    let mut tested: Vec<(f64, &mut TimeChange)> = Vec::new();
    for times in times {
        let samples = &times.samples;
        let Some(test) = WelchTest::of(samples) else {
            let is_one_sided = samples.is_one_sided();
            times.verdict = if is_one_sided { TimeVerdict::OneSided } else { TimeVerdict::OneRun };
            continue;
        };
        times.interval = test.interval(CONFIDENCE_LEVEL);
        times.verdict = TimeVerdict::TooShort;
        if samples.old_median().max(samples.new_median()) as f64 >= min_ns {
            times.verdict = TimeVerdict::NoEvidence;
            tested.push((test.p_value(MIN_CHANGE.ln_1p()), times));
        }
    }
    tested.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rejections = holm_rejections(tested.iter().map(|(p_value, _)| *p_value));
    for (_, times) in tested.into_iter().take(rejections) {
        times.verdict = direction(&times.samples, noise_ns);
    }
}

/// The number of hypotheses that Holm's step-down procedure rejects at [`FAMILYWISE_ERROR_RATE`]:
/// the smallest p-value is held against the rate divided by the number of hypotheses, the next one
/// against that of the rest, and so on until one fails. The p-values must be in ascending order.
pub fn holm_rejections(p_values: impl ExactSizeIterator<Item = f64>) -> usize {
    let family = p_values.len();
    let is_rejected =
        |&(index, p_value): &(usize, f64)| p_value <= FAMILYWISE_ERROR_RATE / (family - index) as f64;
    p_values.enumerate().take_while(is_rejected).count()
}

/// The one-sided p-value of the hypothesis that the true ratio new / old is at most `ratio`. None
/// where a side has fewer than two runs or only zeros.
pub fn p_value_above(samples: &Samples, ratio: f64) -> Option<f64> {
    let test = WelchTest::of(samples)?;
    let t = (test.log_ratio - ratio.ln()) / test.standard_error;
    test.distribution().map(|distribution| distribution.sf(t))
}

/// The direction of a change whose ranges are disjoint and whose medians differ by more than
/// `noise_ns`.
///
/// `noise_ns` is how far apart whole runs of one side are. An interruption of that length can fall
/// on the same function in every run of a side, since the runs are alike, and no test on that
/// function alone can exclude it.
fn direction(samples: &Samples, noise_ns: u64) -> TimeVerdict {
    let (old, new) = (Samples::range(&samples.old), Samples::range(&samples.new));
    match () {
        () if samples.distance() <= noise_ns => TimeVerdict::NoEvidence,
        () if old.1 < new.0 => TimeVerdict::Slower,
        () if new.1 < old.0 => TimeVerdict::Faster,
        () => TimeVerdict::NoEvidence,
    }
}

#[cfg(test)]
mod tests {
    //! Significant and insignificant changes.

    use super::*;

    fn times(old: &[u64], new: &[u64]) -> TimeChange {
        TimeChange::new(Samples { old: old.to_vec(), new: new.to_vec() })
    }

    fn verdict(old: &[u64], new: &[u64]) -> TimeVerdict {
        let mut times = times(old, new);
        let whole = times.samples.clone();
        test_family([&mut times], &whole);
        times.verdict
    }

    #[test]
    fn one_run_a_side_is_not_tested() {
        assert_eq!(verdict(&[100], &[100_000]), TimeVerdict::OneRun);
        assert_eq!(verdict(&[100, 101, 102], &[100_000]), TimeVerdict::OneRun);
        assert_eq!(verdict(&[0], &[100_000]), TimeVerdict::OneSided);
    }

    #[test]
    fn a_change_must_exceed_the_variance_between_runs() {
        assert_eq!(verdict(&[1_000, 1_010, 990, 1_005], &[2_000, 2_010, 1_990, 2_005]), TimeVerdict::Slower);
        assert_eq!(verdict(&[2_000, 2_010, 1_990, 2_005], &[1_000, 1_010, 990, 1_005]), TimeVerdict::Faster);
        assert_eq!(
            verdict(&[1_000, 2_000, 1_500, 900], &[1_400, 2_600, 1_000, 1_900]),
            TimeVerdict::NoEvidence
        );
        // Certain, but below the smallest relevant change.
        assert_eq!(
            verdict(&[100_000, 100_001, 100_002], &[101_000, 101_001, 101_002]),
            TimeVerdict::NoEvidence
        );
        assert_eq!(verdict(&[5, 5, 5], &[5, 5, 5]), TimeVerdict::NoEvidence);
    }

    /// The expected values are those of SciPy: `ttest_ind(log(new), log(old), equal_var=False)`,
    /// and its `confidence_interval(0.95)`.
    #[test]
    fn the_test_agrees_with_scipy() {
        let test = WelchTest::of(&times(&[100, 110, 120, 130], &[150, 160, 170]).samples)
            .expect("both sides have two runs");
        assert!((test.log_ratio - 0.333_699_995_872).abs() < 1e-9, "{test:?}");
        assert!((test.degrees_of_freedom - 4.762_366_618_822).abs() < 1e-6, "{test:?}");
        assert!((test.p_value(0.0) - 0.004_781_268_648).abs() < 1e-9, "{test:?}");
        let interval = test.interval(0.95).expect("the distribution is valid");
        assert!(
            (interval.low - 1.172_044_478_239).abs() < 1e-6
                && (interval.high - 1.663_045_151_700).abs() < 1e-6,
            "{interval:?}"
        );
    }

    #[test]
    fn in_a_large_family_a_p_value_must_be_smaller() {
        let (old, new) = ([1_000, 1_040, 1_080], [1_300, 1_340, 1_380]);
        assert_eq!(verdict(&old, &new), TimeVerdict::Slower);
        let mut all: Vec<TimeChange> =
            (0..1_000).map(|_| times(&[1_000, 1_100, 900], &[1_050, 950, 1_000])).collect();
        all.push(times(&old, &new));
        test_family(&mut all, &Samples { old: vec![9_000; 3], new: vec![9_000; 3] });
        assert!(all.iter().all(|times| times.verdict == TimeVerdict::NoEvidence));
    }

    /// An interruption fell on the same function in every new run.
    #[test]
    fn a_change_must_exceed_the_spread_of_whole_runs() {
        let verdict = |whole: [u64; 3]| {
            let mut times = times(&[1_000, 1_010, 990], &[2_000, 2_010, 1_990]);
            test_family([&mut times], &Samples { old: vec![9_000; 3], new: whole.into() });
            times.verdict
        };
        assert_eq!(verdict([10_000, 10_500, 10_999]), TimeVerdict::Slower);
        assert_eq!(verdict([10_000, 10_500, 11_000]), TimeVerdict::NoEvidence);
    }

    #[test]
    fn a_small_share_of_the_time_is_not_tested() {
        let mut short = times(&[10, 11, 12], &[90, 91, 92]);
        test_family([&mut short], &Samples { old: vec![1_000_000; 3], new: vec![1_000_000; 3] });
        assert_eq!(short.verdict, TimeVerdict::TooShort);
        assert!(short.interval.is_some());
    }
}
