//! A tree as a profile, and back.

use std::collections::BTreeMap;

use pyrec_schema::{
    Excerpt, Manifest, Marker, Names, PROFILE_VERSION, PathId, Profile, ProfileKey, ProfileRowKind,
    ProfileSums, Python, RecordingEnd,
};

use super::{
    Frame, FrameFilter, NodeId, Nodes, ROOT, Repairs, Tally, ThreadInfo, ThreadSummary, TraceCounts,
    add_filtered,
};
use crate::{CallTree, Error, Filter, Result};

/// Nanoseconds are too coarse for the cost of an event, so it is summed in picoseconds.
const PS_PER_NS: f64 = 1e3;

impl CallTree {
    /// What adds up of it: call paths, durations, and the facts that the trust line needs. Lines and single calls are
    /// gone, threads lie together.
    pub fn profile(&self) -> Profile {
        let mut profile =
            ProfileMetadata::rows(&self.manifest, &self.counts, self.repairs(), self.torn_bytes);
        self.add_paths(&mut profile);
        self.add_durations(&mut profile);
        profile
    }

    /// What a filter leaves of a profile: fewer paths, and the same facts.
    pub fn narrow(profile: &Profile, filter: &Filter) -> Result<Profile> {
        let calls = CallTree::of_profile(profile, filter)?;
        let mut narrowed = Profile::default();
        calls.add_paths(&mut narrowed);
        calls.add_durations(&mut narrowed);
        let facts = profile
            .rows()
            .filter(|(key, _)| !matches!(key.row, ProfileRowKind::Path | ProfileRowKind::Duration));
        facts.for_each(|(key, sums)| narrowed.add(key.clone(), sums));
        Ok(narrowed)
    }

    /// The same profile, which says that it is only of what the filter asks for.
    pub fn part(profile: Profile, filter: &Filter) -> Profile {
        let is_some_threads = !filter.pids.is_empty() || !filter.tids.is_empty();
        let is_inside = filter.root.is_some();
        if filter.time.is_none() && !is_inside && !is_some_threads {
            return profile;
        }
        let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let from_ns = filter.time.map(|time| ns(time.from)).filter(|&from_ns| from_ns > 0);
        let to_ns = filter.time.and_then(|time| time.to.map(ns));
        let cut = |slice: Excerpt| {
            let slice = slice.cut(from_ns, to_ns);
            let (is_inside, is_some_threads) =
                (is_inside || slice.is_inside, is_some_threads || slice.is_some_threads);
            ProfileKey::fact(
                ProfileRowKind::Slice,
                Some(&json(&Excerpt { is_inside, is_some_threads, ..slice })),
            )
        };
        let mut part = Profile::default();
        let mut whole = count_of(&profile, ProfileRowKind::Recording);
        for (key, sums) in profile.rows() {
            if let (ProfileRowKind::Slice, Some(name)) = (key.row, &key.name) {
                whole = whole.saturating_sub(sums.count);
                part.add(cut(slice(name)), sums);
            } else {
                part.add(key.clone(), sums);
            }
        }
        if whole > 0 {
            let of_ns = profile.number(ProfileRowKind::Span);
            let slice = Excerpt { recording_ns: of_ns, is_several: whole > 1, ..Excerpt::default() };
            part.add(cut(slice), &ProfileSums::of(whole));
        }
        part
    }

    fn add_paths(&self, profile: &mut Profile) {
        let mut ids = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter() {
            let (frame, name) = words(node.frame, &self.names);
            let parent = (at != ROOT).then(|| ids[node.parent as usize]);
            let id = parent.map_or(PathId::ROOT, |parent: PathId| {
                parent.child(frame, name.as_deref().unwrap_or_default())
            });
            ids.push(id);
            let key = ProfileKey {
                row: ProfileRowKind::Path,
                id: Some(id),
                parent,
                frame: Some(frame.into()),
                name,
                bucket: None,
            };
            profile.add(key, &subtree_sums(&node.tally));
        }
    }

