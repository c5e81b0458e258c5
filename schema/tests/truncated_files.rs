//! A file that was cut anywhere is read up to its last checkpoint.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use common::{Row, batch, manifest, names, plain_rows, put, read};
use parquet::file::metadata::ParquetMetaDataReader;
use pyrec_schema::{Error, Names, RecordingEnd, Trace, TraceReader, TraceWriter, WriterOptions};

/// A checkpoint: how long the file was then, and how many rows it held.
struct Checkpoint {
    len: u64,
    rows: usize,
}

/// Writes a trace of several checkpoints, the last with several row groups in one write.
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
fn every_cut_past_the_first_checkpoint_is_a_checkpointed_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut_path) = (dir.path().join("whole.parquet"), dir.path().join("cut.parquet"));
    let rows = plain_rows(50);
    let checkpoints = write(&path, &rows);
    assert!(checkpoints.len() > 4, "{}", checkpoints.len());
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, checkpoints.last().unwrap().len);

    for len in checkpoints[0].len..=bytes.len() as u64 {
        put(&cut_path, &bytes[..len as usize]);
        let last = checkpoints.iter().rfind(|checkpoint| checkpoint.len <= len).unwrap();
        let trace = Trace::open(&[&cut_path]).unwrap();
        assert_eq!(trace.files()[0].torn_bytes(), len - last.len, "cut at {len}");
        assert_eq!(trace.manifest().ended == manifest().ended, len == bytes.len() as u64, "cut at {len}");
        assert_eq!(trace.rows(), last.rows as u64, "cut at {len}");
        // Which footer was found is known by now; reading its rows again for every byte of a tail only takes time.
        if len == last.len || len % 16 == 0 {
            assert_eq!(read(&cut_path), rows[..last.rows], "cut at {len}");
        }
        assert_eq!(fs::read(&cut_path).unwrap(), bytes[..len as usize], "reading changed the file");
    }
}

#[test]
fn every_cut_before_the_first_checkpoint_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut_path) = (dir.path().join("whole.parquet"), dir.path().join("cut.parquet"));
    let checkpoints = write(&path, &plain_rows(20));
    let bytes = fs::read(&path).unwrap();
    for len in 0..checkpoints[0].len as usize {
        put(&cut_path, &bytes[..len]);
        let err = Trace::open(&[&cut_path]).unwrap_err();
        let expected =
            if len == 0 { matches!(err, Error::Empty { .. }) } else { matches!(err, Error::Cut { .. }) };
        assert!(expected, "cut at {len}: {err}");
        assert!(err.to_string().contains("cut.parquet"), "{err}");
    }
}

#[test]
fn a_footer_is_found_across_the_border_of_what_is_searched_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let rows = plain_rows(10);
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 100 }).unwrap();
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();
    let whole = fs::read(&path).unwrap();
    // Tails a little shorter and longer than the mebibyte that is searched at once, and than two of them.
    for mebibytes in [1 << 20, 2 << 20] {
        for tail in mebibytes - 6..mebibytes + 6 {
            let mut torn = whole.clone();
            torn.resize(whole.len() + tail, b'P');
            put(&path, &torn);
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
    put(&path, &torn);
    assert_eq!(read(&path), rows);
}

/// Checkpoints of a few rows each, until the last is one whose rows will be written again. Gives all rows.
fn unsettled(path: &Path) -> Vec<Row> {
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
    panic!("footers always had room");
}

/// What is left when a recorder is killed amid a checkpoint: the file's length is that of the next one, its end says where
/// the last one is. Any reader takes that. Whoever writes on cuts off what no checkpoint took.
#[test]
fn a_footer_is_found_from_far_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (closed_up, apart) = (dir.path().join("closed.parquet"), dir.path().join("apart.parquet"));
    let (few, many) = (plain_rows(20), unsettled(&apart));
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
            put(path, &killed);
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

/// Of a copy that is cut short the footer counts whose rows are all there: not one of a checkpoint that was written over.
#[test]
fn a_checkpoint_that_was_written_over_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let rows = unsettled(&path);
    let whole = fs::read(&path).unwrap();
    put(&path, [whole.as_slice(), b"half of the next"].concat());
    assert!(read(&path) == rows);
    let distance = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    let footer = whole.len() - 8 - distance;
    let mut over = whole.clone();
    // A page of the row group right before its footer.
    over[footer - 20] ^= 1;
    put(&path, [over.as_slice(), b"half of the next"].concat());
    let left = read(&path);
    assert!(left.len() < rows.len() && rows.starts_with(&left), "{} {}", left.len(), rows.len());
    // But nobody is made to look at any number of them.
    put(&path, [over.as_slice(), whole[footer..].repeat(100).as_slice(), b"PAR"].concat());
    assert!(matches!(Trace::open(&[&path]), Err(Error::Cut { .. })));
}

#[test]
fn until_the_end_is_written_a_trace_says_that_it_was_cut_short() {
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
