//! When a footer is due.
//!
//! A footer repeats all row groups before it, so one for each would be quadratic: a thousand row groups, and half of the
//! file is footers. Too few, and a crash costs much of what was recorded.
//!
//! ```text
//! ││││││││││ │ │ │  │  │  │   │   │    │     │     │       │    time ─▶
//! each time   as often as they take their share; when the last one is old, in any case
//! ```

use std::time::Duration;

/// Footers may take this much and a hundredth of the file. (Together less than the larger of twice this and a fiftieth of
/// the file.)
const FOOTERS_BYTES: u64 = 128 << 10;
const FOOTERS_SHARE: u64 = 100;

/// A footer that would take more than that is written all the same when the last one is older than this part of the
/// recording: a slow program fills no files, and yet a crash must not cost the day. So there are some two hundred
/// such footers in a day, most of them early.
const OLDEST_SHARE: u32 = 20;

/// But never sooner than this.
const OLDEST: Duration = Duration::from_secs(10);

/// What a row group adds to a footer, at most.
const GROUP_FOOTER_BYTES: u64 = 1 << 10;

/// What the footers of a file take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spacing {
    /// All together.
    footers_len: u64,
    /// The last one.
    footer_len: u64,
}

impl Spacing {
    /// A footer was written.
    pub(crate) fn add(&mut self, footer_len: u64) {
        self.footer_len = footer_len;
        self.footers_len += footer_len;
    }

    /// Whether one more, with so many new row groups in it, leaves footers their share of a file of that length.
    pub(crate) fn fits(&self, new_groups: usize, file_len: u64) -> bool {
        let footer_len = self.footer_len + new_groups as u64 * GROUP_FOOTER_BYTES;
        self.footers_len + footer_len <= FOOTERS_BYTES + file_len / FOOTERS_SHARE
    }

    /// Whether the last one is too old for a recording of that age.
    pub(crate) fn is_old(recording: Duration, footer: Duration) -> bool {
        footer >= OLDEST.max(recording / OLDEST_SHARE)
    }
}

#[cfg(test)]
mod tests {
    //! What `docs/recording.md` promises, second by second.

    use super::*;

    /// Between two looks at whether one is due.
    const TICK: Duration = Duration::from_millis(500);

    /// What a footer takes, and each row group in it, as measured.
    const FOOTER: u64 = 2_000;
    const GROUP: u64 = 420;

    /// The instants of the footers of a recording that grows by so many bytes a second, and what share of it they take.
    fn footers(bytes_per_s: u64, length: Duration) -> (Vec<Duration>, f64) {
        let (mut spacing, mut at, mut data) = (Spacing::default(), vec![Duration::ZERO], 0);
        spacing.add(FOOTER);
        let mut now = TICK;
        while now <= length {
            data += bytes_per_s * TICK.as_millis() as u64 / 1_000;
            let is_old = Spacing::is_old(now, now - at[at.len() - 1]);
            if is_old || spacing.fits(1, data + spacing.footers_len) {
                spacing.add(FOOTER + GROUP * at.len() as u64);
                at.push(now);
            }
            now += TICK;
        }
        (at, spacing.footers_len as f64 / (spacing.footers_len + data) as f64)
    }

    /// The longest time between two footers up to an instant, and after another one.
    fn longest(at: &[Duration], from_s: u64, to_s: u64) -> Duration {
        let in_time = |pair: &&[Duration]| (from_s..to_s).contains(&pair[1].as_secs());
        at.windows(2).filter(in_time).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    #[test]
    fn a_short_recording_has_them_twice_a_second_and_a_long_one_when_the_last_is_old() {
        const HOUR: Duration = Duration::from_secs(3_600);
        // A thousand, a hundred thousand, a million and ten million events a second.
        for bytes_per_s in [3_800, 130_000, 750_000, 5_000_000] {
            let (at, share) = footers(bytes_per_s, HOUR);
            assert_eq!(longest(&at, 0, 10), TICK, "{bytes_per_s}");
            for (to_s, most_s) in [(60, 10), (200, 10), (600, 30), (3_600, 180)] {
                assert!(
                    longest(&at, 10, to_s).as_secs_f64() <= f64::from(most_s),
                    "{bytes_per_s} up to {to_s} s"
                );
            }
            assert!(bytes_per_s < 100_000 || share < 0.02, "{bytes_per_s}: {share}");
        }
        // The more there is of it, the more often.
        let busy = |bytes_per_s, to_s| longest(&footers(bytes_per_s, HOUR).0, 0, to_s).as_secs_f64();
        assert!(busy(750_000, 60) <= 4.0 && busy(750_000, 600) <= 10.0 && busy(5_000_000, 600) <= 4.0);
    }

    #[test]
    fn a_slow_recording_is_checkpointed_less_and_less_often_but_always_again() {
        let cases = [(60, 9, false), (60, 10, true), (3600, 179, false), (3600, 180, true)];
        for (recording, footer, old) in cases {
            let [recording, footer] = [recording, footer].map(Duration::from_secs);
            assert_eq!(Spacing::is_old(recording, footer), old, "{footer:?} in {recording:?}");
        }
        // A day with hardly an event.
        let (at, _) = footers(10, Duration::from_secs(86_400));
        assert!((100..220).contains(&at.len()), "{}", at.len());
    }
}