    fn add_durations(&self, profile: &mut Profile) {
        for (frame, durations) in self.nodes.all_durations() {
            let (frame, name) = words(frame, &self.names);
            for (bucket, calls) in durations.buckets() {
                let key = ProfileKey {
                    frame: Some(frame.into()),
                    name: name.clone(),
                    bucket: i32::try_from(bucket).ok(),
                    ..ProfileKey::fact(ProfileRowKind::Duration, None)
                };
                profile.add(key, &ProfileSums::of(calls));
            }
        }
    }

    /// The tree that a profile tells, as far as the filter asks for it. A profile knows neither when something happened
    /// nor in which thread, so a filter that asks for that is refused.
    pub fn of_profile(profile: &Profile, filter: &Filter) -> Result<CallTree> {
        if filter.time.is_some() || !filter.pids.is_empty() || !filter.tids.is_empty() {
            return Err(Error::NotInProfile);
        }
        let names = Names::new();
        let mut all = paths(profile, &names)?;
        for (key, sums) in profile.rows_of(ProfileRowKind::Duration) {
            let bucket = key.bucket.and_then(|bucket| usize::try_from(bucket).ok());
            let durations = frame(key, &names).and_then(|frame| all.durations_mut(frame));
            let added =
                bucket.zip(durations).is_some_and(|(at, durations)| durations.add_to_bucket(at, sums.count));
            if !added {
                return Err(Error::Profile { reason: "durations of a function on no path" });
            }
        }
        let mut nodes = Nodes::default();
        add_filtered(&mut all, &mut FrameFilter::new(filter, &names), &mut nodes);
        let ProfileMetadata { manifest, counts, repairs, torn_bytes } = ProfileMetadata::of(profile);
        Ok(CallTree {
            nodes,
            names: names.into(),
            manifest,
            counts,
            threads: vec![ThreadSummary {
                pid: 0,
                tid: 0,
                in_calls_ns: 0,
                repairs,
                info: ThreadInfo::default(),
            }],
            torn_bytes,
            min_time_ns: filter.min_time_ns(),
        })
    }
}

/// What a profile tells of its recordings beside their calls.
#[derive(Debug)]
pub struct ProfileMetadata {
    /// What is true of all the recordings.
    pub manifest: Manifest,
    /// What they hold.
    pub counts: TraceCounts,
    /// What had to be mended in them.
    pub repairs: Repairs,
    /// Bytes of cut files that could not be read.
    pub torn_bytes: u64,
}

impl ProfileMetadata {
    /// The rows that tell them of one recording.
    pub fn rows(manifest: &Manifest, counts: &TraceCounts, repairs: Repairs, torn_bytes: u64) -> Profile {
        let mut profile = Profile::default();
        let mut add = |row, name: Option<&str>, count| {
            if count > 0 {
                profile.add(ProfileKey::fact(row, name), &ProfileSums::of(count));
            }
        };
        add(ProfileRowKind::Format, Some(PROFILE_VERSION), 1);
        add(ProfileRowKind::Recording, Some(&json(&manifest.ended)), 1);
        add(ProfileRowKind::Command, Some(&json(&manifest.command)), 1);
        add(ProfileRowKind::Provider, Some(&manifest.provider), 1);
        for python in &manifest.python {
            add(ProfileRowKind::Python, Some(&python.version), 1);
            python.path.iter().for_each(|entry| add(ProfileRowKind::ModulePath, Some(entry), 1));
        }
        Marker::ALL
            .iter()
            .for_each(|&marker| add(ProfileRowKind::Marker, Some(marker.name()), counts.of(marker)));
        repairs
            .kinds()
            .into_iter()
            .for_each(|(kind, count)| add(ProfileRowKind::Repaired, Some(kind), count));
        if let Some(slice) = &manifest.slice {
            add(ProfileRowKind::Slice, Some(&json(slice)), 1);
        }
        add(ProfileRowKind::Lost, None, counts.lost);
        add(ProfileRowKind::TornBytes, None, torn_bytes);
        add(ProfileRowKind::Span, None, counts.duration_ns());
        if let Some(cost_ns) = manifest.cost_per_event_ns {
            add(ProfileRowKind::Cost, None, (cost_ns * PS_PER_NS * counts.events() as f64).round() as u64);
            add(ProfileRowKind::CostEvents, None, counts.events());
        }
        profile
    }

