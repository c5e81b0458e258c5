//! Files that are not valid traces result in an error that names them, never in a panic.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use common::{batch, manifest, names, plain_rows, replace};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, KeyValue, ParquetMetaDataBuilder, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use pyrec_schema::{Columns, Error, Names, Trace, TraceReader, TraceWriter, WriterOptions};
use tempfile::TempDir;

/// Writes a trace of three row groups.
fn trace(dir: &TempDir) -> PathBuf {
    trace_of(dir, 250)
}

/// Writes a trace with at most one hundred rows in a row group.
fn trace_of(dir: &TempDir, rows: usize) -> PathBuf {
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 100 }).unwrap();
    writer.write(&batch(&plain_rows(rows), &names)).unwrap();
    writer.finish().unwrap();
    path
}

/// The columns of a trace of one row.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let strings = |string: &str| Arc::new(DictionaryArray::<Int32Type>::from_iter([string])) as ArrayRef;
    vec![
        ("time_ns", Arc::new(Int64Array::from(vec![1]))),
        ("pid", Arc::new(Int32Array::from(vec![1]))),
        ("tid", Arc::new(Int32Array::from(vec![1]))),
        ("marker", strings("line")),
        ("code", strings("f:1:g")),
        ("line", Arc::new(Int32Array::from(vec![1]))),
        ("value", Arc::new(Int64Array::from(vec![Some(1)]))),
        ("text", strings("")),
    ]
}

/// Writes a Parquet file with Arrow's writer.
fn write_with_arrow(path: &Path, columns: Vec<(&str, ArrayRef)>, manifest: Option<&str>) {
    let nullable = |name: &str, array: &ArrayRef| array.null_count() > 0 || ["value", "text"].contains(&name);
    let fields = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), nullable(name, array)));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let rows = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&rows).unwrap();
    if let Some(manifest) = manifest {
        writer.append_key_value_metadata(KeyValue::new("pyrec".to_owned(), manifest.to_owned()));
    }
    writer.close().unwrap();
}

fn json() -> String {
    serde_json::to_string(&manifest()).unwrap()
}

/// The error of opening and reading a file, or `None` if there is none.
fn read_error(path: &Path) -> Option<Error> {
    let read = |trace: Trace| {
        for file in trace.files() {
            for group in 0..file.row_groups() {
                file.read(group, Columns::ALL)?.try_for_each(|batch| batch.map(drop))?;
            }
        }
        Ok(())
    };
    let err = Trace::open(&[path]).and_then(read).err()?;
    assert!(err.to_string().contains(path.to_str().unwrap()), "{err}");
    Some(err)
}

macro_rules! assert_error {
    ($path:expr, $pattern:pat) => {
        match read_error($path) {
            Some($pattern) => {}
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn a_trace_by_another_writer_is_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write_with_arrow(&path, columns(), Some(&json()));
    assert!(read_error(&path).is_none());
}

#[test]
fn missing_empty_and_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    assert_error!(&path, Error::Io { .. });
    fs::write(&path, "").unwrap();
    assert_error!(&path, Error::Empty { .. });
    fs::write(&path, "hello, world").unwrap();
    assert_error!(&path, Error::NotParquet { .. });
    fs::write(&path, "PAX").unwrap();
    assert_error!(&path, Error::NotParquet { .. });
}

#[test]
fn a_directory_needs_valid_traces() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "").unwrap();
    assert_error!(dir.path(), Error::NoTraces { .. });
    trace(&dir);
    assert!(read_error(dir.path()).is_none());
    fs::write(dir.path().join("a.parquet"), "").unwrap();
    assert!(matches!(Trace::open(&[dir.path()]), Err(Error::Empty { path }) if path.ends_with("a.parquet")));
}

#[test]
fn another_parquet_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write_with_arrow(&path, columns(), None);
    assert_error!(&path, Error::NotATrace { .. });
    write_with_arrow(&path, columns(), Some("no JSON"));
    assert_error!(&path, Error::NotATrace { .. });
    write_with_arrow(&path, columns(), Some("{\"version\": 3}"));
    assert_error!(&path, Error::NotATrace { .. });
}

#[test]
fn other_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let other: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(StringArray::from(vec!["line"])),
        Arc::new(Int32Array::from(vec![None])),
    ];
    for (at, name) in
        ["time_ns", "pid", "tid", "marker", "code", "line", "value", "text"].into_iter().enumerate()
    {
        for array in &other {
            let mut columns = columns();
            columns[at].1 = array.clone();
            let same = matches!((name, array.data_type()), ("time_ns" | "value", DataType::Int64))
                || matches!((name, array.data_type()), ("marker" | "code" | "text", DataType::Utf8));
            write_with_arrow(&path, columns, Some(&json()));
            match read_error(&path) {
                None => assert!(same, "{name}"),
                Some(Error::NotATrace { reason, .. }) => assert!(!same && reason.contains(name), "{reason}"),
                Some(other) => panic!("{other}"),
            }
        }
        let mut columns = columns();
        columns.remove(at);
        write_with_arrow(&path, columns.clone(), Some(&json()));
        assert_error!(&path, Error::NotATrace { .. });
        columns.insert(at, ("strange", Arc::new(Int32Array::from(vec![1]))));
        write_with_arrow(&path, columns, Some(&json()));
        assert_error!(&path, Error::NotATrace { .. });
    }
}

