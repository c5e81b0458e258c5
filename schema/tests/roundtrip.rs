//! Rows are read as they were written, whatever the batches, checkpoints and row groups.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{any_row, batch, manifest, names, plain_rows, read};
use proptest::prelude::*;
use pyrec_schema::{TraceWriter, WriterOptions};

proptest! {
    #[test]
    fn any_rows_in_any_batches(
        batches in prop::collection::vec((prop::collection::vec(any_row(), 0..40), any::<bool>()), 0..12),
        row_group_rows in 1..50usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let names = names();
        let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows }).unwrap();
        for (rows, checkpoint) in &batches {
            writer.write(&batch(rows, &names)).unwrap();
            if *checkpoint {
                writer.checkpoint().unwrap();
            }
        }
        let len = writer.finish().unwrap();
        prop_assert_eq!(len, path.metadata().unwrap().len());
        prop_assert_eq!(read(&path), batches.into_iter().flat_map(|(rows, _)| rows).collect::<Vec<_>>());
    }
}

#[test]
fn pages_and_row_groups_of_full_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let rows = plain_rows(300_000);
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 200_000 })
            .unwrap();
    for rows in rows.chunks(77_777) {
        writer.write(&batch(rows, &names)).unwrap();
    }
    writer.finish().unwrap();
    assert!(read(&path) == rows);
}
