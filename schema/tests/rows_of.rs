//! Reading the rows of one marker. Row groups without it are not decoded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Row, batch, manifest, names, plain_rows};
use parquet::file::metadata::ParquetMetaDataReader;
use pyrec_schema::{Columns, Marker, Trace, TraceWriter, WriterOptions};
use tempfile::TempDir;

/// Writes three row groups of one hundred rows, with a `gc__start` at the end of the second and of
/// the third.
fn trace(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("t.parquet");
    let names = names();
    let options = WriterOptions { row_group_rows: 100 };
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), options).unwrap();
    let mut rows = plain_rows(300);
    for (at, generation) in [(199, 1), (299, 2)] {
        rows[at] = Row { marker: Marker::GcStart, value: Some(generation), ..rows[at].clone() };
    }
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();
    path
}

/// Overwrites the first page of a column of the first row group.
fn damage(path: &Path, column: usize) {
    let mut bytes = fs::read(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).unwrap()).unwrap();
    let (start, _) = metadata.row_group(0).column(column).byte_range();
    bytes[start as usize..][..8].fill(0xff);
    fs::write(path, bytes).unwrap();
}

fn generations(path: &Path) -> Vec<Option<i64>> {
    let trace = Trace::open(&[path]).unwrap();
    let rows = trace.rows_of(Marker::GcStart, Columns { line: false, value: true, text: false });
    rows.map(|row| row.ok().and_then(|row| row.value)).collect()
}

#[test]
fn rows_are_found_by_their_marker() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(&dir);
    assert_eq!(generations(&path), [Some(1), Some(2)]);
    let trace = Trace::open(&[path]).unwrap();
    assert_eq!(trace.rows_of(Marker::Source, Columns::ALL).count(), 0);
}

#[test]
fn a_row_group_without_the_marker_is_not_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(&dir);
    damage(&path, 0);
    assert_eq!(generations(&path), [Some(1), Some(2)]);
}

#[test]
fn a_row_group_whose_markers_cannot_be_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(&dir);
    damage(&path, 3);
    assert_eq!(generations(&path), [None, Some(1), Some(2)]);
}