    /// Those of a profile.
    pub fn of(profile: &Profile) -> ProfileMetadata {
        let counts = counts(profile);
        ProfileMetadata {
            manifest: manifest(profile, counts.events()),
            repairs: repairs(profile),
            torn_bytes: profile.number(ProfileRowKind::TornBytes),
            counts,
        }
    }
}

/// A frame's kind and name in a profile.
fn words(frame: Frame, names: &Names) -> (&'static str, Option<std::sync::Arc<str>>) {
    match frame {
        Frame::Thread => ("thread", None),
        Frame::Function(code) => ("function", Some(names.code_str(code))),
        Frame::Cfunction(name) => ("cfunction", names.text_str(name)),
        Frame::Gc => ("gc", None),
        Frame::Lost => ("lost", None),
    }
}

/// The other way.
fn frame(key: &ProfileKey, names: &Names) -> Option<Frame> {
    match (key.frame.as_deref()?, key.name.as_deref()) {
        ("thread", None) => Some(Frame::Thread),
        ("function", Some(code)) => Some(Frame::Function(names.code(code))),
        ("cfunction", Some(name)) => Some(Frame::Cfunction(names.text(name))),
        ("gc", None) => Some(Frame::Gc),
        ("lost", None) => Some(Frame::Lost),
        _ => None,
    }
}

/// The paths, from the outermost callers inwards, so that what is not below the root is found out.
fn paths(profile: &Profile, names: &Names) -> Result<Nodes> {
    let mut callees: BTreeMap<PathId, Vec<(&ProfileKey, &ProfileSums)>> = BTreeMap::new();
    let mut nodes = Nodes::default();
    let mut left = 0;
    for (key, sums) in profile.rows_of(ProfileRowKind::Path) {
        match key.parent {
            Some(parent) => callees.entry(parent).or_default().push((key, sums)),
            None => nodes[ROOT].tally.add(&tally(sums)),
        }
        left += usize::from(key.parent.is_some());
    }
    let mut waiting: Vec<(PathId, NodeId)> = vec![(PathId::ROOT, ROOT)];
    while let Some((id, node)) = waiting.pop() {
        for (key, sums) in callees.remove(&id).into_iter().flatten() {
            let Some((frame, id)) = frame(key, names).filter(|&frame| frame != Frame::Thread).zip(key.id)
            else {
                return Err(Error::Profile { reason: "a call path of no known frame" });
            };
            let child = nodes.child(node, frame);
            nodes[child].tally.add(&tally(sums));
            waiting.push((id, child));
            left -= 1;
        }
    }
    if left > 0 {
        return Err(Error::Profile { reason: "call paths whose callers are missing" });
    }
    Ok(nodes)
}

fn subtree_sums(tally: &Tally) -> ProfileSums {
    let measured = |ns| (tally.measured > 0).then_some(ns);
    ProfileSums {
        count: tally.entries,
        self_ns: tally.self_ns,
        points: tally.points,
        orphans: tally.orphans,
        measured: tally.measured,
        measured_ns: tally.measured_ns,
        min_ns: measured(tally.min_ns),
        max_ns: measured(tally.max_ns),
    }
}

fn tally(sums: &ProfileSums) -> Tally {
    Tally {
        self_ns: sums.self_ns,
        points: sums.points,
        entries: sums.count.max(sums.orphans),
        orphans: sums.orphans,
        measured: sums.measured,
        measured_ns: sums.measured_ns,
        min_ns: sums.min_ns.unwrap_or(Tally::NONE.min_ns),
        max_ns: sums.max_ns.unwrap_or(Tally::NONE.max_ns),
    }
}

