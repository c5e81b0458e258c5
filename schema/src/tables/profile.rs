//! Profiles: recordings aggregated to sums of calls and times by call path.
//!
//! A profile has one row for each key, and its values are sums (or minimum and maximum). So
//! profiles can be merged in any order, by [`Profile::add`] or by a `GROUP BY` over the key columns
//! in any database, with the same result.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use twox_hash::XxHash64;

/// The kind of a profile's row. The value is `count`, unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileRowKind {
    /// The version of the profile format, as the name.
    Format,
    /// A call path, with all sums.
    Path,
    /// The number of calls of a function whose durations fall into a bucket.
    Duration,
    /// The number of recordings that ended in the way of the name, a
    /// [`RecordingEnd`](crate::RecordingEnd) as JSON.
    Recording,
    /// The command, as a JSON array.
    Command,
    /// A version of Python.
    Python,
    /// An entry of `sys.path`.
    ModulePath,
    /// A provider.
    Provider,
    /// The number of rows of a marker.
    Marker,
    /// The number of lost events.
    Lost,
    /// The number of repairs of a kind.
    Repaired,
    /// An [`Excerpt`](crate::Excerpt) of a recording, as JSON.
    Slice,
    /// The number of bytes that could not be read.
    TornBytes,
    /// The time from the first event of a recording to the last, nanoseconds.
    Span,
    /// The cost of recording, picoseconds, of the events in [`ProfileRowKind::CostEvents`].
    Cost,
    /// The number of events with a known cost.
    CostEvents,
}

impl ProfileRowKind {
    /// Every kind, in the order of discriminants.
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

    /// The name in the column `row`.
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

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<ProfileRowKind> {
        ProfileRowKind::ALL.into_iter().find(|row| row.name() == name)
    }
}

/// The id of a call path: a hash of its frames, which is the same in every profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub [u8; 16]);

impl PathId {
    /// The path without frames, the parent of outermost calls.
    pub const ROOT: PathId = PathId([0; 16]);

    /// The path with one more frame, whose kind and name are those of the [`ProfileKey`].
    pub fn child(self, frame: &str, name: &str) -> PathId {
        let bytes = [&self.0, frame.as_bytes(), &[0], name.as_bytes()].concat();
        let half = |seed| XxHash64::oneshot(seed, &bytes).to_be_bytes();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&half(0));
        id[8..].copy_from_slice(&half(1));
        PathId(id)
    }
}

/// The key columns of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileKey {
    /// The kind of the row.
    pub row: ProfileRowKind,
    /// The id of a path.
    pub id: Option<PathId>,
    /// The id of the path without its last frame.
    pub parent: Option<PathId>,
    /// The kind of the last frame, or of the frame that a duration is of: `function`, `cfunction`,
    /// `gc`, or `lost`.
    pub frame: Option<Arc<str>>,
    /// The string of a code object, the name of a C function, or another name, depending on the
    /// kind of the row.
    pub name: Option<Arc<str>>,
    /// The bucket of a duration.
    pub bucket: Option<i32>,
}

impl ProfileKey {
    /// The key of a row that has no more than a kind and a name.
    pub fn fact(row: ProfileRowKind, name: Option<&str>) -> ProfileKey {
        ProfileKey { row, id: None, parent: None, frame: None, name: name.map(Arc::from), bucket: None }
    }

    fn frame_and_name(&self) -> (Option<&str>, Option<&str>) {
        (self.frame.as_deref(), self.name.as_deref())
    }
}

/// The value columns of a row. When rows are merged all are added, except for the minimum and the
/// maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileSums {
    /// Of a path: entries. Of a duration: calls. Of other kinds: the value of the row.
    pub count: u64,
    /// The time in the last frame itself, without its callees, nanoseconds.
    pub self_ns: u64,
    /// Rows other than entries and returns.
    pub points: u64,
    /// Entries that turned out not to be calls.
    pub orphans: u64,
    /// Calls with a known duration: their entry and return were both recorded.
    pub measured: u64,
    /// The sum of these durations, nanoseconds.
    pub measured_ns: u64,
    /// The minimum of these durations, nanoseconds. `None` if there are none.
    pub min_ns: Option<u64>,
    /// The maximum of these durations, nanoseconds. `None` if there are none.
    pub max_ns: Option<u64>,
}

impl ProfileSums {
    /// Sums with only a count.
    pub fn of(count: u64) -> ProfileSums {
        ProfileSums { count, ..ProfileSums::default() }
    }

    /// Adds the sums of another row with the same key.
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

/// The maximum of the counts of all rows of a kind together.
const MAX_SUM: u64 = 1 << 63;

/// A profile: sums by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    rows: BTreeMap<ProfileKey, ProfileSums>,
}

impl Profile {
    /// Adds sums to the row of a key.
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

    /// All rows, in the order of their keys.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&ProfileKey, &ProfileSums)> {
        self.rows.iter()
    }

    /// Checks that the rows are consistent, which matters for a file that any program may have
    /// written. Returns the first contradiction.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut events = 0u64;
        let mut measured: BTreeMap<(Option<&str>, Option<&str>), u64> = BTreeMap::new();
        for (key, sums) in self.rows_of(ProfileRowKind::Path) {
            let calls = sums.count.checked_sub(sums.orphans);
            let calls = calls.ok_or("a call path has more orphaned entries than entries")?;
            if sums.measured > calls {
                return Err("a call path has more measured calls than calls");
            }
            match (sums.measured > 0, sums.min_ns, sums.max_ns) {
                (true, Some(min_ns), Some(max_ns)) if min_ns <= max_ns => {}
                (false, None, None) => {}
                _ => return Err("the minimum and maximum of a call path contradict its measured calls"),
            }
            let rows = [sums.count, calls, sums.points].into_iter().fold(0, u64::saturating_add);
            events = events.saturating_add(rows);
            let of_frame = measured.entry(key.frame_and_name()).or_default();
            *of_frame = of_frame.saturating_add(sums.measured);
        }
        for (key, sums) in self.rows_of(ProfileRowKind::Duration) {
            let left = measured.get_mut(&key.frame_and_name());
            let left = left.and_then(|calls| Some((calls.checked_sub(sums.count)?, calls)));
            let (left, calls) = left.ok_or("a function has more durations than measured calls")?;
            *calls = left;
        }
        let counts = ProfileRowKind::ALL
            .into_iter()
            .map(|row| self.rows_of(row).map(|(_, sums)| sums.count).fold(0, u64::saturating_add));
        if counts.chain([events]).any(|sum| sum > MAX_SUM) {
            return Err("the sum of its counts exceeds 2^63");
        }
        Ok(())
    }

    /// The rows of one kind.
    pub fn rows_of(&self, row: ProfileRowKind) -> impl Iterator<Item = (&ProfileKey, &ProfileSums)> {
        self.rows.range(ProfileKey::fact(row, None)..).take_while(move |(key, _)| key.row == row)
    }

    /// The names of the rows of one kind, with their counts.
    pub fn names_of(&self, row: ProfileRowKind) -> impl Iterator<Item = (&str, u64)> {
        self.rows_of(row).filter_map(|(key, sums)| Some((key.name.as_deref()?, sums.count)))
    }

    /// The count of the row of one kind that has no name, or 0 if there is none.
    pub fn number(&self, row: ProfileRowKind) -> u64 {
        self.rows.get(&ProfileKey::fact(row, None)).map_or(0, |sums| sums.count)
    }
}
