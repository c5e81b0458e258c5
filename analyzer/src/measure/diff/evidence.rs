//! Whether times changed: what `docs/reference/diff.md` tells about the method.
//!
//! Welch's t-test on the logarithms of the times, against a change of less than [`LEAST_CHANGE`]; Holm's correction over
//! everything that is judged together; every new run beyond every old one; and farther than whole runs are apart.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::samples::Samples;

/// A change that is smaller than this part is none.
pub const LEAST_CHANGE: f64 = 0.05;

/// How probable it may be that anything is called changed in a comparison of a program with itself.
pub const FAMILY_ERROR: f64 = 0.01;

/// How sure an interval is.
pub const CONFIDENCE: f64 = 0.95;

/// What is less than this part of the whole time is not judged: it would only make the rest harder to tell.
const LEAST_PART: f64 = 0.001;

/// Times with what can be said about their change.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// In nanoseconds, by run.
    pub samples: Samples,
    /// What can be said.
    pub verdict: Verdict,
    /// New by old; none where a side has one run, or nothing of it.
    pub interval: Option<Interval>,
}

/// What can be said about a change of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing: a side has one run, and nobody knows how much runs differ by themselves.
    OneRun,
    /// There is nothing to compare with: it is new or gone.
    OneSided,
    /// It takes too small a part of the time to be judged.
    TooShort,
    /// Runs differ as much by themselves.
    NoEvidence,
    /// It takes less time.
    Faster,
    /// It takes more time.
    Slower,
}

/// How many times as long it takes, between which limits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// By the geometric means.
    pub ratio: f64,
    /// The lower limit of the confidence interval.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

impl Times {
    /// Times that nobody has judged yet.
    pub fn new(samples: Samples) -> Times {
        Times { samples, verdict: Verdict::OneRun, interval: None }
    }

    /// Whether there is evidence of a change.
    pub fn has_changed(&self) -> bool {
        matches!(self.verdict, Verdict::Faster | Verdict::Slower)
    }
}

/// The logarithms of both sides' times, compared.
#[derive(Clone, Copy, Debug)]
struct Welch {
    difference: f64,
    error: f64,
    freedom: f64,
}

impl Welch {
    /// None where a side has no two runs, or no times.
    fn of(samples: &Samples) -> Option<Welch> {
        if samples.old.len() < 2 || samples.new.len() < 2 || samples.is_one_sided() {
            return None;
        }
        let ((old_mean, old_error), (new_mean, new_error)) = (moments(&samples.old), moments(&samples.new));
        let squares = old_error + new_error;
        let degrees = |runs: usize, error: f64| error * error / (runs - 1) as f64;
        let weights = degrees(samples.old.len(), old_error) + degrees(samples.new.len(), new_error);
        let pooled = (samples.old.len() + samples.new.len() - 2) as f64;
        let freedom = if weights > 0.0 { squares * squares / weights } else { pooled };
        Some(Welch { difference: new_mean - old_mean, error: squares.sqrt().max(f64::EPSILON), freedom })
    }

    /// How probable such a difference is if the true one is no larger than that; on both sides.
    fn probability(&self, least: f64) -> f64 {
        let t = (self.difference.abs() - least) / self.error;
        self.student().map_or(1.0, |student| (2.0 * student.sf(t)).min(1.0))
    }

    /// The interval that holds the true ratio with that confidence.
    fn interval(&self, confidence: f64) -> Option<Interval> {
        let reach = self.student()?.inverse_cdf(0.5 + confidence / 2.0) * self.error;
        let [ratio, low, high] =
            [self.difference, self.difference - reach, self.difference + reach].map(f64::exp);
        Some(Interval { ratio, low, high })
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.freedom).ok()
    }
}

/// The mean of the logarithms, and the square of its standard error.
fn moments(samples: &[u64]) -> (f64, f64) {
    let runs = samples.len() as f64;
    let logarithms = || samples.iter().map(|&sample| (sample.max(1) as f64).ln());
    let mean = logarithms().sum::<f64>() / runs;
    let squares: f64 = logarithms().map(|logarithm| (logarithm - mean).powi(2)).sum();
    (mean, squares / (runs - 1.0) / runs)
}

/// Judges what belongs together: the more there is, the stronger each evidence must be. `whole` is the time of which
/// they are parts.
pub fn judge<'a>(times: impl IntoIterator<Item = &'a mut Times>, whole: &Samples) {
    let least_ns = LEAST_PART * whole.old_median().max(whole.new_median()) as f64;
    let noise_ns =
        [&whole.old, &whole.new].map(|side| Samples::range(side)).map(|(least, most)| most - least);
    let noise_ns = noise_ns.into_iter().max().unwrap_or(0);
    let mut judged: Vec<(f64, &mut Times)> = Vec::new();
    for times in times {
        let samples = &times.samples;
        let Some(welch) = Welch::of(samples) else {
            times.verdict = if samples.is_one_sided() { Verdict::OneSided } else { Verdict::OneRun };
            continue;
        };
        times.interval = welch.interval(CONFIDENCE);
        times.verdict = Verdict::TooShort;
        if samples.old_median().max(samples.new_median()) as f64 >= least_ns {
            times.verdict = Verdict::NoEvidence;
            judged.push((welch.probability(LEAST_CHANGE.ln_1p()), times));
        }
    }
    judged.sort_by(|a, b| a.0.total_cmp(&b.0));
    let convincing = convincing(judged.iter().map(|(probability, _)| *probability));
    for (_, times) in judged.into_iter().take(convincing) {
        times.verdict = direction(&times.samples, noise_ns);
    }
}

