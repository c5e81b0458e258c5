//! Whether recordings can be compared at all.

use std::collections::BTreeSet;

use pyrec_schema::{Manifest, Python, RecordingEnd};
use serde::Serialize;

use super::align::Side;
use crate::measure::Trust;

/// Of so many events one may be lost. Beyond that, what is missing on one side would look like a difference.
const LOST_LIMIT: u64 = 1_000;

/// What stands against comparing, and what to keep in mind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparability {
    /// Why the two sides cannot be compared, a sentence each.
    pub reasons: Vec<String>,
    /// What may explain a difference though they can, a sentence each.
    pub notes: Vec<String>,
}

/// A run as far as this goes.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Which side it is on.
    pub side: Side,
    /// The facts of the recording.
    pub manifest: &'a Manifest,
    /// How far to trust it.
    pub trust: &'a Trust,
}

/// Something that is told of a recording, and by what name.
type Fact = (&'static str, fn(&Manifest) -> String);

impl Comparability {
    /// Looks at all runs.
    pub fn of(runs: &[Circumstances]) -> Comparability {
        let mut found = Comparability::of_all(runs, way);
        found.reasons.extend(runs.iter().filter_map(|run| loss(run.side, run.trust)));
        found.reasons.dedup();
        found
    }

    /// The same where it is compared what happened step by step: how far a recording goes, and where events of it were
    /// lost, is seen there.
    pub fn step_by_step(runs: &[Circumstances]) -> Comparability {
        Comparability::of_all(runs, |manifest| begin(manifest).into())
    }

    fn of_all(runs: &[Circumstances], way: fn(&Manifest) -> String) -> Comparability {
        let mut found = Comparability::default();
        let manifests: Vec<(Side, &Manifest)> = runs.iter().map(|run| (run.side, run.manifest)).collect();
        let facts: [Fact; 6] = [
            ("recorded markers", |manifest| words(&manifest.markers)),
            ("recorded only functions that match", |manifest| words(&manifest.include)),
            ("left out functions that match", |manifest| words(&manifest.exclude)),
            ("Python", pythons),
            ("recorded by", |manifest| manifest.provider.clone()),
            ("recording", way),
        ];
        found.reasons.extend(facts.iter().filter_map(|(what, fact)| difference(what, &manifests, fact)));
        let notes: [Fact; 2] = [("exit status", status), ("machine", |manifest| machine(manifest))];
        found.notes.extend(notes.iter().filter_map(|(what, fact)| difference(what, &manifests, fact)));
        found.notes.extend(order(&manifests));
        found
    }

    /// Whether nothing stands against it.
    pub fn is_comparable(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Says what a fact is on both sides if not all runs agree.
fn difference(what: &str, runs: &[(Side, &Manifest)], fact: impl Fn(&Manifest) -> String) -> Option<String> {
    let of = |side: Side| -> BTreeSet<String> {
        runs.iter().filter(|(of, _)| *of == side).map(|(_, manifest)| fact(manifest)).collect()
    };
    let (old, new) = (of(Side::Old), of(Side::New));
    let words = |side: BTreeSet<String>| side.into_iter().collect::<Vec<_>>().join(" or ");
    (old != new || old.len() > 1)
        .then(|| format!("{what}: {} in the old, {} in the new", words(old), words(new)))
}

/// Words in their order, each once.
fn words(words: &[String]) -> String {
    let words: BTreeSet<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() { "nothing".into() } else { words.into_iter().collect::<Vec<_>>().join(",") }
}

fn pythons(manifest: &Manifest) -> String {
    let builds: BTreeSet<String> = manifest.python.iter().map(build).collect();
    if builds.is_empty() { "unknown".into() } else { builds.into_iter().collect::<Vec<_>>().join(" and ") }
}

/// A version with what it was built as. When it was built is left out: `3.13.0 (main, Oct  7 2024) [GCC 12.2.0]`.
fn build(python: &Python) -> String {
    let Some(build) = &python.build else { return python.version.clone() };
    let day = build.find('(').zip(build.find(')')).filter(|(from, to)| from < to);
    let build = match day {
        Some((from, to)) => format!("{}{}", &build[..from], &build[to + 1..]),
        None => build.clone(),
    };
    build.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// From where to where a program was recorded.
fn way(manifest: &Manifest) -> String {
    let end = match &manifest.ended {
        RecordingEnd::Exited { .. } | RecordingEnd::Gone => "to its end",
        RecordingEnd::Killed { .. } => "until it was killed",
        RecordingEnd::Stopped => "until recording was stopped",
        RecordingEnd::Unknown => "until nobody knows when",
        RecordingEnd::Recording | RecordingEnd::Repaired | RecordingEnd::Failed { .. } => {
            "until recording failed"
        }
        RecordingEnd::Several { .. } => "in several runs",
    };
    format!("{} {end}", begin(manifest))
}

fn begin(manifest: &Manifest) -> &'static str {
    if manifest.attached.is_empty() { "from its start" } else { "from somewhere in the middle" }
}

fn status(manifest: &Manifest) -> String {
    match &manifest.ended {
        RecordingEnd::Exited { status } => status.to_string(),
        _ => "unknown".into(),
    }
}

fn machine(manifest: &Manifest) -> String {
    let host = &manifest.host;
    format!("{} ({} with {} processors)", host.name, host.machine, host.processors)
}

/// What is lost, or nobody knows to be there, is no difference between programs.
fn loss(side: Side, trust: &Trust) -> Option<String> {
    let side = if side == Side::Old { "an old" } else { "a new" };
    match trust.all_lost() {
        None => {
            Some(format!("lost events: nobody knows how many in {side} recording, since it was cut short"))
        }
        Some(lost) if lost.saturating_mul(LOST_LIMIT) > trust.events => {
            Some(format!("lost events: {lost} of {} in {side} recording", trust.events.saturating_add(lost)))
        }
        Some(_) => None,
    }
}

/// Whether a change of the machine between the sides could look like one of the program.
fn order(runs: &[(Side, &Manifest)]) -> Option<String> {
    let times = |side: Side| -> Vec<i64> {
        let runs = runs.iter().filter(|(of, _)| *of == side);
        runs.filter_map(|(_, manifest)| manifest.clock.anchor_unix_ns).collect()
    };
    let (old, new) = (times(Side::Old), times(Side::New));
    let is_before = |a: &[i64], b: &[i64]| a.iter().max() < b.iter().min();
    let are_apart = old.len() > 1 && new.len() > 1 && (is_before(&old, &new) || is_before(&new, &old));
    are_apart.then(|| {
        "one side was recorded before the other, so a change of the machine's load looks like one of the program; \
         record them by turns"
            .into()
    })
}

#[cfg(test)]
mod tests {
    //! What can be compared.

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

    fn between(change: impl Fn(&mut Manifest, &mut Trust)) -> Comparability {
        let (old, mut new) = (manifest(&["python", "a.py"], &["/a"]), manifest(&["python", "b.py"], &["/b"]));
        let (old_trust, mut new_trust) = (trust(), trust());
        change(&mut new, &mut new_trust);
        Comparability::of(&[
            Circumstances { side: Side::Old, manifest: &old, trust: &old_trust },
            Circumstances { side: Side::New, manifest: &new, trust: &new_trust },
        ])
    }

    #[test]
    fn paths_and_build_days_are_no_obstacle() {
        let found = between(|new, _| {
            new.markers = vec!["function".into(), "function".into()];
            new.python[0].executable = Some("/elsewhere/python".into());
        });
        assert_eq!(found, Comparability::default());
        let python =
            |build: &str| Python { build: Some(build.into()), ..manifest(&[], &[]).python[0].clone() };
        let ours = build(&python("3.13.0 (main, Oct  7 2024, 05:02:14) \n[GCC 12.2.0]"));
        assert_eq!(ours, "3.13.0 [GCC 12.2.0]");
        assert_eq!(ours, build(&python("3.13.0 (main, Jan 1 2026, 00:00:00) [GCC 12.2.0]")));
    }

    #[test]
    fn each_obstacle_is_named_with_both_sides() {
        let reason = |change: &dyn Fn(&mut Manifest, &mut Trust)| {
            let found = between(change);
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
                "lost events: nobody knows how many in a new recording, since it was cut short",
            ),
        ] {
            assert_eq!(found, expected);
        }
        assert!(between(|_, trust| trust.lost = 5).is_comparable());
    }

    #[test]
    fn what_may_explain_a_difference_is_noted() {
        let found = between(|new, _| {
            new.ended = RecordingEnd::Exited { status: 3 };
            new.host.name = "there".into();
        });
        assert!(found.is_comparable());
        assert_eq!(found.notes[0], "exit status: 0 in the old, 3 in the new");
        assert!(found.notes[1].starts_with("machine: here (x86_64 with 2 processors) in the old, there "));
    }

    #[test]
    fn sides_that_were_not_recorded_by_turns_are_noted() {
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
            let runs = runs.map(|(manifest, side)| Circumstances { side, manifest, trust: &trust });
            Comparability::of(&runs.collect::<Vec<_>>()).notes.len()
        };
        use Side::{New, Old};
        assert_eq!((notes([Old, Old, New, New]), notes([Old, New, Old, New])), (1, 0));
    }
}
