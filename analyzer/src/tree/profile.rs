//! Conversion of call trees to profiles and back.

use std::collections::BTreeMap;

use pyrec_schema::{
    Excerpt, Manifest, Marker, Names, PROFILE_VERSION, PathId, Profile, ProfileKey, ProfileRowKind,
    ProfileSums, Python, RecordingEnd,
};

use super::{
    Frame, FrameFilter, NodeId, Nodes, ROOT, Repairs, Tally, ThreadInfo, ThreadSummary, TraceCounts,
    add_filtered, saturating_sum,
};
use crate::{CallTree, Error, Filter, Result};

/// The cost of events is summed in picoseconds, since one event costs only some nanoseconds.
const PS_PER_NS: f64 = 1e3;

impl CallTree {
    /// The profile of the trace: call paths, durations, and the facts of the trust line. It has no
    /// lines and no single calls, and merges the threads.
    pub fn profile(&self) -> Profile {
        let mut profile =
            ProfileMetadata::rows(&self.manifest, &self.counts, self.repairs(), self.torn_bytes);
        self.add_paths(&mut profile);
        self.add_durations(&mut profile);
        profile
    }

    /// Applies a filter to a profile: selects its call paths and keeps its facts.
    pub fn filter_profile(profile: &Profile, filter: &Filter) -> Result<Profile> {
        let calls = CallTree::of_profile(profile, filter)?;
        let mut filtered = Profile::default();
        calls.add_paths(&mut filtered);
        calls.add_durations(&mut filtered);
        let facts = profile
            .rows()
            .filter(|(key, _)| !matches!(key.row, ProfileRowKind::Path | ProfileRowKind::Duration));
        facts.for_each(|(key, sums)| filtered.add(key.clone(), sums));
        Ok(filtered)
    }

    /// Marks a profile as one of an excerpt, if the filter selects by time, root function or
    /// threads.
    pub fn mark_excerpt(profile: Profile, filter: &Filter) -> Profile {
        let is_some_threads = !filter.pids.is_empty() || !filter.tids.is_empty();
        let is_inside = filter.root.is_some();
        if filter.time.is_none() && !is_inside && !is_some_threads {
            return profile;
        }
        let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let from_ns = filter.time.map(|time| ns(time.from)).filter(|&from_ns| from_ns > 0);
        let to_ns = filter.time.and_then(|time| time.to.map(ns));
        let cut = |excerpt: Excerpt| {
            let excerpt = excerpt.cut(from_ns, to_ns);
            let (is_inside, is_some_threads) =
                (is_inside || excerpt.is_inside, is_some_threads || excerpt.is_some_threads);
            ProfileKey::fact(
                ProfileRowKind::Slice,
                Some(&json(&Excerpt { is_inside, is_some_threads, ..excerpt })),
            )
        };
        let mut marked = Profile::default();
        let mut whole = count_of(&profile, ProfileRowKind::Recording);
        for (key, sums) in profile.rows() {
            if let (ProfileRowKind::Slice, Some(name)) = (key.row, &key.name) {
                whole = whole.saturating_sub(sums.count);
                marked.add(cut(parse_excerpt(name)), sums);
            } else {
                marked.add(key.clone(), sums);
            }
        }
        if whole > 0 {
            let recording_ns = profile.number(ProfileRowKind::Span);
            let excerpt = Excerpt { recording_ns, is_several: whole > 1, ..Excerpt::default() };
            marked.add(cut(excerpt), &ProfileSums::of(whole));
        }
        marked
    }

    fn add_paths(&self, profile: &mut Profile) {
        let mut ids = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter() {
            let (frame, name) = kind_and_name(node.frame, &self.names);
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
            profile.add(key, &profile_sums(&node.tally));
        }
    }

