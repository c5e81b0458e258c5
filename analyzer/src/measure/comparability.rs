//! Whether recordings can be compared: they must have been made in the same way and be nearly
//! complete.

use std::collections::BTreeSet;

use pyrec_schema::{Manifest, Python, RecordingEnd};
use serde::Serialize;

use super::Trust;
use super::alignment::Side;

/// A run may have lost at most one of this many events. Beyond that, missing events would look like
/// differences.
const EVENTS_PER_LOST_EVENT: u64 = 1_000;

/// Whether runs can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparability {
    /// Why the sides cannot be compared, one sentence each; empty if they can.
    pub reasons: Vec<String>,
    /// Circumstances that may explain a difference between comparable sides, one sentence each.
    pub notes: Vec<String>,
}

/// What decides whether a run can be compared.
#[derive(Clone, Copy, Debug)]
pub struct RunConditions<'a> {
    /// The side that the run is on.
    pub side: Side,
    /// The manifest of the recording.
    pub manifest: &'a Manifest,
    /// The trust of the recording.
    pub trust: &'a Trust,
}

/// A property of a recording, with its name.
type Property = (&'static str, fn(&Manifest) -> String);

impl Comparability {
    /// Checks runs whose totals are to be compared.
    pub fn of(runs: &[RunConditions]) -> Comparability {
        let mut comparability = Comparability::of_all(runs, recorded_part);
        let reasons = &mut comparability.reasons;
        reasons.extend(runs.iter().filter_map(|run| loss(run.side, run.trust)));
        reasons.dedup();
        comparability
    }

    /// Checks runs whose sequences of calls are to be compared. How a recording ended and where it
    /// lost events are no obstacles, because the comparison shows both at their position.
    pub fn of_sequences(runs: &[RunConditions]) -> Comparability {
        Comparability::of_all(runs, |manifest| recorded_from(manifest).into())
    }

    fn of_all(runs: &[RunConditions], recorded_part: fn(&Manifest) -> String) -> Comparability {
        let mut comparability = Comparability::default();
        let manifests: Vec<(Side, &Manifest)> = runs.iter().map(|run| (run.side, run.manifest)).collect();
        let required: [Property; 6] = [
            ("recorded markers", |manifest| word_list(&manifest.markers)),
            ("recorded only functions that match", |manifest| word_list(&manifest.include)),
            ("left out functions that match", |manifest| word_list(&manifest.exclude)),
            ("Python", pythons),
            ("recorded by", |manifest| manifest.provider.clone()),
            ("recording", recorded_part),
        ];
        comparability
            .reasons
            .extend(required.iter().filter_map(|(name, property)| difference(name, &manifests, property)));
        let notable: [Property; 2] = [("exit status", exit_status), ("machine", machine)];
        comparability
            .notes
            .extend(notable.iter().filter_map(|(name, property)| difference(name, &manifests, property)));
        comparability.notes.extend(not_interleaved(&manifests));
        comparability
    }

    /// Whether there is no reason against the comparison.
    pub fn is_comparable(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Describes the values of a property on both sides, unless all runs have the same one.
fn difference(
    name: &str,
    runs: &[(Side, &Manifest)],
    property: impl Fn(&Manifest) -> String,
) -> Option<String> {
    let of = |side: Side| -> BTreeSet<String> {
        runs.iter().filter(|(of, _)| *of == side).map(|(_, manifest)| property(manifest)).collect()
    };
    let (old, new) = (of(Side::Old), of(Side::New));
    let alternatives = |side: BTreeSet<String>| side.into_iter().collect::<Vec<_>>().join(" or ");
    (old != new || old.len() > 1)
        .then(|| format!("{name}: {} in the old, {} in the new", alternatives(old), alternatives(new)))
}

/// Words sorted and without duplicates.
fn word_list(words: &[String]) -> String {
    let words: BTreeSet<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() { "nothing".into() } else { words.into_iter().collect::<Vec<_>>().join(",") }
}

fn pythons(manifest: &Manifest) -> String {
    let builds: BTreeSet<String> = manifest.python.iter().map(version_and_build).collect();
    if builds.is_empty() { "unknown".into() } else { builds.into_iter().collect::<Vec<_>>().join(" and ") }
}

/// The version of Python with its build, without the build date: `3.13.0 [GCC 12.2.0]`.
fn version_and_build(python: &Python) -> String {
    let Some(build) = &python.build else { return python.version.clone() };
    let date = build.find('(').zip(build.find(')')).filter(|(from, to)| from < to);
    let build = match date {
        Some((from, to)) => format!("{}{}", &build[..from], &build[to + 1..]),
        None => build.clone(),
    };
    build.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Which part of the program's run was recorded.
fn recorded_part(manifest: &Manifest) -> String {
    let end = match &manifest.ended {
        RecordingEnd::Exited { .. } | RecordingEnd::Gone => "to its end",
        RecordingEnd::Killed { .. } => "until it was killed",
        RecordingEnd::Stopped => "until recording was stopped",
        RecordingEnd::Unknown => "until an unknown time",
        RecordingEnd::Recording | RecordingEnd::Repaired | RecordingEnd::Failed { .. } => {
            "until recording failed"
        }
        RecordingEnd::Several { .. } => "in several runs",
    };
    format!("{} {end}", recorded_from(manifest))
}

fn recorded_from(manifest: &Manifest) -> &'static str {
    if manifest.attached.is_empty() { "from its start" } else { "from somewhere in the middle" }
}

fn exit_status(manifest: &Manifest) -> String {
    match &manifest.ended {
        RecordingEnd::Exited { status } => status.to_string(),
        _ => "unknown".into(),
    }
}

fn machine(manifest: &Manifest) -> String {
    let host = &manifest.host;
    format!("{} ({} with {} processors)", host.name, host.machine, host.processors)
}

/// Describes a loss of more than one in [`EVENTS_PER_LOST_EVENT`] events, or of an unknown number.
fn loss(side: Side, trust: &Trust) -> Option<String> {
    let side = if side == Side::Old { "an old" } else { "a new" };
    match trust.lost_if_known() {
        None => Some(format!("lost events: an unknown number in {side} recording, which was cut short")),
        Some(lost) if lost.saturating_mul(EVENTS_PER_LOST_EVENT) > trust.events => {
            Some(format!("lost events: {lost} of {} in {side} recording", trust.events.saturating_add(lost)))
        }
        Some(_) => None,
    }
}

/// Notes that all runs of one side were made before those of the other.
fn not_interleaved(runs: &[(Side, &Manifest)]) -> Option<String> {
    let times = |side: Side| -> Vec<i64> {
        let runs = runs.iter().filter(|(of, _)| *of == side);
        runs.filter_map(|(_, manifest)| manifest.clock.anchor_unix_ns).collect()
    };
    let (old, new) = (times(Side::Old), times(Side::New));
    let is_before = |a: &[i64], b: &[i64]| a.iter().max() < b.iter().min();
    let are_apart = old.len() > 1 && new.len() > 1 && (is_before(&old, &new) || is_before(&new, &old));
    are_apart.then(|| {
        "one side was recorded before the other, so a change of the machine's load looks like one of the program; \
         record them in turns"
            .into()
    })
}

#[cfg(test)]
mod tests {
    //! Comparable and incomparable runs.

    use super::*;
    use crate::testing::manifest;
    use crate::tree::Repairs;

    fn trust() -> Trust {
        Trust {
            events: 5_000,
            lost: 0,
            repaired: Repairs::default(),
            ended: RecordingEnd::Exited { status: 0 },
            cost_per_event_ns: None,
            torn_bytes: 0,
            slice: None,
        }
    }

    fn compare_with_changed(change: impl Fn(&mut Manifest, &mut Trust)) -> Comparability {
        let (old, mut new) = (manifest(&["python", "a.py"], &["/a"]), manifest(&["python", "b.py"], &["/b"]));
        let (old_trust, mut new_trust) = (trust(), trust());
        change(&mut new, &mut new_trust);
        Comparability::of(&[
            RunConditions { side: Side::Old, manifest: &old, trust: &old_trust },
            RunConditions { side: Side::New, manifest: &new, trust: &new_trust },
        ])
    }

    #[test]
    fn paths_and_build_dates_are_ignored() {
        let found = compare_with_changed(|new, _| {
            new.markers = vec!["function".into(), "function".into()];
            new.python[0].executable = Some("/elsewhere/python".into());
        });
        assert_eq!(found, Comparability::default());
        let python =
            |build: &str| Python { build: Some(build.into()), ..manifest(&[], &[]).python[0].clone() };
        let expected = version_and_build(&python("3.13.0 (main, Oct  7 2024, 05:02:14) \n[GCC 12.2.0]"));
        assert_eq!(expected, "3.13.0 [GCC 12.2.0]");
        assert_eq!(expected, version_and_build(&python("3.13.0 (main, Jan 1 2026, 00:00:00) [GCC 12.2.0]")));
    }

    #[test]
    fn each_reason_names_both_sides() {
        let reason = |change: &dyn Fn(&mut Manifest, &mut Trust)| {
            let found = compare_with_changed(change);
            assert!(!found.is_comparable());
            found.reasons.join(" | ")
        };
        for (found, expected) in [
            (
                reason(&|new, _| new.markers.push("line".into())),
                "recorded markers: function in the old, function,line in the new",
            ),
            (
                reason(&|new, _| new.include.push("a*".into())),
                "recorded only functions that match: nothing in the old, a* in the new",
            ),
            (
                reason(&|new, _| new.exclude.push("b*".into())),
                "left out functions that match: nothing in the old, b* in the new",
            ),
            (
                reason(&|new, _| new.python[0].version = "3.14.0".into()),
                "Python: 3.13.0 in the old, 3.14.0 in the new",
            ),
            (
                reason(&|new, _| new.provider = "usdt".into()),
                "recorded by: agent in the old, usdt in the new",
            ),
            (
                reason(&|new, _| new.attached.push(7)),
                "recording: from its start to its end in the old, from somewhere in the middle to its end in the new",
            ),
            (
                reason(&|new, _| new.ended = RecordingEnd::Killed { signal: 9 }),
                "recording: from its start to its end in the old, from its start until it was killed in the new",
            ),
            (reason(&|_, trust| trust.lost = 6), "lost events: 6 of 5006 in a new recording"),
            (
                reason(&|_, trust| trust.torn_bytes = 1),
                "lost events: an unknown number in a new recording, which was cut short",
            ),
        ] {
            assert_eq!(found, expected);
        }
        assert!(compare_with_changed(|_, trust| trust.lost = 5).is_comparable());
    }

    #[test]
    fn exit_status_and_machine_are_noted() {
        let found = compare_with_changed(|new, _| {
            new.ended = RecordingEnd::Exited { status: 3 };
            new.host.name = "there".into();
        });
        assert!(found.is_comparable());
        assert_eq!(found.notes[0], "exit status: 0 in the old, 3 in the new");
        assert!(found.notes[1].starts_with("machine: here (x86_64 with 2 processors) in the old, there "));
    }

    #[test]
    fn sides_that_were_not_recorded_in_turns_are_noted() {
        let runs: Vec<Manifest> = [1, 2, 3, 4]
            .map(|at| {
                let mut manifest = manifest(&["python", "a.py"], &["/a"]);
                manifest.clock.anchor_unix_ns = Some(at);
                manifest
            })
            .into();
        let trust = trust();
        let notes = |sides: [Side; 4]| {
            let runs = runs.iter().zip(sides);
            let runs = runs.map(|(manifest, side)| RunConditions { side, manifest, trust: &trust });
            Comparability::of(&runs.collect::<Vec<_>>()).notes.len()
        };
        use Side::{New, Old};
        assert_eq!((notes([Old, Old, New, New]), notes([Old, New, Old, New])), (1, 0));
    }
}