/// How many of a family of evidences hold, by Holm: the most improbable one must stand against all, the next one against
/// the rest. They come in that order.
pub fn convincing(probabilities: impl ExactSizeIterator<Item = f64>) -> usize {
    let family = probabilities.len();
    let holds = |&(at, probability): &(usize, f64)| probability <= FAMILY_ERROR / (family - at) as f64;
    probabilities.enumerate().take_while(holds).count()
}

/// How probable such times are if new ones take no longer than so many times the old ones. None where nobody can tell.
pub fn excess(samples: &Samples, ratio: f64) -> Option<f64> {
    let welch = Welch::of(samples)?;
    let t = (welch.difference - ratio.ln()) / welch.error;
    welch.student().map(|student| student.sf(t))
}

/// Which side lies beyond the other with every run, and by more than the machine takes from a program now and then: that
/// may fall on the same function in each run, since runs are alike.
fn direction(samples: &Samples, noise_ns: u64) -> Verdict {
    let (old, new) = (Samples::range(&samples.old), Samples::range(&samples.new));
    match () {
        () if samples.distance() <= noise_ns => Verdict::NoEvidence,
        () if old.1 < new.0 => Verdict::Slower,
        () if new.1 < old.0 => Verdict::Faster,
        () => Verdict::NoEvidence,
    }
}

#[cfg(test)]
mod tests {
    //! What is evidence, and what is not.

    use super::*;

    fn times(old: &[u64], new: &[u64]) -> Times {
        Times::new(Samples { old: old.to_vec(), new: new.to_vec() })
    }

    fn verdict(old: &[u64], new: &[u64]) -> Verdict {
        let mut times = times(old, new);
        let whole = times.samples.clone();
        judge([&mut times], &whole);
        times.verdict
    }

    #[test]
    fn one_run_is_no_evidence_however_far_apart() {
        assert_eq!(verdict(&[100], &[100_000]), Verdict::OneRun);
        assert_eq!(verdict(&[100, 101, 102], &[100_000]), Verdict::OneRun);
        assert_eq!(verdict(&[0], &[100_000]), Verdict::OneSided);
    }

    #[test]
    fn evidence_is_more_than_the_runs_differ_by_themselves() {
        assert_eq!(verdict(&[1_000, 1_010, 990, 1_005], &[2_000, 2_010, 1_990, 2_005]), Verdict::Slower);
        assert_eq!(verdict(&[2_000, 2_010, 1_990, 2_005], &[1_000, 1_010, 990, 1_005]), Verdict::Faster);
        assert_eq!(verdict(&[1_000, 2_000, 1_500, 900], &[1_400, 2_600, 1_000, 1_900]), Verdict::NoEvidence);
        // Sure, but too little to speak of.
        assert_eq!(verdict(&[100_000, 100_001, 100_002], &[101_000, 101_001, 101_002]), Verdict::NoEvidence);
        assert_eq!(verdict(&[5, 5, 5], &[5, 5, 5]), Verdict::NoEvidence);
    }

    /// By scipy: `ttest_ind(log(new), log(old), equal_var=False)`, and its `confidence_interval(0.95)`.
    #[test]
    fn the_interval_is_that_of_welch() {
        let welch =
            Welch::of(&times(&[100, 110, 120, 130], &[150, 160, 170]).samples).expect("two runs a side");
        assert!((welch.difference - 0.333_699_995_872).abs() < 1e-9, "{welch:?}");
        assert!((welch.freedom - 4.762_366_618_822).abs() < 1e-6, "{welch:?}");
        assert!((welch.probability(0.0) - 0.004_781_268_648).abs() < 1e-9, "{welch:?}");
        let interval = welch.interval(0.95).expect("an interval");
        assert!(
            (interval.low - 1.172_044_478_239).abs() < 1e-6
                && (interval.high - 1.663_045_151_700).abs() < 1e-6,
            "{interval:?}"
        );
    }

    #[test]
    fn among_many_a_single_evidence_must_be_stronger() {
        let (old, new) = ([1_000, 1_040, 1_080], [1_300, 1_340, 1_380]);
        assert_eq!(verdict(&old, &new), Verdict::Slower);
        let mut all: Vec<Times> =
            (0..1_000).map(|_| times(&[1_000, 1_100, 900], &[1_050, 950, 1_000])).collect();
        all.push(times(&old, &new));
        judge(&mut all, &Samples { old: vec![9_000; 3], new: vec![9_000; 3] });
        assert!(all.iter().all(|times| times.verdict == Verdict::NoEvidence));
    }

    /// An interruption that fell on the same function in every new run.
    #[test]
    fn what_is_less_than_whole_runs_are_apart_is_no_evidence() {
        let verdict = |whole: [u64; 3]| {
            let mut times = times(&[1_000, 1_010, 990], &[2_000, 2_010, 1_990]);
            judge([&mut times], &Samples { old: vec![9_000; 3], new: whole.into() });
            times.verdict
        };
        assert_eq!(verdict([10_000, 10_500, 10_999]), Verdict::Slower);
        assert_eq!(verdict([10_000, 10_500, 11_000]), Verdict::NoEvidence);
    }

    #[test]
    fn what_takes_hardly_any_time_is_not_judged() {
        let mut short = times(&[10, 11, 12], &[90, 91, 92]);
        judge([&mut short], &Samples { old: vec![1_000_000; 3], new: vec![1_000_000; 3] });
        assert_eq!(short.verdict, Verdict::TooShort);
        assert!(short.interval.is_some());
    }
}