    fn add_durations(&self, profile: &mut Profile) {
        for (frame, durations) in self.nodes.all_durations() {
            let (frame, name) = kind_and_name(frame, &self.names);
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

    /// The call tree of a profile, with what the filter selects.
    ///
    /// # Errors
    ///
    /// [`Error::NotInProfile`] if the filter selects by time or thread, and [`Error::Profile`] if
    /// the rows of the profile contradict one another.
    pub fn of_profile(profile: &Profile, filter: &Filter) -> Result<CallTree> {
        if filter.time.is_some() || !filter.pids.is_empty() || !filter.tids.is_empty() {
            return Err(Error::NotInProfile);
        }
        let names = Names::new();
        let mut all = paths(profile, &names)?;
        for (key, sums) in profile.rows_of(ProfileRowKind::Duration) {
            let bucket = key.bucket.and_then(|bucket| usize::try_from(bucket).ok());
            let durations = parse_frame(key, &names).and_then(|frame| all.durations_mut(frame));
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

/// The facts of a profile's recordings, without their calls.
#[derive(Debug)]
pub struct ProfileMetadata {
    /// A manifest with the values that all recordings have in common.
    pub manifest: Manifest,
    /// Counts over all recordings.
    pub counts: TraceCounts,
    /// Repairs in all recordings.
    pub repairs: Repairs,
    /// Bytes of truncated files that could not be read.
    pub torn_bytes: u64,
}

impl ProfileMetadata {
    /// The profile rows with the facts of one recording.
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
        if let Some(excerpt) = &manifest.slice {
            add(ProfileRowKind::Slice, Some(&json(excerpt)), 1);
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

    /// The facts of a profile.
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

/// The kind and the name of a frame in a profile.
fn kind_and_name(frame: Frame, names: &Names) -> (&'static str, Option<std::sync::Arc<str>>) {
    match frame {
        Frame::Thread => ("thread", None),
        Frame::Function(code) => ("function", Some(names.code_str(code))),
        Frame::Cfunction(name) => ("cfunction", names.text_str(name)),
        Frame::Gc => ("gc", None),
        Frame::Lost => ("lost", None),
    }
}

/// The frame of a profile row. None if its kind or name is invalid.
fn parse_frame(key: &ProfileKey, names: &Names) -> Option<Frame> {
    match (key.frame.as_deref()?, key.name.as_deref()) {
        ("thread", None) => Some(Frame::Thread),
        ("function", Some(code)) => Some(Frame::Function(names.code(code))),
        ("cfunction", Some(name)) => Some(Frame::Cfunction(names.text(name))),
        ("gc", None) => Some(Frame::Gc),
        ("lost", None) => Some(Frame::Lost),
        _ => None,
    }
}

/// The call paths of a profile, built from the root inwards.
///
/// # Errors
///
/// [`Error::Profile`] if a path has an unknown frame or is not below the root.
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
            let Some((frame, id)) =
                parse_frame(key, names).filter(|&frame| frame != Frame::Thread).zip(key.id)
            else {
                return Err(Error::Profile { reason: "a call path with an unknown frame" });
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

fn profile_sums(tally: &Tally) -> ProfileSums {
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
        let counts = profile.names_of(ProfileRowKind::Repaired).filter(|&(kind, _)| kind == wanted);
        saturating_sum(counts.map(|(_, count)| count))
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

/// A manifest with the values that all recordings have in common. Others are left unknown.
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
        slice: excerpt_of(profile),
        ..Manifest::unknown("pyrec profile")
    }
}

/// The number of recordings with a fact, whatever its value.
fn count_of(profile: &Profile, row: ProfileRowKind) -> u64 {
    profile.names_of(row).fold(0, |sum, (_, count)| sum.saturating_add(count))
}

/// The excerpt that a profile is of. If it combines several recordings, their times are left out.
fn excerpt_of(profile: &Profile) -> Option<Excerpt> {
    let excerpts: Vec<Excerpt> =
        profile.names_of(ProfileRowKind::Slice).map(|(name, _)| parse_excerpt(name)).collect();
    match excerpts.as_slice() {
        [] => None,
        [only] if count_of(profile, ProfileRowKind::Recording) == 1 => Some(only.clone()),
        several => Some(Excerpt {
            is_inside: several.iter().any(|excerpt| excerpt.is_inside),
            is_some_threads: several.iter().any(|excerpt| excerpt.is_some_threads),
            is_several: true,
            ..Excerpt::default()
        }),
    }
}

fn parse_excerpt(name: &str) -> Excerpt {
    serde_json::from_str(name).unwrap_or(Excerpt { is_several: true, ..Excerpt::default() })
}

fn ended(profile: &Profile) -> RecordingEnd {
    let parse = |(name, count): (&str, u64)| {
        (serde_json::from_str::<RecordingEnd>(name).unwrap_or(RecordingEnd::Recording), count)
    };
    let ends: Vec<(RecordingEnd, u64)> = profile.names_of(ProfileRowKind::Recording).map(parse).collect();
    if let [(only, _)] = ends.as_slice() {
        return only.clone();
    }
    let mut endings = BTreeMap::new();
    for (end, count) in &ends {
        let sum: &mut u64 = endings.entry(end.to_string()).or_default();
        *sum = sum.saturating_add(*count);
    }
    RecordingEnd::Several {
        endings,
        cut: saturating_sum(ends.iter().filter(|(end, _)| end.is_cut()).map(|&(_, count)| count)),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are valid JSON")
}

#[cfg(test)]
mod tests {
    //! Profiles with implausible numbers.

    use super::*;

    #[test]
    fn the_numbers_of_a_damaged_profile_saturate() {
        let mut profile = Profile::default();
        let huge = ProfileSums { self_ns: u64::MAX, points: u64::MAX, ..ProfileSums::of(u64::MAX) };
        for name in ["a", "b", "c"] {
            let key = ProfileKey {
                id: Some(PathId::ROOT.child("cfunction", name)),
                parent: Some(PathId::ROOT),
                frame: Some("cfunction".into()),
                name: Some(name.into()),
                ..ProfileKey::fact(ProfileRowKind::Path, None)
            };
            profile.add(key, &huge);
        }
        for marker in [Marker::FunctionEntry, Marker::FunctionReturn] {
            profile.add(ProfileKey::fact(ProfileRowKind::Marker, Some(marker.name())), &huge);
        }
        for (kind, _) in Repairs::default().kinds() {
            profile.add(ProfileKey::fact(ProfileRowKind::Repaired, Some(kind)), &huge);
        }
        for end in
            [RecordingEnd::Recording, RecordingEnd::Exited { status: 0 }, RecordingEnd::Exited { status: 1 }]
        {
            profile.add(ProfileKey::fact(ProfileRowKind::Recording, Some(&json(&end))), &huge);
        }
        let filter = Filter { exclude: vec!["*".parse().expect("a valid pattern")], ..Filter::default() };
        let calls = CallTree::of_profile(&profile, &filter).expect("the rows are consistent");
        assert_eq!(calls.nodes[ROOT].tally.points, u64::MAX);
        assert_eq!((calls.counts.events(), calls.repairs().total()), (u64::MAX, u64::MAX));
    }
}
