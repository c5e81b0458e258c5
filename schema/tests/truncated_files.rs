//! A file that is truncated anywhere is read up to its last complete checkpoint.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use common::{Row, batch, manifest, names, plain_rows, read, replace};
use parquet::file::metadata::ParquetMetaDataReader;
use pyrec_schema::{Error, Names, RecordingEnd, Trace, TraceReader, TraceWriter, WriterOptions};

/// The length of the file and its number of rows at a checkpoint.
struct Checkpoint {
    len: u64,
    rows: usize,
}

/// Writes a trace with several checkpoints. The last one adds several row groups.
fn write(path: &Path, rows: &[Row]) -> Vec<Checkpoint> {
    let names = names();
    let mut writer =
        TraceWriter::create(path, names.clone(), manifest(), WriterOptions { row_group_rows: 25 }).unwrap();
    let mut checkpoints = vec![Checkpoint { len: fs::metadata(path).unwrap().len(), rows: 0 }];
    for (at, some) in rows.chunks(10).enumerate() {
        writer.write(&batch(some, &names)).unwrap();
        if at % 2 == 0 {
            writer.checkpoint().unwrap();
            let rows = TraceReader::open(path, names.clone()).unwrap().rows() as usize;
            checkpoints.push(Checkpoint { len: fs::metadata(path).unwrap().len(), rows });
        }
    }
    let len = writer.finish().unwrap();
    checkpoints.push(Checkpoint { len, rows: rows.len() });
    checkpoints
}

#[test]
fn a_file_truncated_after_a_checkpoint_is_read_up_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut_path) = (dir.path().join("whole.parquet"), dir.path().join("cut.parquet"));
    let rows = plain_rows(50);
    let checkpoints = write(&path, &rows);
    assert!(checkpoints.len() > 4, "{}", checkpoints.len());
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, checkpoints.last().unwrap().len);

    for len in checkpoints[0].len..=bytes.len() as u64 {
        replace(&cut_path, &bytes[..len as usize]);
        let last = checkpoints.iter().rfind(|checkpoint| checkpoint.len <= len).unwrap();
        let trace = Trace::open(&[&cut_path]).unwrap();
        assert_eq!(trace.files()[0].torn_bytes(), len - last.len, "cut at {len}");
        assert_eq!(trace.manifest().ended == manifest().ended, len == bytes.len() as u64, "cut at {len}");
        assert_eq!(trace.rows(), last.rows as u64, "cut at {len}");
        // Reading the rows again for every length takes long, and the footer is already checked.
        if len == last.len || len % 16 == 0 {
            assert_eq!(read(&cut_path), rows[..last.rows], "cut at {len}");
        }
        assert_eq!(fs::read(&cut_path).unwrap(), bytes[..len as usize], "reading changed the file");
    }
}

#[test]
fn a_file_truncated_before_the_first_checkpoint_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut_path) = (dir.path().join("whole.parquet"), dir.path().join("cut.parquet"));
    let checkpoints = write(&path, &plain_rows(20));
    let bytes = fs::read(&path).unwrap();
    for len in 0..checkpoints[0].len as usize {
        replace(&cut_path, &bytes[..len]);
        let err = Trace::open(&[&cut_path]).unwrap_err();
        let expected =
            if len == 0 { matches!(err, Error::Empty { .. }) } else { matches!(err, Error::Cut { .. }) };
        assert!(expected, "cut at {len}: {err}");
        assert!(err.to_string().contains("cut.parquet"), "{err}");
    }
}

#[test]
fn a_footer_is_found_across_the_boundary_of_search_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let rows = plain_rows(10);
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 100 }).unwrap();
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();
    let whole = fs::read(&path).unwrap();
    // Lengths around one and two search blocks.
    for blocks in [1 << 20, 2 << 20] {
        for tail in blocks - 6..blocks + 6 {
            let mut torn = whole.clone();
            torn.resize(whole.len() + tail, b'P');
            replace(&path, &torn);
            let reader = TraceReader::open(&path, names.clone()).unwrap();
            assert_eq!((reader.torn_bytes(), reader.rows()), (tail as u64, 10));
        }
    }
}

