//! The trust line, which ends every report: events, losses, repairs, the end of the recording, the
//! cost of tracing.

use std::fmt;

use pyrec_schema::Excerpt;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::display::{Count, Time, plural};
use crate::escape::Printable;
use crate::measure::Trust;
use crate::tree::Repairs;

/// The trust line of a report, without a line end. A value that the trace does not contain is
/// `unknown`, never 0.
pub fn trust_line(trust: &Trust) -> String {
    let lost = match trust.lost_if_known() {
        Some(lost) => format!("{} lost", Count(lost)),
        None if trust.lost > 0 => format!("lost unknown ({} known of)", Count(trust.lost)),
        None => "lost unknown".into(),
    };
    let cost = match trust.cost_per_event_ns {
        Some(cost_ns) => format!("{} per event", Time(cost_ns.max(0.0).round() as u64)),
        None => "unknown".into(),
    };
    let torn = match trust.torn_bytes {
        0 => String::new(),
        bytes => format!(", {} at the end unreadable", plural(bytes, "byte")),
    };
    let slice =
        trust.slice.as_ref().map(|slice| format!(", a slice: {}", SliceSpan(slice))).unwrap_or_default();
    format!(
        "trust: {}, {lost}, {}, {}{torn}{slice}, tracing cost {cost}",
        plural(trust.events, "event"),
        repaired(&trust.repaired),
        Printable(&trust.ended.to_string()),
    )
}

/// The position and length of a slice in its recording, as text.
pub struct SliceSpan<'a>(pub &'a Excerpt);

impl fmt::Display for SliceSpan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excerpt { from_ns, to_ns, recording_ns, is_inside, is_some_threads, is_several } = *self.0;
        let (from, to) = (from_ns.unwrap_or(0), to_ns.unwrap_or(recording_ns).min(recording_ns));
        let length = || format!("{} of {}", Time(to.saturating_sub(from)), Time(recording_ns));
        match (from_ns, to_ns) {
            _ if is_several => f.write_str("parts of several recordings")?,
            (None, None) => write!(f, "{}", length())?,
            (Some(_), None) => write!(f, "{}, the last", length())?,
            (None, Some(_)) => write!(f, "{}, the first", length())?,
            (Some(from), Some(_)) => write!(f, "{}, from {} on", length(), Time(from))?,
        }
        f.write_str(if is_inside { ", only inside some calls" } else { "" })?;
        f.write_str(if is_some_threads { ", only some threads" } else { "" })
    }
}

fn repaired(repairs: &Repairs) -> String {
    let singulars =
        ["orphan entry", "unmatched return", "call still open", "call cut by a loss", "step back in time"];
    let plurals = [
        "orphan entries",
        "unmatched returns",
        "calls still open",
        "calls cut by a loss",
        "steps back in time",
    ];
    let kinds: Vec<String> = repairs
        .kinds()
        .iter()
        .zip(singulars.iter().zip(plurals))
        .filter(|((_, count), _)| *count > 0)
        .map(|(&(_, count), (one, many))| format!("{} {}", Count(count), if count == 1 { one } else { many }))
        .collect();
    let total = Count(repairs.total());
    if kinds.is_empty() {
        format!("{total} repaired")
    } else {
        format!("{total} repaired ({})", kinds.join(", "))
    }
}

/// The value of the key `trust` in JSON reports.
impl Serialize for Trust {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("lost", &self.lost_if_known())?;
        map.serialize_entry("repaired", &self.repaired)?;
        map.serialize_entry("ended", &self.ended)?;
        map.serialize_entry("cost_per_event_ns", &self.cost_per_event_ns)?;
        map.serialize_entry("torn_bytes", &self.torn_bytes)?;
        if let Some(slice) = &self.slice {
            map.serialize_entry("slice", slice)?;
        }
        map.end()
    }
}

impl Serialize for Repairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.kinds())
    }
}

#[cfg(test)]
mod tests {
    //! Trust lines of whole, damaged and sliced recordings.

    use pyrec_schema::RecordingEnd;

    use super::*;

    fn trust() -> Trust {
        Trust {
            events: 1_234_567,
            lost: 0,
            repaired: Repairs::default(),
            ended: RecordingEnd::Exited { status: 0 },
            cost_per_event_ns: Some(30.6),
            torn_bytes: 0,
            slice: None,
        }
    }

    #[test]
    fn a_clean_recording() {
        assert_eq!(
            trust_line(&trust()),
            "trust: 1,234,567 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event"
        );
    }

    #[test]
    fn every_repair_is_named() {
        let repaired =
            Repairs { orphan_entries: 1, unmatched_returns: 2, still_open: 3, cut_by_loss: 4, backwards: 5 };
        let killed = Trust { lost: 70, repaired, ended: RecordingEnd::Killed { signal: 9 }, ..trust() };
        assert_eq!(
            trust_line(&killed),
            "trust: 1,234,567 events, 70 lost, 15 repaired (1 orphan entry, 2 unmatched returns, 3 calls still open, \
             4 calls cut by a loss, 5 steps back in time), killed by signal 9, tracing cost 31 ns per event"
        );
    }

    #[test]
    fn a_slice_is_named_with_its_position() {
        let slice =
            Excerpt { from_ns: Some(7_000_000_000), recording_ns: 10_000_000_000, ..Excerpt::default() };
        let last = Trust { slice: Some(slice.clone()), ..trust() };
        assert_eq!(
            trust_line(&last),
            "trust: 1,234,567 events, 0 lost, 0 repaired, exited with 0, a slice: 3.00 s of 10.0 s, the last, tracing \
             cost 31 ns per event"
        );
        let json = serde_json::to_value(&last).expect("the output is valid JSON");
        assert_eq!(json["slice"]["from_ns"], 7_000_000_000u64);
        let middle = Excerpt { to_ns: Some(8_000_000_000), is_inside: true, is_some_threads: true, ..slice };
        assert_eq!(
            SliceSpan(&middle).to_string(),
            "1.00 s of 10.0 s, from 7.00 s on, only inside some calls, only some threads"
        );
    }

    #[test]
    fn missing_values_are_unknown() {
        let cut =
            Trust { ended: RecordingEnd::Recording, cost_per_event_ns: None, torn_bytes: 4_096, ..trust() };
        assert_eq!(
            trust_line(&cut),
            "trust: 1,234,567 events, lost unknown, 0 repaired, not finished: recorded still, or cut short, 4,096 bytes \
             at the end unreadable, tracing cost unknown"
        );
        let json = serde_json::to_value(&cut).expect("the output is valid JSON");
        assert_eq!(
            (&json["lost"], &json["cost_per_event_ns"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        let lossy = Trust { lost: 5, ..cut };
        assert!(trust_line(&lossy).contains("lost unknown (5 known of)"));
    }

    #[test]
    fn control_characters_in_a_reason_are_escaped() {
        let failed = Trust { ended: RecordingEnd::Failed { reason: "\u{1b}[2J".into() }, ..trust() };
        assert!(!trust_line(&failed).contains('\u{1b}'));
    }
}
