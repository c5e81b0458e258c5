//! A recording reduced to what adds up: call paths with their calls and times.
//!
//! Rows of equal keys are one row, whose numbers are summed. So profiles merge in any order, by [`Profile::add`] as well
//! as by a `GROUP BY` over the key columns in any engine, and come out the same.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use twox_hash::XxHash64;

/// What a row of a profile is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileRowKind {
    /// The version of the profile's format.
    Format,
    /// A call path.
    Path,
    /// How many calls of a function took so long.
    Duration,
    /// A recording; the name says how it ended.
    Recording,
    /// What was run.
    Command,
    /// A version of Python.
    Python,
    /// An entry of `sys.path`.
    ModulePath,
    /// A provider.
    Provider,
    /// How many rows of a marker there were.
    Marker,
    /// Events that were lost.
    Lost,
    /// What had to be mended.
    Repaired,
    /// A recording that was only a part of one, and which part.
    Slice,
    /// Bytes that could not be read.
    TornBytes,
    /// From the first event of a recording to the last, nanoseconds.
    Span,
    /// What recording cost, picoseconds, as far as it was measured.
    Cost,
    /// Events whose cost was measured.
    CostEvents,
}

impl ProfileRowKind {
    /// All of them.
    pub const ALL: [ProfileRowKind; 16] = [
        ProfileRowKind::Format,
        ProfileRowKind::Path,
        ProfileRowKind::Duration,
        ProfileRowKind::Recording,
        ProfileRowKind::Command,
        ProfileRowKind::Python,
        ProfileRowKind::ModulePath,
        ProfileRowKind::Provider,
        ProfileRowKind::Marker,
        ProfileRowKind::Lost,
        ProfileRowKind::Repaired,
        ProfileRowKind::Slice,
        ProfileRowKind::TornBytes,
        ProfileRowKind::Span,
        ProfileRowKind::Cost,
        ProfileRowKind::CostEvents,
    ];

    /// What stands in the column `row`.
    pub fn name(self) -> &'static str {
        match self {
            ProfileRowKind::Format => "format",
            ProfileRowKind::Path => "path",
            ProfileRowKind::Duration => "duration",
            ProfileRowKind::Recording => "recording",
            ProfileRowKind::Command => "command",
            ProfileRowKind::Python => "python",
            ProfileRowKind::ModulePath => "module_path",
            ProfileRowKind::Provider => "provider",
            ProfileRowKind::Marker => "marker",
            ProfileRowKind::Lost => "lost",
            ProfileRowKind::Repaired => "repaired",
            ProfileRowKind::Slice => "slice",
            ProfileRowKind::TornBytes => "torn_bytes",
            ProfileRowKind::Span => "span_ns",
            ProfileRowKind::Cost => "cost_ps",
            ProfileRowKind::CostEvents => "cost_events",
        }
    }

    /// The other way.
    pub fn from_name(name: &str) -> Option<ProfileRowKind> {
        ProfileRowKind::ALL.into_iter().find(|row| row.name() == name)
    }
}

/// A call path by a number that is the same in every profile: the hash of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub [u8; 16]);

impl PathId {
    /// Below every call.
    pub const ROOT: PathId = PathId([0; 16]);

    /// The path that is one frame longer. The frame's kind and name are those of the key.
    pub fn child(self, frame: &str, name: &str) -> PathId {
        let bytes = [&self.0, frame.as_bytes(), &[0], name.as_bytes()].concat();
        let half = |seed| XxHash64::oneshot(seed, &bytes).to_be_bytes();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&half(0));
        id[8..].copy_from_slice(&half(1));
        PathId(id)
    }
}

/// What tells one row from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileKey {
    /// What it is about.
    pub row: ProfileRowKind,
    /// A path's number.
    pub id: Option<PathId>,
    /// The path's number without its last frame.
    pub parent: Option<PathId>,
    /// What the last frame is: `function`, `cfunction`, `gc`, `lost`; of a duration, whose it is.
    pub frame: Option<Arc<str>>,
    /// A function as in a trace's `code`, a C function's name, or what else a row is about.
    pub name: Option<Arc<str>>,
    /// Of a duration: its bucket.
    pub bucket: Option<i32>,
}

impl ProfileKey {
    /// A fact about recordings.
    pub fn fact(row: ProfileRowKind, name: Option<&str>) -> ProfileKey {
        ProfileKey { row, id: None, parent: None, frame: None, name: name.map(Arc::from), bucket: None }
    }
}

/// What is counted and measured of a row. All are sums, but for the shortest and the longest call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileSums {
    /// How many: entries of a path, calls of a duration, the number that a fact is.
    pub count: u64,
    /// Time in the last frame itself, nanoseconds.
    pub self_ns: u64,
    /// Rows beside entries and returns.
    pub points: u64,
    /// Entries that turned out to be no calls.
    pub orphans: u64,
    /// Calls that were measured from entry to return.
    pub measured: u64,
    /// Their time in all, nanoseconds.
    pub measured_ns: u64,
    /// The shortest of them, nanoseconds; none if there is none.
    pub min_ns: Option<u64>,
    /// The longest of them, nanoseconds.
    pub max_ns: Option<u64>,
}

impl ProfileSums {
    /// A number of something.
    pub fn of(count: u64) -> ProfileSums {
        ProfileSums { count, ..ProfileSums::default() }
    }

    /// Adds those of another profile.
    pub fn add(&mut self, other: &ProfileSums) {
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.count, other.count);
        sum(&mut self.self_ns, other.self_ns);
        sum(&mut self.points, other.points);
        sum(&mut self.orphans, other.orphans);
        sum(&mut self.measured, other.measured);
        sum(&mut self.measured_ns, other.measured_ns);
        self.min_ns = self.min_ns.into_iter().chain(other.min_ns).min();
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

/// Rows by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    rows: BTreeMap<ProfileKey, ProfileSums>,
}

impl Profile {
    /// Adds to a row.
    pub fn add(&mut self, key: ProfileKey, sums: &ProfileSums) {
        match self.rows.entry(key) {
            Entry::Occupied(row) => row.into_mut().add(sums),
            Entry::Vacant(row) => _ = row.insert(*sums),
        }
    }

    /// Adds another profile.
    pub fn merge(&mut self, other: Profile) {
        other.rows.into_iter().for_each(|(key, sums)| self.add(key, &sums));
    }

    /// Its rows, in the order of their keys.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&ProfileKey, &ProfileSums)> {
        self.rows.iter()
    }

    /// The rows about one thing.
    pub fn rows_of(&self, row: ProfileRowKind) -> impl Iterator<Item = (&ProfileKey, &ProfileSums)> {
        self.rows.range(ProfileKey::fact(row, None)..).take_while(move |(key, _)| key.row == row)
    }

    /// The names of one kind, with how often each stands there.
    pub fn names_of(&self, row: ProfileRowKind) -> impl Iterator<Item = (&str, u64)> {
        self.rows_of(row).filter_map(|(key, sums)| Some((key.name.as_deref()?, sums.count)))
    }

    /// A number that has no name.
    pub fn number(&self, row: ProfileRowKind) -> u64 {
        self.rows.get(&ProfileKey::fact(row, None)).map_or(0, |sums| sums.count)
    }
}
