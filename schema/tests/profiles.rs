//! Profiles are written and read, and inconsistent ones are rejected.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::path::Path;

use pyrec_schema::{
    Error, PathId, Profile, ProfileKey, ProfileRowKind, ProfileSums, is_profile, read_profile, write_profile,
};

/// A call path of one frame.
fn path(name: &str) -> ProfileKey {
    ProfileKey {
        row: ProfileRowKind::Path,
        id: Some(PathId::ROOT.child("function", name)),
        parent: Some(PathId::ROOT),
        frame: Some("function".into()),
        name: Some(name.into()),
        bucket: None,
    }
}

/// A bucket of a function's durations.
fn duration(name: &str, bucket: i32) -> ProfileKey {
    ProfileKey {
        frame: Some("function".into()),
        bucket: Some(bucket),
        ..ProfileKey::fact(ProfileRowKind::Duration, Some(name))
    }
}

/// Five calls, three of which are measured.
fn five_calls() -> ProfileSums {
    ProfileSums {
        count: 6,
        orphans: 1,
        self_ns: 50,
        points: 2,
        measured: 3,
        measured_ns: 30,
        min_ns: Some(5),
        max_ns: Some(15),
    }
}

/// Writes rows as a profile and reads it.
fn written(rows: &[(ProfileKey, ProfileSums)]) -> Result<Profile, Error> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.parquet");
    let mut profile = Profile::default();
    rows.iter().for_each(|(key, sums)| profile.add(key.clone(), sums));
    write_profile(&profile, File::create(&file).unwrap()).unwrap();
    assert!(is_profile(&file));
    let read = read_profile(&file);
    if let Ok(read) = &read {
        assert_eq!(read, &profile);
    }
    read
}

fn reason(rows: &[(ProfileKey, ProfileSums)]) -> String {
    match written(rows) {
        Err(Error::Damaged { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_consistent_profile_is_read_as_it_was_written() {
    let unmeasured = ProfileSums { count: 1, ..ProfileSums::default() };
    let rows = [
        (path("a.py:1:f"), five_calls()),
        (path("a.py:9:g"), unmeasured),
        (duration("a.py:1:f", 5), ProfileSums::of(2)),
        (duration("a.py:1:f", 15), ProfileSums::of(1)),
        (ProfileKey::fact(ProfileRowKind::Marker, Some("line")), ProfileSums::of(2)),
    ];
    assert_eq!(written(&rows).unwrap().rows().len(), rows.len());
}

#[test]
fn durations_without_measured_calls_are_rejected() {
    let unmeasured = ProfileSums { count: 6, ..ProfileSums::default() };
    let one = (duration("a.py:1:f", 5), ProfileSums::of(1));
    let four = (duration("a.py:1:f", 5), ProfileSums::of(4));
    for rows in [
        vec![one.clone()],
        vec![(path("a.py:1:f"), unmeasured), one.clone()],
        vec![(path("a.py:1:g"), five_calls()), one],
        vec![(path("a.py:1:f"), five_calls()), four],
    ] {
        assert_eq!(reason(&rows), "a function has more durations than measured calls");
    }
}

#[test]
fn contradictory_sums_of_a_call_path_are_rejected() {
    let sums = five_calls();
    for (sums, expected) in [
        (ProfileSums { orphans: 7, ..sums }, "more orphaned entries than entries"),
        (ProfileSums { measured: 6, ..sums }, "more measured calls than calls"),
        (ProfileSums { min_ns: None, ..sums }, "minimum and maximum"),
        (ProfileSums { max_ns: None, ..sums }, "minimum and maximum"),
        (ProfileSums { max_ns: Some(4), ..sums }, "minimum and maximum"),
        (ProfileSums { measured: 0, ..sums }, "minimum and maximum"),
        (ProfileSums { count: i64::MAX as u64, ..sums }, "exceeds 2^63"),
    ] {
        let reason = reason(&[(path("a.py:1:f"), sums)]);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn counts_that_overflow_together_are_rejected() {
    let marker = |name| (ProfileKey::fact(ProfileRowKind::Marker, Some(name)), ProfileSums::of(1 << 62));
    assert!(written(&[marker("line"), marker("audit")]).is_ok());
    assert!(reason(&[marker("line"), marker("audit"), marker("lost")]).contains("exceeds 2^63"));
}

/// `testdata/fuzz/seeds.py` writes the same profile twice, with other types and another order of
/// columns.
#[test]
fn a_profile_of_another_writer_is_read() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fuzz/profile");
    let [pyrec, merged] = ["pyrec.parquet", "merged.parquet"].map(|seed| read_profile(&seeds.join(seed)));
    let (pyrec, merged) = (pyrec.unwrap(), merged.unwrap());
    assert_eq!(pyrec, merged);
    assert_eq!(pyrec.number(ProfileRowKind::Lost), 4);
}