#[test]
fn a_newer_format_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let newer = json().replace("\"format\":1", "\"format\":2");
    assert_ne!(newer, json());
    for manifest in [newer.as_str(), "{\"format\": 2}", "{\"format\": 2, \"ended\": 5}"] {
        write_with_arrow(&path, columns(), Some(manifest));
        assert_error!(&path, Error::Newer { found: 2, known: 1, .. });
    }
    // The version is checked before the columns, and in a truncated file, too.
    write_with_arrow(&path, columns()[..3].to_vec(), Some("{\"format\": 77}"));
    assert_error!(&path, Error::Newer { found: 77, .. });
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(b"and a torn tail");
    fs::write(&path, torn).unwrap();
    assert_error!(&path, Error::Newer { found: 77, .. });
}

#[test]
fn a_manifest_without_required_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write_with_arrow(&path, columns(), Some("{\"format\": 1}"));
    assert_error!(&path, Error::Damaged { .. });
}

#[test]
fn an_unknown_marker() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let mut columns = columns();
    columns[3].1 = Arc::new(DictionaryArray::<Int32Type>::from_iter(["function__exit"]));
    write_with_arrow(&path, columns, Some(&json()));
    match read_error(&path) {
        Some(Error::Damaged { reason, .. }) => assert!(reason.contains("function__exit"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// Changes the metadata of row groups in a trace's footer.
fn change_row_groups(path: &Path, change: impl Fn(usize, RowGroupMetaData) -> RowGroupMetaData) {
    let mut bytes = fs::read(path).unwrap();
    let tail = bytes.len() - 8;
    let len = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[tail - len..tail]).unwrap();
    bytes.truncate(tail - len);
    let groups =
        metadata.row_groups().iter().cloned().enumerate().map(|(at, group)| change(at, group)).collect();
    let metadata =
        ParquetMetaDataBuilder::new(metadata.file_metadata().clone()).set_row_groups(groups).build();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
    replace(path, bytes);
}

/// Changes the metadata of a column chunk in the second row group.
fn change_column(
    path: &Path,
    column: usize,
    change: impl Fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder,
) {
    change_row_groups(path, |at, group| {
        let mut columns = group.columns().to_vec();
        if at == 1 {
            columns[column] = change(columns[column].clone().into_builder()).build().unwrap();
        }
        group.into_builder().set_column_metadata(columns).build().unwrap()
    });
}

#[test]
fn impossible_numbers_in_the_footer() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(&dir);
    let whole = fs::read(&path).unwrap();
    change_column(&path, 2, |chunk| chunk);
    assert!(read_error(&path).is_none(), "an unchanged footer is valid");

    type Change = fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder;
    let changes: [Change; 11] = [
        |chunk| chunk.set_total_compressed_size(-1),
        |chunk| chunk.set_total_compressed_size(i64::MAX / 2),
        |chunk| chunk.set_total_compressed_size(1 << 40),
        |chunk| chunk.set_total_uncompressed_size(-5),
        |chunk| chunk.set_data_page_offset(-1),
        |chunk| chunk.set_data_page_offset(i64::MAX),
        |chunk| chunk.set_dictionary_page_offset(Some(-1)),
        |chunk| chunk.set_dictionary_page_offset(Some(i64::MAX)),
        |chunk| chunk.set_dictionary_page_offset(Some(0)),
        |chunk| chunk.set_num_values(-1),
        |chunk| chunk.set_num_values(i64::MAX),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        for column in 0..8 {
            replace(&path, &whole);
            change_column(&path, column, change);
            match read_error(&path) {
                Some(Error::Damaged { .. }) => {}
                other => panic!("change {at} of column {column}: {other:?}"),
            }
        }
    }
    for rows in [-1, 0, 99, 101, i64::MAX / 2] {
        replace(&path, &whole);
        change_row_groups(&path, |at, group| match at {
            1 => group.into_builder().set_num_rows(rows).build().unwrap(),
            _ => group,
        });
        assert_error!(&path, Error::Damaged { .. });
    }
    // Consistent numbers, but more rows than the pages have.
    replace(&path, &whole);
    change_row_groups(&path, |_, group| {
        let columns = group.columns().iter().cloned();
        let columns =
            columns.map(|chunk| chunk.into_builder().set_num_values(1 << 40).build().unwrap()).collect();
        group.into_builder().set_num_rows(1 << 40).set_column_metadata(columns).build().unwrap()
    });
    assert_error!(&path, Error::Damaged { .. });
}

#[test]
fn a_changed_byte_never_causes_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace_of(&dir, 60);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= [0x01, 0x80, 0xff][at % 3];
        replace(&path, changed);
        // Any result is fine. `read_error` checks that an error names the file.
        read_error(&path);
    }
}

#[test]
fn a_row_group_that_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let reader = TraceReader::open(&trace(&dir), Names::new().into()).unwrap();
    assert!(matches!(reader.read(3, Columns::ALL).map(drop), Err(Error::Damaged { .. })));
}
