//! Properties of written files: footers, row groups, concurrent readers, and a full disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::VecDeque;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use common::{Row, batch, manifest, names, plain_rows, read, rows_of};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use pyrec_schema::{Error, Marker, Trace, TraceWriter, WriterOptions};

/// The length of all footers in a file. They are found by their magic, which nothing else in these
/// files contains.
fn footers_len(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let ends = bytes.windows(4).enumerate().skip(1).filter(|(_, window)| window == b"PAR1").map(|(at, _)| at);
    ends.map(|end| u64::from(u32::from_le_bytes(bytes[end - 4..end].try_into().unwrap())) + 8).sum()
}

/// Rows that compress badly, so that files grow fast.
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
fn footers_stay_within_their_budget() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let (names, mut seed) = (names(), 1);
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    let mut rows = 0;
    for second in 0..3000 {
        // Slow at first, then fast, then slow again.
        let some = if (500..1500).contains(&second) { 700 } else { 5 };
        writer.write(&batch(&noise(some, &mut seed), &names)).unwrap();
        writer.checkpoint().unwrap();
        rows += some as i64;
        if second % 20 == 0 {
            assert_eq!(row_groups(&path).iter().sum::<i64>(), rows, "at {second}");
        }
        if second % 100 == 99 {
            let len = fs::metadata(&path).unwrap().len();
            // A short file contains up to three checkpoints. In a longer one they take at most a
            // quarter.
            let bytes = writer.bytes();
            assert!(len < bytes + (bytes / 4).max(1 << 20) + (256 << 10), "{len} for {bytes} bytes");
        }
    }
    let data_len = writer.bytes();
    let len = writer.finish().unwrap();
    assert_eq!(row_groups(&path).iter().sum::<i64>(), rows);
    // Nothing remains of live row groups that were written again.
    let footers = footers_len(&path);
    assert!(footers <= (len / 50).max(256 << 10), "{footers} of {len} bytes");
    assert!(
        len <= data_len + footers,
        "{len} bytes with {footers} of footers and {data_len} before the last"
    );
    assert!(row_groups(&path).len() < 600, "{} row groups", row_groups(&path).len());
    assert_eq!(read(&path).len() as i64, rows);
}

/// The rows of a growing file can be read as of the time when it was opened, however long it grows.
#[test]
fn an_open_trace_is_read_as_of_when_it_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let (names, mut seed) = (names(), 5);
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    let (mut opened, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let some = noise(100, &mut seed);
        writer.write(&batch(&some, &names)).unwrap();
        writer.checkpoint().unwrap();
        rows.extend(some);
        let trace = Trace::open(&[&path]).unwrap();
        assert_eq!(trace.files()[0].torn_bytes(), 0);
        opened.push((trace, rows.len()));
    }
    writer.finish().unwrap();
    let with_live = opened.iter().filter(|(trace, _)| trace.manifest().live_row_groups > 0).count();
    assert!(with_live > 50, "{with_live}");
    for (trace, then) in &opened {
        assert!(rows_of(trace) == rows[..*then], "the first {then}");
    }
}

/// Other readers can read an open file until the checkpoint after the next one, at least.
#[test]
fn other_readers_can_read_until_the_checkpoint_after_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let (names, mut seed) = (names(), 11);
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    let (mut opened, mut rows) = (VecDeque::new(), 0);
    for checkpoint in 0..600 {
        // Slow at first, then fast.
        let some = if checkpoint < 300 { 20 } else { 5_000 };
        writer.write(&batch(&noise(some, &mut seed), &names)).unwrap();
        writer.checkpoint().unwrap();
        rows += some;
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
        opened.push_back((reader, rows));
        if opened.len() > 2 {
            let (reader, then) = opened.pop_front().unwrap();
            let read = reader.build().unwrap().map(|batch| batch.map(|batch| batch.num_rows()));
            let read = read.sum::<Result<usize, _>>();
            assert!(matches!(read, Ok(rows) if rows == then), "{then} rows at {checkpoint}: {read:?}");
        }
    }
}

#[test]
fn a_checkpoint_without_new_rows_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    writer.write(&batch(&plain_rows(10), &names)).unwrap();
    writer.checkpoint().unwrap();
    let len = fs::metadata(&path).unwrap().len();
    assert_eq!(writer.bytes(), len);
    writer.checkpoint().unwrap();
    writer.write(&batch(&[], &names)).unwrap();
    writer.checkpoint().unwrap();
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
    let expected = (0..64 * 3 + 10).map(|at| 100 << (at / 64));
    assert!(row_groups(&path).into_iter().eq(expected), "{:?}", row_groups(&path));
}

#[test]
fn long_texts_fill_a_row_group() {
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
    // Each text is just over a mebibyte long, so the eighth exceeds eight mebibytes.
    assert_eq!(row_groups(&path), [8; 5]);
    assert!(read(&path) == rows);
}

#[test]
fn many_distinct_values_fill_a_row_group() {
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
fn an_existing_file_is_not_overwritten() {
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

/// Simulates a full disk: runs this test again in a child process, in which files may not grow
/// beyond a few dozen KiB.
#[test]
fn a_full_disk_leaves_the_last_checkpoint() {
    const INSIDE: &str = "PYREC_SCHEMA_TEST_FULL_DISK";
    if let Some(path) = std::env::var_os(INSIDE) {
        return fill_the_disk(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let test = std::env::current_exe().unwrap();
    // The unit of `ulimit -f` is 512 or 1024 bytes, depending on the shell.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(test)
        .arg("a_full_disk_leaves_the_last_checkpoint")
        .env(INSIDE, &path)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{:?} {stdout} {}",
        child.status.signal(),
        String::from_utf8_lossy(&child.stderr)
    );

    let written =
        stdout.lines().find_map(|line| line.strip_prefix("whole rows: ")).unwrap().parse::<usize>().unwrap();
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
    let written = |some: &[Row]| writer.write(&batch(some, &names)).and_then(|()| writer.checkpoint());
    let failure = rows.chunks(100).map(written).find_map(Result::err);
    match failure {
        Some(Error::Write { rows, source, .. }) => println!("\nwhole rows: {rows}\n{source}"),
        other => panic!("{other:?}"),
    }
    // Finishing fails, too, and leaves the file as it is.
    assert!(matches!(writer.finish(), Err(Error::Write { .. })));
}