#[test]
fn magic_in_a_torn_tail_is_not_a_footer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let rows = plain_rows(10);
    write(&path, &rows);
    let mut torn = fs::read(&path).unwrap();
    for len in [0u32, 7, 200, u32::MAX] {
        torn.extend_from_slice(&[0; 300]);
        torn.extend_from_slice(&len.to_le_bytes());
        torn.extend_from_slice(b"PAR1PAR1 and more");
    }
    replace(&path, &torn);
    assert_eq!(read(&path), rows);
}

/// Writes checkpoints of a few rows each, until the last one has live row groups. Returns the rows.
fn write_with_live_row_groups(path: &Path) -> Vec<Row> {
    let names = names();
    let rows = plain_rows(40_000);
    let mut writer = TraceWriter::create(path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    for (at, some) in rows.chunks(100).enumerate() {
        writer.write(&batch(some, &names)).unwrap();
        writer.checkpoint().unwrap();
        let reader = TraceReader::open(path, names.clone()).unwrap();
        if reader.manifest().live_row_groups > 0 {
            return rows[..(at + 1) * 100].to_vec();
        }
    }
    panic!("all footers were kept");
}

/// Simulates a recorder that is killed during a checkpoint: the file has the length for the next
/// one, and its footer tail refers to the last one. Every Parquet reader can read it, and recovery
/// removes the excess.
#[test]
fn a_footer_far_before_the_end_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (closed_up, apart) = (dir.path().join("closed.parquet"), dir.path().join("apart.parquet"));
    let (few, many) = (plain_rows(20), write_with_live_row_groups(&apart));
    write(&closed_up, &few);
    for (path, rows, cuts) in [(&closed_up, few, true), (&apart, many, false)] {
        let whole = fs::read(path).unwrap();
        let distance = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap());
        for more in [8, 16, 1000, 100_000] {
            let mut killed = whole.clone();
            killed.resize(whole.len() + more - 8, 7);
            if cuts {
                killed[whole.len() - 8..][..8].copy_from_slice(&whole[whole.len() - 8..]);
            }
            killed.extend_from_slice(&(distance + more as u32).to_le_bytes());
            killed.extend_from_slice(b"PAR1");
            replace(path, &killed);
            let trace = Trace::open(&[path]).unwrap();
            assert_eq!(trace.files()[0].torn_bytes(), if cuts { more as u64 } else { 0 });
            assert!(read(path) == rows);
            let parquet =
                ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).unwrap()).unwrap();
            assert_eq!(parquet.file_metadata().num_rows() as usize, rows.len());
            drop(TraceWriter::recover(path, names()).unwrap());
            assert!(fs::read(path).unwrap() == if cuts { whole.clone() } else { killed });
        }
    }
}

/// In a truncated copy, a footer counts only if its row groups are intact and not overwritten by a
/// later checkpoint.
#[test]
fn an_overwritten_checkpoint_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let rows = write_with_live_row_groups(&path);
    let whole = fs::read(&path).unwrap();
    replace(&path, [whole.as_slice(), b"half of the next"].concat());
    assert!(read(&path) == rows);
    let distance = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    let footer = whole.len() - 8 - distance;
    let mut overwritten = whole.clone();
    // Changes a page of the row group directly before the footer.
    overwritten[footer - 20] ^= 1;
    replace(&path, [overwritten.as_slice(), b"half of the next"].concat());
    let left = read(&path);
    assert!(left.len() < rows.len() && rows.starts_with(&left), "{} {}", left.len(), rows.len());
    // The number of such footers that are checked is limited.
    replace(&path, [overwritten.as_slice(), whole[footer..].repeat(100).as_slice(), b"PAR"].concat());
    assert!(matches!(Trace::open(&[&path]), Err(Error::Cut { .. })));
}

#[test]
fn before_it_is_finished_a_trace_has_not_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 100 }).unwrap();
    let ended = |path: &Path| TraceReader::open(path, Names::new().into()).unwrap().manifest().ended.clone();
    assert_eq!(ended(&path), RecordingEnd::Recording);
    writer.write(&batch(&plain_rows(5), &names)).unwrap();
    writer.checkpoint().unwrap();
    assert_eq!(ended(&path), RecordingEnd::Recording);
    writer.manifest_mut().ended = RecordingEnd::Killed { signal: 9 };
    writer.finish().unwrap();
    assert_eq!(ended(&path), RecordingEnd::Killed { signal: 9 });
}