fn repairs(profile: &Profile) -> Repairs {
    let of = |wanted: &str| {
        profile
            .names_of(ProfileRowKind::Repaired)
            .filter(|&(kind, _)| kind == wanted)
            .map(|(_, count)| count)
            .sum()
    };
    Repairs {
        orphan_entries: of("orphan_entries"),
        unmatched_returns: of("unmatched_returns"),
        still_open: of("still_open"),
        cut_by_loss: of("cut_by_loss"),
        backwards: of("backwards"),
    }
}

fn counts(profile: &Profile) -> TraceCounts {
    let mut counts = TraceCounts {
        lost: profile.number(ProfileRowKind::Lost),
        first_ns: 0,
        last_ns: i64::try_from(profile.number(ProfileRowKind::Span)).unwrap_or(i64::MAX),
        ..TraceCounts::default()
    };
    for (name, count) in profile.names_of(ProfileRowKind::Marker) {
        if let Some(marker) = Marker::from_name(name) {
            counts.markers[marker as usize] = count;
        }
    }
    counts
}

/// What is true of all the recordings; what differs between them is unknown.
fn manifest(profile: &Profile, events: u64) -> Manifest {
    let only = |row| {
        let mut names = profile.names_of(row).map(|(name, _)| name);
        names.next().filter(|_| names.next().is_none())
    };
    let (cost_ps, measured) =
        (profile.number(ProfileRowKind::Cost), profile.number(ProfileRowKind::CostEvents));
    let path: Vec<String> =
        profile.names_of(ProfileRowKind::ModulePath).map(|(entry, _)| entry.to_owned()).collect();
    let version = only(ProfileRowKind::Python).unwrap_or("several").to_owned();
    Manifest {
        command: only(ProfileRowKind::Command)
            .and_then(|words| serde_json::from_str(words).ok())
            .unwrap_or_default(),
        provider: only(ProfileRowKind::Provider).unwrap_or_default().to_owned(),
        python: vec![Python { version, build: None, executable: None, path }],
        cost_per_event_ns: (events > 0 && measured == events)
            .then(|| cost_ps as f64 / PS_PER_NS / events as f64),
        ended: ended(profile),
        slice: slice_of(profile),
        ..Manifest::unknown("pyrec profile")
    }
}

/// A fact that may have several names.
fn count_of(profile: &Profile, row: ProfileRowKind) -> u64 {
    profile.names_of(row).fold(0, |sum, (_, count)| sum.saturating_add(count))
}

/// Which part of a recording it is, or that it is one of some of several.
fn slice_of(profile: &Profile) -> Option<Excerpt> {
    let slices: Vec<Excerpt> = profile.names_of(ProfileRowKind::Slice).map(|(name, _)| slice(name)).collect();
    match slices.as_slice() {
        [] => None,
        [only] if count_of(profile, ProfileRowKind::Recording) == 1 => Some(only.clone()),
        several => Some(Excerpt {
            is_inside: several.iter().any(|slice| slice.is_inside),
            is_some_threads: several.iter().any(|slice| slice.is_some_threads),
            is_several: true,
            ..Excerpt::default()
        }),
    }
}

fn slice(name: &str) -> Excerpt {
    serde_json::from_str(name).unwrap_or(Excerpt { is_several: true, ..Excerpt::default() })
}

fn ended(profile: &Profile) -> RecordingEnd {
    let known = |(name, count): (&str, u64)| {
        (serde_json::from_str::<RecordingEnd>(name).unwrap_or(RecordingEnd::Recording), count)
    };
    let ways: Vec<(RecordingEnd, u64)> = profile.names_of(ProfileRowKind::Recording).map(known).collect();
    if let [(only, _)] = ways.as_slice() {
        return only.clone();
    }
    let mut endings = BTreeMap::new();
    for (way, count) in &ways {
        *endings.entry(way.to_string()).or_default() += count;
    }
    RecordingEnd::Several {
        endings,
        cut: ways.iter().filter(|(way, _)| way.is_cut()).map(|(_, count)| count).sum(),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are JSON")
}
