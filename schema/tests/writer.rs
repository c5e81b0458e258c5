//! What the writer promises of the file: its footers, its row groups, and what is left of it when the disk is full.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use common::{Row, batch, manifest, names, plain_rows, read};
use parquet::file::metadata::ParquetMetaDataReader;
use pyrec_schema::{Error, Marker, Trace, TraceWriter, WriterOptions};

/// The bytes of all footers in a file, found by their magic. (Which in these files nothing else contains.)
fn footers_len(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let ends = bytes.windows(4).enumerate().skip(1).filter(|(_, window)| window == b"PAR1").map(|(at, _)| at);
    ends.map(|end| u64::from(u32::from_le_bytes(bytes[end - 4..end].try_into().unwrap())) + 8).sum()
}

/// Rows that compress badly, so that files get long fast.
fn noise(count: usize, seed: &mut u64) -> Vec<Row> {
    let mut random = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 16) as i64
    };
    let mut rows = plain_rows(count);
    rows.iter_mut()
        .for_each(|row| (row.time_ns, row.value, row.line) = (random(), Some(random()), random() as i32));
    rows
}

#[test]
fn footers_stay_under_their_share() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let (names, mut seed) = (names(), 1);
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    let mut done = 0;
    for second in 0..3000 {
        // Slow at first, then fast, then slow again.
        let rows = if (500..1500).contains(&second) { 700 } else { 5 };
        writer.write(&batch(&noise(rows, &mut seed), &names)).unwrap();
        done += usize::from(writer.checkpoint().unwrap());
        if second % 100 == 99 {
            let (len, footers) = (fs::metadata(&path).unwrap().len(), footers_len(&path));
            assert!(
                footers <= (len / 50).max(256 << 10),
                "{footers} of {len} bytes after {done} checkpoints"
            );
        }
    }
    assert!((20..2000).contains(&done), "{done} checkpoints");
    writer.finish().unwrap();
    assert_eq!(Trace::open(&[&path]).unwrap().rows(), 1000 * 700 + 2000 * 5);
}

#[test]
fn a_checkpoint_without_new_rows_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    writer.write(&batch(&plain_rows(10), &names)).unwrap();
    assert!(writer.checkpoint().unwrap());
    let len = fs::metadata(&path).unwrap().len();
    assert_eq!(writer.bytes(), len);
    assert!(writer.checkpoint().unwrap());
    writer.write(&batch(&[], &names)).unwrap();
    assert!(writer.checkpoint().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), len);
}

/// The rows of each row group of a file.
fn row_groups(path: &Path) -> Vec<i64> {
    let file = fs::File::open(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
    metadata.row_groups().iter().map(|group| group.num_rows()).collect()
}

#[test]
fn row_groups_grow_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 100 }).unwrap();
    let rows = 64 * (100 + 200 + 400) + 10 * 800;
    for some in plain_rows(rows).chunks(50) {
        writer.write(&batch(some, &names)).unwrap();
    }
    writer.finish().unwrap();
    let groups = row_groups(&path);
    assert_eq!((groups[0], groups.iter().sum::<i64>()), (100, rows as i64));
    for (at, &rows) in groups[..groups.len() - 1].iter().enumerate() {
        assert!((100 << (at / 64).min(3)..=800).contains(&rows), "{at}: {groups:?}");
    }
    // These are so short that footers soon have no room, and then as long as they may be.
    let long = groups.iter().position(|&rows| rows == 800).unwrap();
    assert!((8..64).contains(&long) && groups.len() < 3 * 64, "{groups:?}");
}

#[test]
fn long_texts_fill_row_groups_before_they_fill_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut rows = plain_rows(40);
    for (at, row) in rows.iter_mut().enumerate() {
        row.marker = Marker::Source;
        row.text = Some(format!("{at}: {}", "x = 1 # a line\n".repeat(70_000)));
    }
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();
    // Just over a mebibyte each, so the eighth makes eight mebibytes.
    assert_eq!(row_groups(&path), [8; 5]);
    assert!(read(&path) == rows);
}

#[test]
fn very_many_distinct_values_fill_row_groups_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let (names, mut seed) = (names(), 7);
    let rows = noise(300_000, &mut seed);
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();
    assert!(row_groups(&path).iter().all(|&group| group <= 200_000), "{:?}", row_groups(&path));
    assert!(read(&path) == rows);
}

#[test]
fn an_existing_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    fs::write(&path, "precious").unwrap();
    let err = TraceWriter::create(&path, names(), manifest(), WriterOptions::default()).unwrap_err();
    assert!(
        matches!(err, Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
    );
    assert!(err.to_string().contains("t.parquet"));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

/// Fills a disk: this test runs itself again, as a process whose files may not grow beyond a few dozen KiB.
#[test]
fn a_full_disk_leaves_what_was_checkpointed() {
    const INSIDE: &str = "PYREC_SCHEMA_TEST_FULL_DISK";
    if let Some(path) = std::env::var_os(INSIDE) {
        return fill_the_disk(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let test = std::env::current_exe().unwrap();
    // A shell's unit for -f is 512 or 1024 bytes.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(test)
        .arg("a_full_disk_leaves_what_was_checkpointed")
        .env(INSIDE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{:?} {said} {}",
        child.status.signal(),
        String::from_utf8_lossy(&child.stderr)
    );

    let written =
        said.lines().find_map(|line| line.strip_prefix("whole rows: ")).unwrap().parse::<usize>().unwrap();
    let trace = Trace::open(&[&path]).unwrap();
    assert_eq!(trace.files()[0].torn_bytes(), 0);
    assert_eq!(read(&path), noise(100_000, &mut 3)[..written]);
    assert!(written > 0);
}

fn fill_the_disk(path: &Path) {
    let names = names();
    let mut writer =
        TraceWriter::create(path, names.clone(), manifest(), WriterOptions { row_group_rows: 500 }).unwrap();
    let rows = noise(100_000, &mut 3);
    let failure = rows.chunks(100).find_map(|some| writer.write(&batch(some, &names)).err());
    match failure {
        Some(Error::Write { rows, source, .. }) => println!("\nwhole rows: {rows}\n{source}"),
        other => panic!("{other:?}"),
    }
    // What could not be written once cannot be written at the end either, and that does no harm.
    assert!(matches!(writer.finish(), Err(Error::Write { .. })));
}
